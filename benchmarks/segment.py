"""Training and prediction of a segmentation network, against the same network in a bare PyTorch loop.

    python benchmarks/segment.py                          MobileNetV2, the network of the studies on two cores
    python benchmarks/segment.py --architecture torchvision/resnet50 --device cuda --batch 16

Both ways run in turn, several rounds of each, on the same generated photographs, with the same batches, optimizer and
number of threads; the best round of each counts, once by the clock and once by the CPU time of this process, which
other programs on the machine disturb less. The bare training loop decodes, cuts, stacks, steps and nothing else: no
logs, no states, no progress. The bare prediction decodes, runs the network and takes the best class; it writes nothing,
while ``predict`` writes a mask and an overlay per image in threads of its own. Threads: OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from advcam.data.images import read_image
from advcam.data.masks import write_mask
from advcam.data.record import ImageSet, Record
from advcam.data.transforms import normalize
from advcam.pipeline.engines import go_through
from advcam.pipeline.predictions import LabelWork, batches_of, on_device
from advcam.segment.inference import Segmenter
from advcam.segment.settings import InferenceSettings, SegmentSettings
from advcam.segment.task import DeepLabTask, start_deeplab
from advcam.training import FitEvent, fit
from advcam.training.schedule import build_optimizer, set_learning_rate
from advcam.verbs.predict import MASKS, Predictions, sized

CLASSES = tuple(f"class {index}" for index in range(20))
Seconds = tuple[float, float]
# The first updates of a training are slower.
WARM_UP = 2


def photographs(root: Path, count: int, height: int = 375, width: int = 500) -> ImageSet:
    """Smooth noise with masks of large patches."""
    records = []
    for index in range(count):
        generator = np.random.default_rng(index)
        small = Image.fromarray(generator.integers(0, 256, (height // 12, width // 12, 3), dtype=np.uint8))
        small.resize((width, height), Image.Resampling.BICUBIC).save(root / f"{index}.jpg", quality=90)
        patches = Image.fromarray(generator.integers(0, 21, (4, 5), dtype=np.uint8))
        write_mask(root / f"{index}.png", np.asarray(patches.resize((width, height), Image.Resampling.NEAREST)))
        records.append(Record(str(index), root / f"{index}.jpg", (), root / f"{index}.png"))
    return ImageSet(root, "generated", None, CLASSES, tuple(records))


def clock(device: torch.device) -> Seconds:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def elapsed(start: Seconds, end: Seconds) -> Seconds:
    return end[0] - start[0], end[1] - start[1]


def ours_training(task: DeepLabTask, folder: Path, device: torch.device) -> Seconds:
    """Time of all updates but the first ones, by ``advcam.training.fit``."""
    marks: list[Seconds] = []

    def note(event: FitEvent) -> None:
        if event.update in (WARM_UP, event.updates):
            marks.append(clock(device))

    fit(task, folder, origin={}, device=device.type, on_event=note)  # type: ignore[arg-type]
    return elapsed(marks[0], marks[-1])


def bare_training(task: DeepLabTask, device: torch.device) -> Seconds:
    """The same updates by hand."""
    settings = task.settings
    task.network.to(device, memory_format=torch.channels_last)
    optimizer = build_optimizer(task.parameter_groups(), settings)
    order = [int(index) for index in np.random.default_rng(0).permutation(len(task))]
    total, start = settings.updates or 0, clock(device)
    half = device.type == "cuda"
    task.set_train_mode()
    for update in range(total):
        if update == WARM_UP:
            start = clock(device)
        first = update * settings.batch_size
        chosen = [order[(first + offset) % len(order)] for offset in range(settings.batch_size)]
        batch = task.collate([task.item(0, index) for index in chosen])
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            loss = task.loss([part.to(device) for part in batch], update, total)["loss"]
        optimizer.zero_grad()
        loss.backward()
        set_learning_rate(optimizer, task.lr_factor(update, total))
        optimizer.step()
    return elapsed(start, clock(device))


def ours_prediction(segmenter: Segmenter, images: ImageSet, out: Path) -> Seconds:
    """Masks and overlays of all images, by the parts of ``advcam predict``."""
    predictions = Predictions(out, CLASSES, True, "benchmark")
    start = clock(segmenter.device)
    missing = predictions.missing({record.id: record.image for record in images.records})
    work = LabelWork(segmenter, InferenceSettings(), MASKS, predictions.read, predictions.write)
    batches = batches_of(segmenter, work.settings, sized(images.records, predictions))
    for _, outcome in go_through(lambda: work, batches, missing):
        predictions.note(outcome)
    return elapsed(start, clock(segmenter.device))


@torch.inference_mode()
def bare_prediction(segmenter: Segmenter, images: ImageSet) -> Seconds:
    """Labels of all images one by one, written nowhere."""
    start = clock(segmenter.device)
    for record in images.records:
        pixels = torch.from_numpy(normalize(read_image(record.image), segmenter.mean, segmenter.std))[None]
        pixels = pixels.to(segmenter.device).contiguous(memory_format=torch.channels_last)
        logits = nn.functional.interpolate(segmenter.network(pixels), pixels.shape[2:], mode="bilinear")
        logits.argmax(dim=1).to(torch.uint8).cpu().numpy()
    return elapsed(start, clock(segmenter.device))


def compare(what: str, unit: str, count: int, ways: dict[str, Callable[[int], Seconds]], rounds: int) -> None:
    """Run the ways in turn and print how fast the first is relative to the second."""
    best: dict[str, list[float]] = {name: [float("inf")] * 2 for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            best[name] = [min(pair) for pair in zip(best[name], way(number), strict=True)]
    print(f"{what}, best of {rounds} rounds")
    for name, (wall, cpu) in best.items():
        print(f"  {name:<8} {count / wall:7.2f} {unit}/s by the clock, {count / cpu:7.2f} {unit}/s of CPU time")
    ours, bare = best.values()
    print(f"  ratio    {bare[0] / ours[0]:7.2f} by the clock, {bare[1] / ours[1]:7.2f} by CPU time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="torchvision/mobilenet_v2")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--crop", type=int, default=193)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--updates", type=int, default=8)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    device = torch.device(given.device)
    settings = SegmentSettings(
        architecture=given.architecture,
        weights=None,
        output_stride=16,
        rates=(3, 6, 9, 12),
        pyramid=(),
        crop=given.crop,
        batch_size=given.batch,
        updates=given.updates,
        workers=0,
        checkpoint_seconds=1e6,
    )
    print(f"{given.architecture}, {device.type}, {torch.get_num_threads()} thread(s), torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        images = photographs(root, given.images)

        def task() -> DeepLabTask:
            torch.manual_seed(0)
            segmenter, _ = start_deeplab(replace(settings), CLASSES)
            return DeepLabTask(segmenter, images, settings)

        compare(
            f"training, {given.batch} crops of {given.crop} pixels an update",
            "updates",
            given.updates - WARM_UP,
            {
                "advcam": lambda number: ours_training(task(), root / f"fit{number}", device),
                "bare": lambda _: bare_training(task(), device),
            },
            given.rounds,
        )
        segmenter = on_device(task().segmenter, device)
        bare_prediction(segmenter, images)
        compare(
            "prediction, photographs of 500 x 375 pixels",
            "images",
            given.images,
            {
                "advcam": lambda number: ours_prediction(segmenter, images, root / f"out{number}"),
                "bare": lambda _: bare_prediction(segmenter, images),
            },
            given.rounds,
        )


if __name__ == "__main__":
    main()
