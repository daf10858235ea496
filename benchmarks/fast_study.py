"""Seed mIoU of climbing against its cost in forward passes: what a cheaper climb gives up, and where the knee is.

Every climb is made once and the maps of its steps are kept, so that settings with fewer steps or other scales cost
nothing more. ``climb`` makes them, ``table`` scores settings made of them and draws the front, ``confirm`` chooses
thresholds on one split and carries them to another. Resumable; one thread.

Cost counts forward passes of the whole network over an image and its mirror image at the image's own size, for each
(image, class) pair: the gradient to the input is one more, a scale counts with its pixels, a part of the network with
its share of the multiplications. Sharing between classes of an image is left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import interpolate

from advcam.attribute.climb import ClimbStep, climb
from advcam.attribute.multiscale import enlarge, fuse_stored, to_input
from advcam.attribute.result import LocalizationMaps
from advcam.attribute.settings import ClimbSettings
from advcam.data import open_dataset, read_image, read_mask
from advcam.data.record import Record
from advcam.data.transforms import scale_image
from advcam.evaluate import SweepCounts, SweepSettings, ThresholdSweep
from advcam.models import ClassMapper, load_classifier, split_at
from advcam.models.fold import fold_batch_norm
from advcam.models.split import shares_before

THRESHOLDS = SweepSettings(high=0.9).thresholds


@dataclass(frozen=True)
class Trace:
    """One climb at one scale, of which every step's map is kept."""

    scale: float
    steps: int
    size: float
    """Step size in units of the network's input, which spans 2, or in deviations of the feature map."""
    layer: str | None = None
    flip: bool = True
    mirrored: bool = False
    """Climb the mirror image instead of the image."""
    coarse: tuple[float, int, float] | None = None
    """Scale, updates and step size of a climb whose change of the pixels is where this one starts from."""

    @property
    def name(self) -> str:
        parts: list[object] = [f"{self.scale:g}", f"{self.size:g}", self.steps]
        parts += ["one"] * (not self.flip) + ["mirrored"] * self.mirrored + [self.layer] * (self.layer is not None)
        parts += ["after", *(f"{value:g}" for value in self.coarse)] if self.coarse else []
        return "_".join(str(part) for part in parts)

    def cost(self, passes: float, shares: dict[str, float]) -> float:
        """Forward passes at scale 1 for so many passes, forward or backward, from where the climb starts."""
        stem = shares[self.layer] if self.layer else 0.0
        own = self.scale**2 * (stem + (1 - stem) * passes) * (1 if self.flip else 0.5)
        return own + (self.coarse[0] ** 2 * 2 * self.coarse[1] if self.coarse else 0.0)

    @property
    def settings(self) -> ClimbSettings:
        return replace(
            ClimbSettings.released(), steps=self.steps, step_size=self.size, reg_weight=4.375, flip=self.flip
        )


@dataclass(frozen=True)
class Setting:
    """A row of the table: the sum of the first maps of some traces."""

    group: str
    name: str
    parts: tuple[tuple[Trace, int], ...]
    stop: float = 0.0
    """``stop_change`` of the climb."""


def all_maps(group: str, name: str, *traces: Trace) -> list[Setting]:
    """A setting for every number of maps, all traces alike; one map is plain CAM."""
    most = min(trace.steps for trace in traces)
    return [Setting(group, f"{name}, {maps} maps", tuple((t, maps) for t in traces)) for maps in range(2, most + 1)]


FINE = {scale: Trace(scale, 4, 0.08) for scale in (0.5, 1.0, 1.5)}
LARGE = Trace(1.0, 2, 0.16)
AT_6, AT_6_LARGE = Trace(1.0, 3, 0.4, "features.6"), Trace(1.0, 2, 0.8, "features.6")
AT_13 = Trace(1.0, 2, 0.4, "features.13")
AT_13_TWICE = Trace(1.5, 2, 0.4, "features.13")
OTHERS = [Trace(1.0, 3, s, f"features.{i}") for i, s in ((3, 0.4), (13, 0.2), (13, 0.8), (16, 0.2), (16, 0.8))]
ONE = (Trace(1.0, 2, 0.16, flip=False), Trace(1.5, 2, 0.16, flip=False, mirrored=True))
CARRIED = Trace(1.0, 1, 0.08, coarse=(0.5, 2, 0.16))

