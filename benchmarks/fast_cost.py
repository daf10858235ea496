"""Thread time of whole climbs beside their cost counted in forward passes; one image, one class, one thread.

    python benchmarks/fast_cost.py --architecture torchvision/mobilenet_v2 --output-stride 16 --side 250

Random weights: the time does not depend on them. Each line is the least of ``--repeat`` runs, taken in turns.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

from advcam import ClimbSettings, localization_maps
from advcam.models import BackboneSettings, ClassMapper, build_classifier
from advcam.models.fold import fold_batch_norm
from advcam.models.split import shares_before, skipping

RELEASED = ClimbSettings.released()
SETTINGS = {
    "CAM": (replace(RELEASED, steps=1), (1.0,)),
    "fast(), no pair stopped": (replace(ClimbSettings.fast(), stop_change=0.0), (1.0,)),
    "3 scales x 4 steps": (replace(RELEASED, steps=4), (0.5, 1.0, 1.5)),
    "released()": (RELEASED, (0.5, 1.0, 1.5, 2.0)),
}


def counted(settings: ClimbSettings, scales: tuple[float, ...], mapper: ClassMapper, shares: dict[str, float]) -> float:
    """Forward passes at scale 1: a gradient to the input is one more, a part of the network its share."""
    stem = shares[mapper.layer] if mapper.layer else 0.0
    return sum(scale**2 * (stem + (1 - stem) * (2 * settings.steps_at(scale) - 1)) for scale in scales)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="torchvision/mobilenet_v2")
    parser.add_argument("--output-stride", type=int, default=16)
    parser.add_argument("--side", type=int, default=250, help="of the image, which is 3/4 as high")
    parser.add_argument("--repeat", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    backbone = BackboneSettings(architecture=asked.architecture, weights=None, output_stride=asked.output_stride)
    whole = build_classifier(backbone, 20).eval().to(memory_format=torch.channels_last).mapper()
    shares = shares_before(whole)
    mappers = {name: fold_batch_norm(skipping(whole, settings.skip)) for name, (settings, _) in SETTINGS.items()}
    picture = np.random.default_rng(0).integers(0, 256, (3 * asked.side // 4, asked.side, 3), dtype=np.uint8)
    seconds: dict[str, list[float]] = {name: [] for name in SETTINGS}
    for _ in range(asked.repeat):
        for name, (settings, scales) in SETTINGS.items():
            begun = time.thread_time()
            localization_maps(mappers[name], picture, [3], settings, scales)
            seconds[name].append(time.thread_time() - begun)
    unit = min(seconds["CAM"])
    print(f"{asked.architecture}, {picture.shape[1]} x {picture.shape[0]} pixels: passes counted, and in thread time")
    for name, (settings, scales) in SETTINGS.items():
        expected = counted(settings, scales, mappers[name], shares)
        print(f"{name:24s} {expected:7.2f} {min(seconds[name]) / unit:7.2f}   {min(seconds[name]):6.2f} s")


if __name__ == "__main__":
    main()
