"""Boxes at all CAM thresholds: the tree of components against one contour search per threshold with OpenCV.

    python benchmarks/boxes.py [--maps 100] [--passes 3]

Both sides get the same 224 x 224 grey maps and true boxes, run on one core in one process, take turns, and must find
the same intersection over union at every threshold, over all contours and for the largest. Prints seconds of the core
per 1,000 maps (the best pass) and their ratio. OpenCV is no requirement of advcam: pip install opencv-python-headless.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from advcam.evaluate.boxes_iou import inclusive_iou, level_ious
from advcam.localize.levels import quantize
from advcam.localize.normalize import protocol_map

try:
    import cv2
except ImportError:
    cv2 = None

TAU = np.arange(0, 1, 0.001)
Curves = tuple[np.ndarray, np.ndarray]


def make_maps(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Maps like those of a classifier: a few bumps on a 14 x 14 or 28 x 28 grid with noise, made 224 x 224."""
    rng = np.random.default_rng(0)
    made = []
    for index in range(count):
        side = 28 if index % 2 else 14
        y, x = np.mgrid[0 : 1 : side * 1j, 0 : 1 : side * 1j]
        raw = 0.15 * rng.standard_normal((side, side)) * rng.random()
        for _ in range(rng.integers(1, 4)):
            (cx, cy), (sx, sy) = rng.random(2), rng.uniform(0.08, 0.3, 2)
            raw += rng.uniform(0.4, 1) * np.exp(-(((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2) / 2)
        corners = np.sort(rng.integers(0, 224, (rng.integers(1, 3), 2, 2)), axis=1).reshape(-1, 4)
        made.append((quantize(protocol_map(torch.from_numpy(raw), 224, 224, "min-max", "map")), corners))
    return made


def by_tree(grey: np.ndarray, truth: np.ndarray) -> Curves:
    levels = (TAU * int(grey.max())).astype(np.int64)
    every, largest = level_ious(grey, truth)
    return every[levels], largest[levels]


def by_contours(grey: np.ndarray, truth: np.ndarray, levels: np.ndarray) -> Curves:
    height, width = grey.shape
    found: list[tuple[int, int, int, int]] = []
    counts, largest = [], []
    for level in levels:
        mask = cv2.threshold(grey, int(level), 255, cv2.THRESH_BINARY)[1]
        contours = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
        start = len(found)
        for contour in contours:
            x, y, w, h = cv2.boundingRect(contour)
            found.append((x, y, min(x + w, width - 1), min(y + h, height - 1)))
        if contours:
            largest.append(start + max(range(len(contours)), key=lambda k: cv2.contourArea(contours[k])))
        else:
            found.append((0, 0, 0, 0))
            largest.append(start)
        counts.append(len(found) - start)
    ious = inclusive_iou(np.array(found, dtype=np.int64), truth).max(axis=1)
    starts = np.cumsum([0, *counts[:-1]])
    return np.maximum.reduceat(ious, starts), ious[largest]


def by_thresholds(grey: np.ndarray, truth: np.ndarray) -> Curves:
    return by_contours(grey, truth, (TAU * int(grey.max())).astype(np.int64))


def by_distinct_levels(grey: np.ndarray, truth: np.ndarray) -> Curves:
    levels, position = np.unique((TAU * int(grey.max())).astype(np.int64), return_inverse=True)
    every, largest = by_contours(grey, truth, levels)
    return every[position], largest[position]


def main() -> None:
    parser = argparse.ArgumentParser(description="Boxes at all thresholds: tree of components against OpenCV contours.")
    parser.add_argument("--maps", type=int, default=100, help="how many maps")
    parser.add_argument("--passes", type=int, default=3, help="how often each side goes over them; the best counts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    maps = make_maps(arguments.maps)
    ways: dict[str, Callable[[np.ndarray, np.ndarray], Curves]] = {"tree of components (advcam)": by_tree}
    if cv2 is None:
        print("OpenCV is not installed, so there is nothing to compare with: pip install opencv-python-headless")
    else:
        cv2.setNumThreads(1)
        ways["OpenCV contours, 1000 thresholds"] = by_thresholds
        ways["OpenCV contours, 255 grey levels"] = by_distinct_levels
    by_tree(*maps[0])  # compiles
    reference: list[Curves] = []

    best = dict.fromkeys(ways, float("inf"))
    for _ in range(arguments.passes):
        for name, way in ways.items():
            start = time.process_time()
            curves = [way(grey, truth) for grey, truth in maps]
            best[name] = min(best[name], (time.process_time() - start) / len(maps) * 1000)
            reference = curves if way is by_tree else reference
            for found, expected in zip(curves, reference, strict=True):
                assert all(map(np.array_equal, found, expected)), f"{name} does not find the same boxes"

    own = best["tree of components (advcam)"]
    for name, seconds in best.items():
        ratio = "" if name.endswith("(advcam)") else f"   advcam is {seconds / own:.1f} times faster"
        print(f"{name:34s} {seconds:7.2f} s per 1,000 maps{ratio}")


if __name__ == "__main__":
    main()