SETTINGS = [
    *(Setting("CAM", f"CAM, {s:g}", ((t, 1),)) for s, t in FINE.items()),
    Setting("CAM", "CAM, 1 + 1.5", ((FINE[1.0], 1), (FINE[1.5], 1))),
    Setting("CAM", "CAM, 0.5 + 1 + 1.5", tuple((t, 1) for t in FINE.values())),
    *all_maps("pixels", "step 0.08, 1", FINE[1.0]),
    *all_maps("pixels", "step 0.08, 1.5", FINE[1.5]),
    *all_maps("pixels", "step 0.08, 1 + 1.5", FINE[1.0], FINE[1.5]),
    *all_maps("pixels", "step 0.08, 0.5 + 1 + 1.5", *FINE.values()),
    *(Setting("stopping", f"step 0.08, 1, 4 maps, stop at {x}", ((FINE[1.0], 4),), x) for x in (0.3, 0.4, 0.5)),
    *all_maps("pixels", "step 0.16, 1", LARGE),
    *all_maps("layer", "features.3, step 0.4, 1", OTHERS[0]),
    *all_maps("layer", "features.6, step 0.4, 1", AT_6),
    Setting("stopping", "features.6, step 0.4, 1, 3 maps, stop at 0.4", ((AT_6, 3),), 0.4),
    *all_maps("layer", "features.6, step 0.8, 1", AT_6_LARGE),
    *all_maps("layer", "features.13, step 0.2, 1", OTHERS[1]),
    *all_maps("layer", "features.13, step 0.4, 1", AT_13),
    *all_maps("layer", "features.13, step 0.8, 1", OTHERS[2]),
    *all_maps("layer", "features.16, step 0.2, 1", OTHERS[3]),
    *all_maps("layer", "features.16, step 0.8, 1", OTHERS[4]),
    *all_maps("layer", "features.13, step 0.4, 1 + 1.5", AT_13, AT_13_TWICE),
    Setting("layer", "features.13, step 0.4, 1, and CAM at 1.5", ((AT_13, 2), (FINE[1.5], 1))),
    *all_maps("one view", "image only, step 0.16, 1", ONE[0]),
    *all_maps("one view", "image at 1, mirror image at 1.5, step 0.16", *ONE),
    Setting("coarse to fine", "2 steps of 0.16 at 0.5, then one map at 1", ((CARRIED, 1),)),
]


def stopped(maps_TNhw: Tensor, stop: float) -> tuple[Tensor, list[int]]:
    """The sum of the maps as ``stop_change`` makes it, and how many maps each pair needs."""
    steps = len(maps_TNhw)
    if not stop:
        return maps_TNhw.sum(dim=0), [steps] * maps_TNhw.shape[1]
    moved_TN = (maps_TNhw[1:] - maps_TNhw[:-1]).abs().sum(dim=(2, 3)) > stop * maps_TNhw[1:].sum(dim=(2, 3))
    needed = [next((t + 2 for t in range(steps - 1) if not moves[t]), steps) for moves in moved_TN.T]
    sums = [
        maps[:n].sum(dim=0) + (steps - n) * maps[n - 1] for maps, n in zip(maps_TNhw.unbind(1), needed, strict=True)
    ]
    return torch.stack(sums), needed


