"""What climbing gains on a split, with the threshold chosen on another one and a bootstrap interval over images.

    python benchmarks/gain.py RUN --split val --tuned train_mini

RUN is a run folder with maps of both splits, which need true masks. Seeds at the thresholds that each kind of map has
chosen on --tuned; and the run's masks, where it has them.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import yaml

from advcam.attribute.grid import full_size
from advcam.attribute.result import LocalizationMaps
from advcam.data import open_dataset, read_mask
from advcam.evaluate import SweepCounts, SweepSettings, segmentation
from advcam.evaluate.bootstrap import miou, miou_of_draws

THRESHOLDS = SweepSettings(low=0.01, high=0.7).thresholds


def counts(run: Path, kind: str, records: list, labels: int, thresholds: tuple[float, ...]) -> np.ndarray:
    """Confusion matrices of each image's seeds at all thresholds."""
    found = []
    for record in records:
        maps = LocalizationMaps.load(run / kind / "maps" / f"{record.id}.npz")
        one = SweepCounts(labels, thresholds)
        target = torch.from_numpy(read_mask(record, maps.image_size))
        full = full_size(torch.from_numpy(maps.maps.astype(np.float32)), maps.image_size)
        one.update(full, torch.from_numpy(maps.classes), target, record.id)
        found.append(one.compute().confusions.numpy())
    return np.stack(found)


def masks(run: Path, kind: str, records: list, labels: int) -> np.ndarray:
    """Confusion matrices of each image's mask."""
    found = []
    for record in records:
        mask = read_mask(replace(record, mask=run / kind / "masks" / f"{record.id}.png"))
        found.append(segmentation([mask], [read_mask(record, mask.shape)], labels).confusion.numpy())
    return np.stack(found)


def told(name: str, plain: np.ndarray, climbed: np.ndarray, draws: int = 2000) -> None:
    """One line: both figures, the gain and its interval."""
    weights = np.random.default_rng(0).multinomial(len(plain), np.full(len(plain), 1 / len(plain)), size=draws)
    drawn = [100 * miou_of_draws(weights, part) for part in (plain, climbed)]
    low, high = np.percentile(drawn[1] - drawn[0], [2.5, 97.5])
    both = [100 * float(miou(part.sum(axis=0))) for part in (plain, climbed)]
    print(f"{name:<8} CAM {both[0]:.2f}, AdvCAM {both[1]:.2f}, gain {both[1] - both[0]:+.2f} [{low:+.2f}, {high:+.2f}]")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--split", required=True)
    parser.add_argument("--tuned", required=True)
    asked = parser.parse_args()
    settings = yaml.safe_load((asked.run / "run.yaml").read_text())["settings"]
    sets = {name: open_dataset(settings["data"], name) for name in (asked.split, asked.tuned)}
    labels = len(sets[asked.split].class_names) + 1
    has = {kind: {p.stem for p in (asked.run / kind / "maps").glob("*.npz")} for kind in ("cam", "advcam")}
    known = {
        name: [r for r in images.records if r.mask and r.id in has["cam"] & has["advcam"]]
        for name, images in sets.items()
    }
    print({name: len(records) for name, records in known.items()}, "images")
    seeds = []
    for kind in ("cam", "advcam"):
        tuned = counts(asked.run, kind, known[asked.tuned], labels, THRESHOLDS).sum(axis=0)
        best = int(miou(tuned).argmax())
        print(f"{kind}: {100 * miou(tuned)[best]:.2f} at {THRESHOLDS[best]:.2f} on {asked.tuned}")
        seeds.append(counts(asked.run, kind, known[asked.split], labels, (THRESHOLDS[best],))[:, 0])
    told("seed", *seeds)
    files = [asked.run / kind / "masks" / f"{r.id}.png" for kind in ("cam", "advcam") for r in known[asked.split]]
    if all(path.exists() for path in files):
        told("masks", *(masks(asked.run, kind, known[asked.split], labels) for kind in ("cam", "advcam")))


if __name__ == "__main__":
    main()
