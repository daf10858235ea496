"""What each way of refining adds: mIoU, time and memory of the masks, from plain CAM and from AdvCAM.

``maps`` computes the maps once and keeps them in a folder: class activation maps at scales 1 and 1.5 added, and the
same with the maps at scale 1 climbed. ``table`` refines them by each method and chain; background thresholds are the
best ones of the first split and are carried to the second. ``thresholds`` compares rules that choose a threshold
without masks, and from few masks. Resumable; one thread.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from advcam.attribute.climb import ClimbStep, climb
from advcam.attribute.grid import high_res
from advcam.attribute.inputs import to_input
from advcam.attribute.maps import CAM
from advcam.attribute.settings import ClimbSettings, adapted
from advcam.data import open_dataset, read_image, read_mask
from advcam.data.record import Record
from advcam.data.transforms import scale_image
from advcam.evaluate import ConfusionMatrix, SegmentationScores, SweepCounts, ThresholdSweep
from advcam.models import ClassMapper, load_classifier
from advcam.models.fold import fold_batch_norm
from advcam.refine import CRFSettings, crf_labels, regions
from advcam.refine.agreement import agreements, best_threshold, binned, stabilities
from advcam.refine.feature_affinity import class_distributions, cosine_affinity, jensen_shannon_affinity
from advcam.refine.pamr import pamr
from advcam.refine.retrieval import Memory, RetrievalSettings, named, remember
from advcam.refine.seeds import dataset_labels, local_seed
from advcam.refine.settings import RegionSettings
from advcam.refine.superpixels import superpixels
from advcam.refine.threshold import choose_threshold
from advcam.refine.walk import random_walk

STEPS = 4
PARTS = {"": slice(None), "0": slice(0, None, 4), "2": slice(2, None, 4)}
KINDS = ("CAM", "AdvCAM")
THRESHOLDS = tuple(round(0.01 * t, 2) for t in range(1, 100))
# A chain is one method after the other. Those of MAPS leave maps; after the others, or at the end, there is a mask.
MAPS = ("none", "js", "cosine", "pamr", "felzenszwalb", "slic")
WORDS = """none js cosine felzenszwalb slic pamr vote crf retrieval js+felzenszwalb felzenszwalb+vote felzenszwalb+crf
vote+crf crf+vote pamr+crf"""
CHAINS = [tuple(words.split("+")) for words in WORDS.split()]


@dataclass
class Subject:
    """One image: its kept maps and features, and what the methods look at."""

    record: Record
    kept: dict[str, np.ndarray]
    weight: Tensor
    """The classifier's head, K x C."""
    reduce: int = 1
    """Every so manieth pixel of the picture is looked at."""

    @cached_property
    def picture(self) -> np.ndarray:
        return np.ascontiguousarray(read_image(self.record.image)[:: self.reduce, :: self.reduce])

    @cached_property
    def classes(self) -> Tensor:
        return torch.from_numpy(self.kept["classes"])

    @property
    def target(self) -> np.ndarray:
        whole = read_mask(self.record, tuple(self.kept["size"].tolist()))
        return np.ascontiguousarray(whole[:: self.reduce, :: self.reduce])

    @property
    def size(self) -> tuple[int, int]:
        return self.picture.shape[0], self.picture.shape[1]

    def maps(self, kind: str, steps: int = STEPS) -> Tensor:
        """At the picture's size, in [0, 1]."""
        steps = steps if kind == "AdvCAM" else 1
        climbed = torch.from_numpy(self.kept["steps"][:steps]).sum(dim=0)
        raw = [climbed, steps * torch.from_numpy(self.kept["large"])]
        whole = high_res(raw, tuple(self.kept["size"].tolist()))
        return whole[:, :: self.reduce, :: self.reduce].contiguous()

    @cached_property
    def features(self) -> Tensor:
        return torch.from_numpy(self.kept["features"]).float()

    @cached_property
    def links(self) -> dict[str, Tensor]:
        """Affinities on the grid of the features."""
        class_maps = torch.einsum("kc,chw->khw", self.weight, self.features)
        return {
            "js": jensen_shannon_affinity(class_distributions(class_maps)),
            "cosine": cosine_affinity(self.features),
        }

    @cached_property
    def parts(self) -> dict[str, Tensor]:
        slic = RegionSettings(source="slic", scales=(100.0, 200.0, 400.0))
        return {"felzenszwalb": superpixels(self.picture), "slic": superpixels(self.picture, slic)}


