"""The stage `advcam attribute` beside its engine, in several processes, and over many images.

    python benchmarks/stage.py speed        reading, scaling and writing included, against the engine alone
    python benchmarks/stage.py processes    two processes of one thread against one process of one thread
    python benchmarks/stage.py memory       memory of the process while 2,000 images are mapped, as a table and a plot

Images, labels and the network's weights are generated. "speed" and "processes" use the sizes of PASCAL VOC's images as
often as they occur there. Expected: the stage needs less than a tenth more than the engine, since it loads ahead and
writes behind; two processes are twice as fast as one less what they lose on shared memory and at start, and the files
of both are equal byte for byte; memory does not grow after the first images.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from PIL import Image

from advcam.attribute.engine import map_pictures
from advcam.attribute.settings import AttributeSettings, ClimbSettings
from advcam.bench.timing import apart, resident
from advcam.models import BackboneSettings, build_classifier, load_classifier, save_classifier
from advcam.pipeline.config import RunConfig
from advcam.pipeline.graph import run_stages
from advcam.pipeline.mapping import Mapping
from advcam.pipeline.run import Run

# Height and width in 491 images of VOC's list "train"; the rest has 98 other sizes, one or few images of each.
VOC_SIZES = {(375, 500): 204, (333, 500): 77, (500, 375): 36, (332, 500): 17, (500, 333): 15, (334, 500): 11}
OTHERS = 131
NUM_CLASSES = 20


def voc_sizes(count: int, generator: np.random.Generator) -> list[tuple[int, int]]:
    common = [size for size, times in VOC_SIZES.items() for _ in range(times)]
    drawn = generator.integers(len(common) + OTHERS, size=count)
    return [common[d] if d < len(common) else (int(generator.integers(200, 501)), 500) for d in drawn]


def write_images(folder: Path, sizes: Sequence[tuple[int, int]], generator: np.random.Generator) -> None:
    """JPEGs of smooth noise; one class in two images of three, two in the third, as VOC has about 1.5."""
    rows = ["image,labels"]
    for index, (height, width) in enumerate(sizes):
        coarse = generator.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(folder / f"{index:05}.jpg")
        names = {f"class {index % NUM_CLASSES:02}", f"class {(index + index % 3 // 2) % NUM_CLASSES:02}"}
        rows.append(f"{index:05}.jpg,{';'.join(sorted(names))}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    (folder / "classes.txt").write_text("\n".join(f"class {index:02}" for index in range(NUM_CLASSES)) + "\n")


def prepared(folder: Path, sizes: Sequence[tuple[int, int]], attribute: AttributeSettings, steps: int) -> RunConfig:
    """Images and a run whose classifier, MobileNetV2 with random weights, is there already."""
    images, network = folder / "images", folder / "network"
    images.mkdir()
    write_images(images, sizes, np.random.default_rng(0))
    torch.manual_seed(0)
    names = tuple(f"class {index:02}" for index in range(NUM_CLASSES))
    backbone = BackboneSettings(architecture="mobilenet_v2", weights=None, output_stride=16)
    save_classifier(network, build_classifier(backbone, NUM_CLASSES), backbone, names)
    config = RunConfig(
        data=str(images),
        classes=str(images / "classes.txt"),
        out=str(folder / "run"),
        classifier=str(network),
        attribute=attribute,
        climb=ClimbSettings(steps=steps),
        device="cpu",
    )
    run_stages(replace(config, limit=4), ("classify",))
    return config


def fresh(config: RunConfig, name: str) -> RunConfig:
    """The same run in a folder of its own, with a classifier and without maps."""
    copy = replace(config, out=f"{config.out} {name}")
    run_stages(replace(copy, limit=4), ("classify",))
    return copy


@contextmanager
def clocks() -> Iterator[list[float]]:
    """Wall and processor seconds of the block, helper processes included."""
    spent: list[float] = []
    before = os.times()
    start = time.perf_counter()
    yield spent
    after = os.times()
    spent += [time.perf_counter() - start, sum(after[:4]) - sum(before[:4])]


def speed(config: RunConfig, turns: int) -> None:
    run = Run.open(config)
    engine = Mapping.of(run, run.class_names)
    pixels = engine.batch_pixels(1)
    plan = engine.plan(run, pixels)
    loaded = [(batch, engine.load(batch)) for batch in plan if batch.size is not None]
    pairs = sum(len(record.classes) for record in run.records)
    print(f"{len(run.records)} images, {pairs} pairs, {len(plan)} units, batches of {pixels} pixels")
    best: dict[str, list[float]] = {}
    for turn in range(turns):
        with clocks() as alone:
            for batch, unit in loaded:
                map_pictures(
                    engine.mapper,
                    unit.pictures,
                    [record.classes for record in unit.records],
                    engine.method,
                    scales=config.attribute.scales,
                    size=batch.size,
                    batch_pixels=pixels,
                )
        own = fresh(config, f"speed {turn}")
        with clocks() as staged:
            run_stages(own, ("attribute",))
        for name, spent in (("engine", alone), ("stage", staged)):
            best[name] = [min(pair) for pair in zip(spent, best.get(name, spent), strict=True)]
    for index, clock in enumerate(("wall", "cpu")):
        engine_s, stage_s = best["engine"][index], best["stage"][index]
        share = engine_s / stage_s
        print(f"{clock:>5}: engine {engine_s:.1f} s, stage {stage_s:.1f} s: the stage has {share:.3f} of its speed")


def processes(config: RunConfig, turns: int) -> None:
    """One process of one thread, and two of one thread each, in turns."""
    torch.set_num_threads(1)
    best: dict[int, list[float]] = {}
    files: dict[int, dict[str, bytes]] = {}
    for turn in range(turns):
        for count in (1, 2):
            torch.set_num_threads(count)  # divided among the processes
            own = fresh(config, f"{count} processes {turn}")
            with clocks() as spent:
                run_stages(replace(own, processes=count), ("attribute",))
            best[count] = [min(pair) for pair in zip(spent, best.get(count, spent), strict=True)]
            root = Path(own.out)
            files[count] = {str(file.relative_to(root)): file.read_bytes() for file in sorted(root.rglob("*.npz"))}
    same = sum(files[1][name] == files[2].get(name) for name in files[1])
    (wall, cpu), (shared_wall, shared_cpu) = best[1], best[2]
    print(f"{same} of {len(files[1])} files are equal byte for byte")
    print(f" wall: one process {wall:.1f} s, two {shared_wall:.1f} s: {wall / shared_wall:.2f} times as fast")
    print(f"  cpu: one process {cpu:.1f} s, two {shared_cpu:.1f} s together: at best {2 * cpu / shared_cpu:.2f} times")
    start = apart(started, own)
    long_run = 2 * cpu / (shared_cpu - start)
    print(f"       {start:.1f} s of it to start the second: in a long run at best {long_run:.2f} times")


def started(config: RunConfig) -> float:
    """Processor seconds from nothing to a network that is ready to map; called in a fresh process."""
    torch.set_num_threads(1)
    run = Run.open(config, clean=False)
    Mapping.of(run, load_classifier(run.folder.classifier)[1])
    return time.process_time()


def memory(config: RunConfig, plot: Path | None) -> None:
    run_folder = Path(config.out)
    samples: list[tuple[int, float]] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            count = sum(1 for _ in run_folder.glob("*/maps/**/*.npz"))
            samples.append((count, resident() / 2**20))

    watcher = threading.Thread(target=watch)
    watcher.start()
    run_stages(config, ("attribute",))
    done.set()
    watcher.join()
    marks = (100, 500, 1000, 1500, 2000)
    for mark in marks:
        near = min(samples, key=lambda sample: abs(sample[0] - mark))
        print(f"after {near[0]:5} images {near[1]:7.0f} MiB")
    late = [size for count, size in samples if count >= 500]
    print(f"from image 500 on between {min(late):.0f} and {max(late):.0f} MiB")
    if plot is not None:
        draw(samples, plot)


def draw(samples: list[tuple[int, float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 2.6), layout="constrained")
    axes.plot(*zip(*samples, strict=True), color="#1f6f8b", linewidth=1.2)
    axes.set(xlabel="images mapped", ylabel="resident memory, MiB", ylim=(0, None), xlim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "processes", "memory"))
    parser.add_argument("--images", type=int, help="default: 24, for memory 2000")
    parser.add_argument("--steps", type=int, help="of the climb (default: 4, for memory 2)")
    parser.add_argument("--turns", type=int, default=2, help="of which the best counts (default: 2)")
    parser.add_argument("--threads", type=int, default=1, help="for speed and memory (default: 1)")
    parser.add_argument("--plot", type=Path, help="for memory: where the picture goes")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as folder:
        if asked.what == "memory":
            sizes = [(64, 96), (96, 64), (80, 80)]
            wanted = [sizes[index % 3] for index in range(asked.images or 2000)]
            memory(
                prepared(Path(folder), wanted, AttributeSettings(scales=(1.0,), batch_pixels=2**18), asked.steps or 2),
                asked.plot,
            )
            return
        wanted = voc_sizes(asked.images or 24, np.random.default_rng(1))
        config = prepared(Path(folder), wanted, AttributeSettings(scales=(0.5, 1.0)), asked.steps or 4)
        (speed if asked.what == "speed" else processes)(config, asked.turns)


if __name__ == "__main__":
    if not sys.platform.startswith("linux"):
        sys.exit("benchmarks/stage.py reads memory from /proc, which only Linux has")
    main()
