"""The documentation's site: every page is in its contents, its tutorials run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))


def pages(entry: object) -> set[str]:
    if isinstance(entry, str):
        return {entry}
    values = entry.values() if isinstance(entry, dict) else entry
    return set().union(*(pages(value) for value in values))  # type: ignore[union-attr]


def test_every_page_is_in_the_contents() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    docs = ROOT / "docs"
    there = {path.relative_to(docs).as_posix() for kind in ("md", "ipynb") for path in docs.rglob(f"*.{kind}")}
    assert pages(nav) == there


def code_of(notebook: Path) -> str:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize("notebook", TUTORIALS, ids=lambda path: path.stem)
def test_tutorials_are_python_without_outputs(notebook: Path) -> None:
    compile(code_of(notebook), str(notebook), "exec")
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") for cell in cells)


@pytest.mark.tutorials
@pytest.mark.skipif("ADVCAM_TUTORIALS" not in os.environ, reason="minutes of training: make test-tutorials")
@pytest.mark.parametrize("notebook", TUTORIALS, ids=lambda path: path.stem)
def test_tutorials_run(notebook: Path, tmp_path: Path) -> None:
    script = tmp_path / "tutorial.py"
    # A script's workers import it again: it must be guarded as a notebook's kernel need not be.
    text = "\n".join(f"    {line}" for line in code_of(notebook).split("\n"))
    script.write_text(f'if __name__ == "__main__":\n{text}\n', encoding="utf-8")
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, check=True, timeout=1800)