class Study:
    """The images and the network; climbs are kept in a folder."""

    def __init__(self, asked: argparse.Namespace, split: str, count: int | None = None) -> None:
        images = open_dataset(asked.data, split)
        count = min(count or len(images), len(images))
        every = len(images) // count
        self.records: Sequence[Record] = images.records[: every * count : every]
        self.labels = len(images.class_names) + 1
        self.folder = Path(asked.out, split)
        classifier, _ = load_classifier(asked.classifier, images.class_names)
        self.whole = classifier.eval().to(memory_format=torch.channels_last).mapper()
        self.shares = shares_before(self.whole)
        self.mappers: dict[str | None, ClassMapper] = {}

    def mapper(self, layer: str | None) -> ClassMapper:
        if layer not in self.mappers:
            self.mappers[layer] = fold_batch_norm(self.whole if layer is None else split_at(self.whole, layer))
        return self.mappers[layer]

    def file(self, trace: Trace, record: Record) -> Path:
        return self.folder / trace.name / f"{record.id}.npz"

    def climb(self, trace: Trace) -> None:
        """Climb the images that are not there yet; keeps the maps, and the thread's time."""
        for record in self.records:
            path = self.file(trace, record)
            if path.exists():
                continue
            picture, steps = read_image(record.image), list[Tensor]()
            images, classes = self.images(trace, picture, record), torch.tensor(record.classes)

            def keep(step: ClimbStep, steps: list[Tensor] = steps) -> None:
                steps.append(step.maps)

            begun = time.thread_time()
            climb(self.mapper(trace.layer), images, classes, trace.settings, on_step=keep)
            seconds = time.thread_time() - begun
            maps = torch.stack(steps).flip(-1) if trace.mirrored else torch.stack(steps)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(path, maps=maps.numpy(), seconds=seconds, size=picture.shape[:2])

    def images(self, trace: Trace, picture: np.ndarray, record: Record) -> Tensor:
        """What the climb starts from: the picture, moved by a coarser climb or mirrored where the trace says so."""
        mapper, count = self.mapper(trace.layer), len(record.classes)
        start = to_input(scale_image(picture, trace.scale), mapper).expand(count, -1, -1, -1)
        if trace.coarse:
            scale, updates, size = trace.coarse
            small = to_input(scale_image(picture, scale), mapper).expand(count, -1, -1, -1)
            seen: list[ClimbStep] = []
            settings = Trace(scale, updates + 1, size).settings
            climb(mapper, small, torch.tensor(record.classes), settings, on_step=seen.append)
            change = seen[-1].images - seen[0].images
            both = (change[:, 0] + change[:, 1].flip(-1)) / 2
            start = start + interpolate(both, start.shape[2:], mode="bilinear", align_corners=False)
        return start.flip(-1) if trace.mirrored else start

    def maps(self, setting: Setting, record: Record) -> Tensor:
        """The setting's maps at the picture's size."""
        files = [(np.load(self.file(trace, record)), maps) for trace, maps in setting.parts]
        size = tuple(int(side) for side in files[0][0]["size"])
        raw = [stopped(torch.from_numpy(file["maps"][:maps]), setting.stop)[0] for file, maps in files]
        return enlarge(fuse_stored(raw, size), size)

    def cost(self, setting: Setting) -> float:
        """Forward passes per pair, in the mean where pairs stop by themselves."""
        costs = []
        for trace, maps in setting.parts:
            pairs = [maps]
            if setting.stop:
                files = [np.load(self.file(trace, record)) for record in self.records]
                pairs = [n for file in files for n in stopped(torch.from_numpy(file["maps"][:maps]), setting.stop)[1]]
            # A pair that stops has its last backward pass behind it, which one that goes on to the end has not.
            passes = [2 * n - (n == maps) for n in pairs]
            costs.append(trace.cost(sum(passes) / len(passes), self.shares))
        return sum(costs)

    def sweep(self, setting: Setting | Path) -> ThresholdSweep:
        """Scores at all thresholds, of a setting or of the maps of a run folder."""
        counts = SweepCounts(self.labels, THRESHOLDS)
        for maps, record in self.scored(setting):
            target = torch.from_numpy(read_mask(record, tuple(maps.shape[1:])))
            counts.update(maps, torch.tensor(record.classes), target)
        return counts.compute()

    def scored(self, setting: Setting | Path) -> Iterator[tuple[Tensor, Record]]:
        for record in self.records:
            if isinstance(setting, Setting):
                yield self.maps(setting, record), record
            else:
                kept = LocalizationMaps.load(setting / f"{record.id}.npz")
                yield enlarge(torch.from_numpy(kept.maps).float(), kept.image_size), record

    def has(self, setting: Setting) -> bool:
        return all(self.file(trace, record).exists() for trace, _ in setting.parts for record in self.records)


def make(study: Study, wanted: Sequence[str]) -> None:
    """Climb for all settings, or those whose names contain one of the words."""
    traces = {trace for s in SETTINGS if not wanted or any(w in s.name for w in wanted) for trace, _ in s.parts}
    for trace in sorted(traces, key=lambda trace: trace.cost(2 * trace.steps - 1, study.shares)):
        study.climb(trace)
        spent = sum(float(np.load(study.file(trace, record))["seconds"]) for record in study.records)
        passes = trace.cost(2 * trace.steps - 1, study.shares) * sum(len(record.classes) for record in study.records)
        print(f"{trace.name:24s} {spent:6.1f} s of thread time, {1000 * spent / passes:5.0f} ms per forward pass")


