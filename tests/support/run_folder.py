"""A run folder with eight images of two classes, as the stages leave one, without any of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from advcam.attribute.result import LocalizationMaps
from advcam.data.masks import write_mask

SIZE = (24, 32)
NAMES = ("cat", "dog")
IDS = tuple(f"{'sub/' if number % 2 else ''}{number}" for number in range(8))


def box_mask(number: int, wide: int = 12) -> np.ndarray:
    """A box whose class and place depend on the number of the image."""
    mask = np.zeros(SIZE, np.uint8)
    mask[4:20, 4 + number : 4 + number + wide] = number % 2 + 1
    return mask


def corrected_ids(run: Path) -> list[str]:
    """The images whose mask was corrected."""
    root = run / "corrected/masks"
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.png"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Image 3 is the odd one: its classifier is unsure, its maps are faint, CAM has its object elsewhere."""
    data, run = tmp_path / "photos", tmp_path / "run"
    rows = ["image,labels"]
    for number, name in enumerate(IDS):
        file = data / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE[::-1], (9 * number, 90, 120)).save(file)
        rows.append(f"{name}.png,{NAMES[number % 2]}")
        mask = box_mask(number)
        write_mask(run / "advcam/masks" / f"{name}.png", mask)
        odd = number == 3
        for kind in ("advcam", "cam"):
            drawn = np.roll(mask, 10, axis=1) if odd and kind == "cam" else mask
            maps = (drawn[2::4, 2::4] > 0)[None] * (0.42 if odd else 0.9)
            score = np.array([0.3 if odd else 0.95], np.float32)
            found = LocalizationMaps(np.array([number % 2]), maps.astype(np.float16), SIZE, score)
            found.save(run / kind / "maps" / f"{name}.npz")
    (data / "labels.csv").write_text("\n".join(rows) + "\n")
    settings = {"data": str(data), "attribute": {"method": "advcam"}, "splits": {"maps": []}}
    made = {"advcam/masks": {"result": {"threshold": {"value": 0.4}}}}
    (run / "run.yaml").write_text(yaml.safe_dump({"settings": settings, "artifacts": made}))
    return run
