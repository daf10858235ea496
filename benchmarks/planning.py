"""Planning over as many images as ImageNet has, in tar files: time and memory of each step, headers kept in between.

python benchmarks/planning.py --images 1300000 --folder /tmp/planning
"""

from __future__ import annotations

import argparse
import io
import resource
import tarfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from advcam.data import open_dataset
from advcam.data.images import image_size
from advcam.io.ledger import Fingerprints
from advcam.io.share import Part
from advcam.pipeline.parts import Batch, Plan, plan

SIZES = ((375, 500), (333, 500), (500, 375), (500, 333), (400, 500), (500, 500))
SHARD = 1000


def write_shards(folder: Path, count: int) -> None:
    """Samples in tar files, each a picture of one of six sizes whose pixels are all alike, and a class."""
    folder.mkdir(parents=True)
    pictures = []
    for height, width in SIZES:
        data = io.BytesIO()
        Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(data, "PNG", compress_level=9)
        # The header is all that planning reads.
        pictures.append(data.getvalue()[:1024])
    for shard in range(-(-count // SHARD)):
        with (folder / f"train-{shard:06}.tar").open("wb") as file:
            for number in range(shard * SHARD, min(count, (shard + 1) * SHARD)):
                picture, label = pictures[number * 7 % len(SIZES)], str(number % 1000).encode()
                for name, data in ((f"{number:08}.png", picture), (f"{number:08}.cls", label)):
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    file.write(info.tobuf(tarfile.USTAR_FORMAT) + data + b"\0" * (-len(data) % 512))
            file.write(b"\0" * 1024)


def peak() -> float:
    """The most memory that this process held, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


class Step:
    """Says how long a block took, by the clock and of processor time."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        self.wall, self.cpu = time.monotonic(), time.process_time()

    def __exit__(self, *_: object) -> None:
        wall, cpu = time.monotonic() - self.wall, time.process_time() - self.cpu
        print(f"{self.name}: {wall:.1f} s, of processor time {cpu:.1f} s; at most {peak():.2f} GiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_300_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--parts", type=int, default=1000)
    asked = parser.parse_args()
    if not asked.folder.exists():
        with Step("writing"):
            write_shards(asked.folder, asked.images)
    kept = asked.folder / "files.jsonl"
    with Step("samples and labels of the tar files"):
        found = open_dataset(asked.folder)

    def batches(fingerprints: Fingerprints, block: tuple) -> list[Batch]:
        return plan(((one, fingerprints.shape(one.id, one.image, image_size)) for one in block), lambda size: 16)

    with Step(f"the batches of part {asked.parts // 2} of {asked.parts}"):
        part = list(
            Plan(found.records, partial(batches, Fingerprints(asked.folder / "part.jsonl"))).of(
                Part(asked.parts // 2, asked.parts)
            )
        )
    print(f"{len(part)} batches, {sum(len(batch.records) for batch in part)} images")
    for name in ("all batches, headers read", "all batches, headers kept"):
        fingerprints = Fingerprints(kept)
        with Step(name):
            count = sum(1 for _ in Plan(found.records, partial(batches, fingerprints)).of())
            fingerprints.keep()
    print(f"{count} batches of {len(found)} images; {kept.stat().st_size / 2**20:.0f} MiB of headers kept")


if __name__ == "__main__":
    main()