def table(study: Study, picture: str | None) -> None:
    """All settings, best threshold on these images."""
    rows = []
    print(f"{len(study.records)} images\n| setting | cost | mIoU | at | noise |\n|---|---|---|---|---|")
    for setting in filter(study.has, SETTINGS):
        found, cost = study.sweep(setting), study.cost(setting)
        rows.append((setting, cost, 100 * found.best.miou))
        print(
            f"| {setting.name} | {cost:.2f} | {100 * found.best.miou:.2f} | {found.best_threshold:.2f} "
            f"| {found.best.noise:.2f} |",
            flush=True,
        )
    if picture:
        draw(rows, picture)


def draw(rows: Sequence[tuple[Setting, float, float]], picture: str) -> None:
    """Cost against mIoU, and the front of the settings that none is both cheaper and better than."""
    figure = Figure(figsize=(8, 5))
    axes = figure.add_subplot()
    for group in dict.fromkeys(setting.group for setting, _, _ in rows):
        points = [(cost, miou) for setting, cost, miou in rows if setting.group == group]
        axes.scatter(*zip(*points, strict=True), label=group, s=28)
    front = [row for row in rows if not any(o[1] <= row[1] and o[2] > row[2] for o in rows)]
    front.sort(key=lambda row: row[1])
    axes.step([row[1] for row in front], [row[2] for row in front], where="post", color="0.5", zorder=0)
    for number, (_, cost, miou) in enumerate(front, 1):
        axes.annotate(str(number), (cost, miou), fontsize=8, xytext=(-8, 4), textcoords="offset points")
    names = "\n".join(f"{number}  {setting.name}" for number, (setting, _, _) in enumerate(front, 1))
    figure.text(0.93, 0.86, "on the front:\n" + names, fontsize=8, va="top")
    axes.set(xscale="log", xlabel="forward passes per image and class", ylabel="seed mIoU (%), best threshold")
    ticks = (0.25, 0.5, 1, 2, 4, 8, 16)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(picture, dpi=110, bbox_inches="tight")


def confirm(chosen: Study, carried: Study, wanted: Sequence[str], runs: Sequence[str]) -> None:
    """Thresholds of all images of one split, carried over to another."""
    named: list[tuple[str, Setting | Path]] = []
    for setting in SETTINGS:
        if setting.name in wanted:
            first_maps = replace(setting, parts=tuple((trace, 1) for trace, _ in setting.parts), stop=0.0)
            named += [("CAM of the same passes", first_maps), (setting.name, setting)]
    named += [(run, Path(run)) for run in runs]
    print(f"{len(chosen.records)} and {len(carried.records)} images\n| setting | chosen | carried | its best | at |")
    for name, setting in named:
        first, second = chosen.sweep(setting), carried.sweep(setting)
        there = 100 * second.at(first.best_threshold).miou
        print(
            f"| {name} | {100 * first.best.miou:.2f} | {there:.2f} | {100 * second.best.miou:.2f} "
            f"| {first.best_threshold:.2f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("climb", "table", "confirm"))
    parser.add_argument("settings", nargs="*", help="climb: words in names of settings; confirm: whole names")
    parser.add_argument("--data", required=True)
    parser.add_argument("--classifier", required=True, help="a classifier's folder")
    parser.add_argument("--split", default="train_mini")
    parser.add_argument("--carried", default="val_mini", help="confirm: the split that thresholds are carried to")
    parser.add_argument("--images", type=int, help="spread evenly over the split; all unless told")
    parser.add_argument("--runs", nargs="*", default=[], help="confirm: folders of maps of a run")
    parser.add_argument("--picture", help="table: a file for the plot")
    parser.add_argument("--out", default="runs/fast_study")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    study = Study(asked, asked.split, asked.images)
    if asked.what == "climb":
        make(study, asked.settings)
    elif asked.what == "table":
        table(study, asked.picture)
    else:
        confirm(study, Study(asked, asked.carried), asked.settings, asked.runs)


if __name__ == "__main__":
    main()
