"""What the package asks for and what it imports."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import advcam

tomllib = pytest.importorskip("tomllib", reason="TOML is read from Python 3.11 on")
ROOT = Path(__file__).resolve().parents[1]
# Where the name that is imported is not that of the package.
IMPORTED = {
    "lightning-fabric": "lightning_fabric",
    "opencv-contrib-python-headless": "cv2",
    "open-clip-torch": "open_clip",
    "pillow": "PIL",
    "pydensecrf2": "pydensecrf",
    "pyyaml": "yaml",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
    "grad-cam": "pytorch_grad_cam",
}
# Programs, and types for one of them.
RUN = {"ruff", "mypy", "types-pyyaml"}


def test_nothing_is_asked_for_that_is_not_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for group, wanted in {"": project["dependencies"], **project["optional-dependencies"]}.items():
        # The package itself, its tests, or what is measured.
        folders = [Path(advcam.__file__).parent]
        if group in ("dev", "bench"):
            folders += [ROOT / "tests", ROOT / "benchmarks"]
        texts = [path.read_text(encoding="utf-8") for folder in folders for path in folder.rglob("*.py")]
        for requirement in wanted:
            name = re.split(r"[\[<>=;!~ ]", requirement)[0].lower().replace("_", "-")
            if name in RUN:
                continue
            module = IMPORTED.get(name, name.replace("-", "_"))
            said = re.compile(rf'(import|from) {module}\b|"{module}["."]')
            assert any(said.search(text) for text in texts), f"{requirement} of {group or 'dependencies'}"
