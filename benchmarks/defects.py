"""Generated parts in the layout of MVTec AD through the recipe ``defects``: figures of docs/defects.md.

    python benchmarks/defects.py /tmp/defects

A part is a textured plate; a hole is a dark disc, a scratch a bright line. A small network is trained from random
weights, so that it takes minutes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from advcam.cli import main

SIDE = 160
NETWORK = "timm/test_resnet@layer3"
SMALL = f"""
--backbone.architecture {NETWORK} --backbone.weights null --classify.epochs 20 --classify.crop 144
--classify.long_side [144,176] --classify.val_long_side 160 --classify.lr 0.004 --classify.head_lr_factor 1
--classify.freeze null --classify.freeze_batch_norm false --segment.architecture {NETWORK} --segment.updates 150
--segment.crop 128 --segment.lr 0.002 --segment.head_lr_factor 1 --segment.freeze_batch_norm false
--segment.validate_every 150
""".split()


def part(defect: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A picture and where its defect is."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    pixels = 120 + 12 * np.sin(columns / 5) + rng.normal(0, 8, (SIDE, SIDE))
    y, x = rng.integers(40, SIDE - 40, 2)
    if defect == "hole":
        inside = (rows - y) ** 2 + (columns - x) ** 2 < rng.integers(7, 14) ** 2
        pixels[inside] = 40 + rng.normal(0, 5)
    elif defect == "scratch":
        angle = rng.uniform(0, np.pi)
        along = (rows - y) * np.sin(angle) + (columns - x) * np.cos(angle)
        across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
        inside = (abs(across) < 3) & (abs(along) < 30)
        pixels[inside] = 215
    else:
        inside = np.zeros((SIDE, SIDE), bool)
    return np.repeat(pixels.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2), inside


def generate(root: Path) -> None:
    """60 good parts to train, 30 good ones and 30 of each defect to test, with masks."""
    rng = np.random.default_rng(0)
    for folder, count in (("train/good", 60), ("test/good", 30), ("test/hole", 30), ("test/scratch", 30)):
        defect = folder.partition("/")[2]
        for index in range(count):
            pixels, inside = part(defect, rng)
            pictures = [(root / folder / f"{index:03}.png", pixels)]
            if defect != "good":
                mask = np.where(inside, np.uint8(255), np.uint8(0))
                pictures.append((root / "ground_truth" / defect / f"{index:03}_mask.png", mask))
            for path, values in pictures:
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values).save(path)


if __name__ == "__main__":
    out = Path(sys.argv[1])
    generate(out / "plate")
    data = ["--data", str(out / "plate"), "--out", str(out / "run"), "--device", "cpu"]
    code = main(["run", "defects", *data, *SMALL, *sys.argv[2:]])
    metrics = json.loads((out / "run" / "metrics.json").read_text())
    for result in metrics["results"]:
        print(result["masks"], result["split"], result["images"], round(100 * result["miou"], 1), result["threshold"])
    print(metrics["classifier"]["sentence"])
    print(json.dumps(metrics["false_area"]))
    sys.exit(code)
