"""A data set of 100,000 entries: time and memory of reading its labels, of the doctor, and of a run's first checks.

    python benchmarks/entries.py 100000 /tmp/entries

The pictures are links to a hundred pictures of 64 x 48 pixels, so that neither disk nor decoding
matter (photographs: 150 a second and core); each step runs in a process of its own and prints its seconds, imports
included, and the highest memory it took.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

# What each step imports, and what it does.
STEPS = {
    "labels": ("from advcam.data import open_dataset", "open_dataset(DATA)"),
    "doctor": ("from advcam.data.check import examine_dataset", "examine_dataset(DATA)"),
    "checks of a run": (
        "from advcam.verbs.arguments import parse; from advcam.pipeline.classify import check_data, tell_notices; "
        "from advcam.pipeline.run import Run",
        "run = Run.open(parse('run', ['--data', DATA, '--out', DATA + '-run'])); check_data(run); tell_notices(run)",
    ),
    "plan of the maps": (
        "from advcam.data import open_dataset; from advcam.data.images import image_size; "
        "from advcam.pipeline.parts import plan",
        "plan(((r, image_size(r.image)) for r in open_dataset(DATA).records), lambda size: 8)",
    ),
}
PEAK = "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss"


def make(root: Path, count: int) -> None:
    """A table and its pictures, in folders of a thousand."""
    rng = np.random.default_rng(0)
    (root / "pictures").mkdir(parents=True, exist_ok=True)
    for number in range(100):
        noise = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((64, 48)).save(root / f"{number}.part", "JPEG")
    rows = ["image,labels"]
    for index in range(count):
        folder = root / "pictures" / f"{index // 1000:03}"
        if index % 1000 == 0:
            folder.mkdir(exist_ok=True)
        name = folder / f"{index:06}.jpg"
        if not name.exists():
            os.link(root / f"{index % 100}.part", name)
        rows.append(f"{name.relative_to(root)},class {index % 50}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    count, root = int(sys.argv[1]), Path(sys.argv[2])
    make(root, count)
    for name, (imports, work) in STEPS.items():
        begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        told = f"import resource; DATA = {str(root)!r}; {imports}; first = {PEAK}; {work}; print(first, {PEAK})"
        answer = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True).stdout.split()
        first, peak = (int(kilobytes) / 1024 for kilobytes in answer[-2:])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(
            f"{name}: {time.perf_counter() - begin:.1f} s, {used:.1f} s of a core, {peak:.0f} MB, of these "
            f"{peak - first:.0f} MB above what its imports take",
            flush=True,
        )
