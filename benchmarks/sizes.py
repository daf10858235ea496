"""Memory of the maps while pictures of 200 sizes go by: it should not grow with the number of sizes.

    python benchmarks/sizes.py                                   what a command does
    python benchmarks/sizes.py --as-before                       torch's own cache of primitives, nothing given back

All pictures are of some 12,000 pixels, of no two of the same height and width but by chance, so that each alone takes
the same; two threads climb them on MobileNetV2. Printed, in MB: what the process holds after so many pictures, and the
most that it held up to there. Imports alone take 800 of it here.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

PIXELS, SIDES = 110 * 110, (60, 200)


def sizes(count: int) -> Iterator[tuple[int, int]]:
    draw = random.Random(1)
    for _ in range(count):
        height = draw.randint(*SIDES)
        yield height, round(PIXELS / height)


def held(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name))) // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--network", default="mobilenet_v2")
    parser.add_argument("--as-before", action="store_true")
    asked = parser.parse_args()
    if not asked.as_before:
        # As the command line sets it; read when torch is loaded.
        os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] = "256"
    import numpy as np
    import torch
    from torchvision.models import get_model

    from advcam.attribute.engine import map_pictures
    from advcam.attribute.maps.cam import CAM
    from advcam.attribute.memory import give_back
    from advcam.attribute.methods import attributor
    from advcam.attribute.settings import AttributeSettings, ClimbSettings
    from advcam.models.mapper import ClassMapper
    from advcam.pipeline.engines import in_threads

    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = CAM(ClassMapper.from_model(get_model(asked.network, weights=None).eval()))
    method = attributor(AttributeSettings(scales=(1.0,)), replace(ClimbSettings.released(), steps=2))

    def work(size: tuple[int, int]) -> None:
        picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        map_pictures(network, [[picture]], [[0, 3]], method, scales=(1.0,), size=size, batch_pixels=2**19)
        if not asked.as_before:
            give_back(torch.device("cpu"))

    for number, _ in enumerate(in_threads(work, sizes(asked.count), 2), 1):
        if number == 5 or number % max(1, asked.count // 10) == 0:
            print(f"{number:4} pictures: {held('VmRSS')} MB, at most {held('VmHWM')} MB", flush=True)


if __name__ == "__main__":
    main()