@dataclass(frozen=True)
class AffinityChoice:
    beta: float
    steps: int


AFFINITY = {"js": AffinityChoice(32.0, 4), "cosine": AffinityChoice(32.0, 4)}


def refined(subject: Subject, maps: Tensor, method: str) -> Tensor:
    """Maps after one method that leaves maps, each over its maximum again."""
    if method == "none" or not maps.any():
        return maps
    if method in AFFINITY:
        grid = subject.features.shape[1:]
        small = interpolate(maps[None], grid, mode="area")[0]
        chosen = AFFINITY[method]
        walked = random_walk(small, subject.links[method] ** chosen.beta, steps=chosen.steps)
        maps = interpolate(walked[None], subject.size, mode="bilinear", align_corners=False)[0]
    elif method == "pamr":
        maps = pamr(torch.from_numpy(subject.picture), maps)
    else:
        maps = regions(maps, subject.parts[method])
    return maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=1e-5)


def masked(subject: Subject, mask: Tensor, method: str, memory: Memory | None, number: int | None) -> Tensor:
    """Local labels after one method that leaves labels."""
    if method == "crf":
        return crf_labels(subject.picture, mask, len(subject.classes) + 1, CRFSettings.irn()).to(torch.uint8)
    if method == "vote":
        return regions(mask, subject.parts["felzenszwalb"])
    assert memory is not None
    labels = torch.cat([torch.zeros(1, dtype=torch.int64), subject.classes + 1])
    part = subject.parts["felzenszwalb"][1]
    return named(subject.features, part, memory, labels, RetrievalSettings().neighbours, number).argmax(dim=0).to(mask)


class Study:
    """Counts of every image and chain, kept in a folder, so that a study that was stopped goes on."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.labels = len(open_dataset(asked.data, asked.split.partition("/")[0]).class_names) + 1
        classifier, _ = load_classifier(
            asked.classifier, open_dataset(asked.data, asked.split.partition("/")[0]).class_names
        )
        self.weight = classifier.mapper().weight

    def subjects(self, split: str) -> list[Subject]:
        """The images of a split, or of every fourth one of its images, whose maps are there."""
        name, _, part = split.partition("/")
        records = open_dataset(self.asked.data, name).records[PARTS[part]]
        paths = [(record, Path(self.asked.out, name, f"{record.id}.npz")) for record in records]
        return [
            Subject(record, dict(np.load(path)), self.weight, self.asked.reduce)
            for record, path in paths
            if path.exists()
        ]

    def counts(self, split: str, kind: str, chain: tuple[str, ...], threshold: float | None) -> list[dict]:
        """Per image: the counts of a sweep for a chain that leaves maps, else one confusion matrix; and the time."""
        named_ = "+".join(chain) + ("" if threshold is None else f"@{threshold:.2f}")
        folder = Path(self.asked.out, f"counts{self.asked.reduce}", split, kind, named_)
        folder.mkdir(parents=True, exist_ok=True)
        subjects = self.subjects(split)
        memory, found = None, []
        for number, subject in enumerate(subjects):
            path = folder / f"{subject.record.id}.npz"
            if not path.exists():
                if "retrieval" in chain and memory is None:
                    memory = self.memory(subjects, kind, threshold)
                np.savez_compressed(path, **self.count(subject, kind, chain, threshold, memory, number))
            found.append(dict(np.load(path)))
        return found

    def count(
        self,
        subject: Subject,
        kind: str,
        chain: tuple[str, ...],
        threshold: float | None,
        memory: Memory | None,
        number: int,
    ) -> dict[str, np.ndarray | float]:
        maps = subject.maps(kind)
        target = torch.from_numpy(subject.target)
        begun = time.thread_time()
        for method in chain:
            if method in MAPS:
                maps = refined(subject, maps, method)
        if threshold is None:
            seconds = time.thread_time() - begun
            sweep = SweepCounts(self.labels, THRESHOLDS)
            sweep.update(maps, subject.classes, target)
            return {"sweep": sweep.joint_BKK.numpy().astype(np.int32), "seconds": seconds}
        mask = local_seed(maps, threshold)
        for method in chain:
            if method not in MAPS and maps.any():
                mask = masked(subject, mask, method, memory, number)
        seconds = time.thread_time() - begun
        matrix = ConfusionMatrix(self.labels)
        matrix.update(dataset_labels(mask, subject.classes), target)
        return {"matrix": matrix.counts.numpy().astype(np.int32), "seconds": seconds}

    def memory(self, subjects: Sequence[Subject], kind: str, threshold: float | None) -> Memory:
        """Of the seeds of all images of the split."""
        assert threshold is not None
        settings, parts = RetrievalSettings(), []
        for number, subject in enumerate(subjects):
            mask = dataset_labels(local_seed(subject.maps(kind), threshold), subject.classes)
            parts.append(remember(subject.features, mask, subject.parts["felzenszwalb"][1], settings, number))
        return Memory.joined(parts).without_far(settings.dropped)

    def sweep(self, split: str, kind: str, chain: tuple[str, ...]) -> ThresholdSweep:
        found = self.counts(split, kind, chain, None)
        total = SweepCounts(self.labels, THRESHOLDS)
        total.joint_BKK += torch.from_numpy(sum(one["sweep"].astype(np.int64) for one in found))
        total.image_count = len(found)
        return total.compute()

    def row(self, kind: str, chain: tuple[str, ...]) -> str:
        """A row of the table; the threshold is that of the maps before the first method that leaves labels."""
        first = next((i for i, method in enumerate(chain) if method not in MAPS), len(chain))
        before = chain[:first] or ("none",)
        threshold = self.sweep(self.asked.split, kind, before).best_threshold
        figures, seconds, images = [], 0.0, []
        for split in (self.asked.split, self.asked.carried):
            if first == len(chain):
                swept, found = self.sweep(split, kind, chain), self.counts(split, kind, chain, None)
                scores = swept.at(threshold)
            else:
                found = self.counts(split, kind, chain, threshold)
                total = torch.from_numpy(sum(one["matrix"].astype(np.int64) for one in found))
                scores = SegmentationScores(total, len(found))
            seconds = float(np.median([one["seconds"] for one in found]))
            figures.append(f"{100 * scores.miou:.1f}")
            images.append(len(found))
        return f"| {kind} | {' + '.join(chain)} | {threshold:.2f} | {figures[0]} | {figures[1]} | {seconds:.2f} |"


def table(study: Study) -> None:
    """All chains: thresholds of the first split, carried to the second."""
    counts = [len(study.subjects(split)) for split in (study.asked.split, study.asked.carried)]
    print(f"{counts[0]} and {counts[1]} images")
    print("| maps | chain | threshold | chosen on | carried to | s per image |\n|---|---|---|---|---|---|")
    for chain in CHAINS:
        if not study.asked.only or "+".join(chain) in study.asked.only:
            for kind in study.asked.kinds:
                print(study.row(kind, chain), flush=True)


def thresholds(study: Study) -> None:
    """Thresholds chosen without masks, and what they lose against the best one."""
    print(
        "| maps | images | best | "
        + " | ".join(("0.30", "Otsu", "regions", "stability"))
        + " |\n|---|---|---|---|---|---|---|"
    )
    for split in (study.asked.split, study.asked.carried):
        for kind in KINDS:
            swept = study.sweep(split, kind, ("none",))
            agree, stable, maps = [], [], []
            for subject in study.subjects(split):
                full = subject.maps(kind)
                maps.append(full[:, ::4, ::4])
                bins = binned(full)
                agree.append(agreements(bins, subject.parts["felzenszwalb"]))
                stable.append(stabilities(bins))
            chosen = (
                0.3,
                choose_threshold(maps).threshold,
                best_threshold(torch.stack(agree)),
                best_threshold(torch.stack(stable)),
            )
            losses = [f"{100 * (swept.at(t).miou - swept.best.miou):+.2f} at {t:.2f}" for t in chosen]
            best = f"{100 * swept.best.miou:.2f} at {swept.best_threshold:.2f}"
            print(f"| {kind}, {split} | {swept.image_count} | {best} | {' | '.join(losses)} |", flush=True)


def memory(study: Study) -> None:
    """The most memory that each chain takes for one image beyond what holds it, in processes of their own."""
    subject = study.subjects(study.asked.split)[0]
    maps = subject.maps("CAM")
    for method in (*MAPS[1:], "crf", "vote"):
        readable, writable = os.pipe()
        if os.fork() == 0:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if method in MAPS:
                refined(subject, maps, method)
            else:
                masked(subject, local_seed(maps, 0.3), method, None, None)
            os.write(writable, str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before).encode())
            os._exit(0)
        os.wait()
        print(f"{method}: {int(os.read(readable, 99)) / 1024:.0f} MiB", flush=True)


def make_maps(asked: argparse.Namespace, split: str) -> None:
    """Keep what the methods start from, image by image: the maps of every step, and the features."""
    images = open_dataset(asked.data, split)
    classifier, _ = load_classifier(asked.classifier, images.class_names)
    mapper = fold_batch_norm(classifier.eval().to(memory_format=torch.channels_last).mapper())
    settings = replace(adapted(ClimbSettings.released(), CAM(mapper).units), steps=STEPS)
    begun, made = time.thread_time(), 0
    for record in images.records:
        path = Path(asked.out, split, f"{record.id}.npz")
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **maps_of(mapper, settings, record))
        made += 1
    print(f"{split}: {made} images, {time.thread_time() - begun:.0f} s of thread time")


def maps_of(mapper: ClassMapper, settings: ClimbSettings, record: Record) -> dict[str, np.ndarray]:
    picture, classes = read_image(record.image), torch.tensor(record.classes)
    kept: dict[float, list[Tensor]] = {}
    for scale in (1.0, 1.5):
        views = to_input(scale_image(picture, scale), mapper)[None].expand(len(classes), -1, -1, -1)
        seen = kept.setdefault(scale, [])

        def keep(step: ClimbStep, seen: list[Tensor] = seen) -> None:
            seen.append(step.maps.detach())

        climb(mapper, views, classes, settings if scale == 1.0 else replace(settings, steps=1), on_step=keep)
    with torch.no_grad():
        features = mapper.features(to_input(picture, mapper)[None])[0]
    return {
        "steps": torch.stack(kept[1.0]).numpy(),
        "large": kept[1.5][0].numpy(),
        "features": features.half().numpy(),
        "classes": classes.numpy(),
        "size": np.array(picture.shape[:2]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("maps", "table", "thresholds", "memory"))
    parser.add_argument("--data", required=True)
    parser.add_argument("--classifier", required=True, help="a classifier's folder")
    parser.add_argument(
        "--split",
        default="train_mini",
        help="thresholds are chosen on it; NAME/0 is every fourth image of it, NAME/2 others",
    )
    parser.add_argument("--carried", default="val_mini", help="the split that thresholds are carried to")
    parser.add_argument("--reduce", type=int, default=1, help="look at every so manieth pixel either way")
    parser.add_argument("--kinds", nargs="*", default=KINDS)
    parser.add_argument("--only", nargs="*", default=[], help="table: only these chains, such as js+crf")
    parser.add_argument("--out", default="runs/refine_study")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.what == "maps":
        for split in (asked.split, asked.carried):
            make_maps(asked, split)
    else:
        {"table": table, "thresholds": thresholds, "memory": memory}[asked.what](Study(asked))


if __name__ == "__main__":
    main()
