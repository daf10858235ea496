"""What a way of refining is to the stage that writes masks, and the two simplest: the dense CRF, and none.

To add one: see ``stages.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from advcam.attribute.grid import STORED_STRIDE, full_size, stored_size
from advcam.attribute.result import LocalizationMaps
from advcam.data.images import read_image
from advcam.data.record import Record
from advcam.data.windows import Window, middle_of, windows
from advcam.io.keys import plain
from advcam.pipeline.config import RunConfig
from advcam.pipeline.keys import Facts, changed_since, few_of, learnt_of
from advcam.pipeline.mapping import reduce
from advcam.pipeline.parts import Batch, Outcome, Plan, Wanted, in_turn
from advcam.pipeline.run import Run
from advcam.pipeline.scoring import ChosenThreshold, choose, mask_contents, no_truth, scored_records
from advcam.pipeline.through import work_through


@dataclass(frozen=True)
class MaskSet:
    """One set of masks: of a kind of maps, the finished ones, or those of the CRF on the way to them."""

    kind: str
    step: str
    """Its folder below the kind's: "masks" or "crf"."""
    method: str
    """As ``refine.method``."""

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.step}"

    @property
    def finished(self) -> bool:
        return self.step == "masks"


@dataclass(frozen=True)
class Subject:
    """One image on its way to a mask."""

    record: Record
    image: UInt8[np.ndarray, "h w 3"]
    """At most ``refine.max_side`` pixels long, or as large as it is where it goes through windows."""
    result: LocalizationMaps
    """The maps as they are stored, of the image at its own size."""

    @classmethod
    def read(cls, run: Run, record: Record, kind: str, window: int = 0) -> Subject:
        """The image and its maps of one kind; not reduced where it is longer than ``window``, unless that is 0."""
        result = run.read_maps(kind, record)
        image = read_image(record.image)
        large = 0 < window < max(image.shape)
        return cls(record, image if large else reduce(image, run.config.refine.max_side), result)

    def part(self, window: Window) -> Subject:
        """A window of an image of its own size, with its part of the maps."""
        image = np.ascontiguousarray(self.image[window])
        height, width = image.shape[:2]
        rows, columns = (
            slice(span.start // STORED_STRIDE, span.start // STORED_STRIDE + length)
            for span, length in zip(window, stored_size((height, width)), strict=True)
        )
        maps = self.result.maps[:, rows, columns]
        return Subject(self.record, image, replace(self.result, maps=maps, image_size=(height, width)))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of ``image``."""
        height, width = self.image.shape[:2]
        return height, width

    @cached_property
    def maps(self) -> Float[Tensor, "k h w"]:
        """The maps at the size of ``image``, in [0, 1]."""
        return full_maps(self.result, self.size)

    @property
    def classes(self) -> Int[Tensor, " k"]:
        return torch.from_numpy(self.result.classes)


Labels = Callable[[Subject], UInt8[np.ndarray, "h w"]]


def by_windows(labels: Labels, subject: Subject, side: int) -> UInt8[np.ndarray, "h w"]:
    """The labels of an image, of a large one by windows: each pixel from the window whose middle is nearest."""
    if not 0 < side < max(subject.size):
        return labels(subject)
    mask = np.zeros(subject.size, np.uint8)
    for window in windows(subject.size, side):
        here, within = middle_of(window, subject.size, side)
        mask[here] = labels(subject.part(window))[within]
    return mask


@dataclass(frozen=True)
class EachImage:
    """Work on images one by one, each with its maps: a file for each."""

    run: Run
    kind: str
    name: str
    """Of the artifact."""
    make_one: Callable[[Subject], Any]
    write: Callable[[Path, Any], None] = lambda path, made: made.save(path)
    window: int = 0
    """Images longer than this are not reduced, unless it is 0."""
    threaded: bool = True

    def load(self, batch: Batch) -> Subject:
        return Subject.read(self.run, batch.records[0], self.kind, self.window)

    def make(self, batch: Batch, loaded: Subject) -> Any:
        return self.make_one(loaded)

    def save(self, batch: Batch, made: Any, missing: Mapping[str, frozenset[str]]) -> Outcome:
        image = batch.records[0].id
        path = self.run.folder.file(self.name, image)
        self.write(path, made)
        return Outcome([(self.name, image, path)])


def each_image(
    run: Run,
    name: str,
    keys: Mapping[str, str] | Callable[[Sequence[Record]], Mapping[str, str]],
    records: Sequence[Record],
    build: Callable[[Run], EachImage],
    what: str,
) -> int:
    """Make what is missing of an artifact of one file for each image; returns how many were."""
    return work_through(run, [Wanted(name, keys)], Plan(records, in_turn), records, build, what).made


@dataclass(frozen=True)
class Prepared:
    """What the masks of one kind of maps depend on, beside settings and maps."""

    threshold: ChosenThreshold | None = None
    """The background threshold of the masks, in units of its own scores; None where there is none."""
    network: str | None = None
    """The content of the network that they are made with."""
    held: bool = False
    """The threshold was chosen earlier, and still holds."""


@dataclass(frozen=True)
class Method:
    """A way of refining."""

    settings: Callable[[Run], dict[str, Any]]
    """Of the settings, what the masks depend on beside those of ``refine``; known before anything is trained."""
    prepare: Callable[[Run, MaskSet, Facts], Prepared]
    """Choose a threshold and train what is needed for a set of masks, of which these facts are known."""
    labels: Callable[[Run, MaskSet, Prepared], Labels]
    """How masks are made: 0 background, class + 1, 255 ignore, at the size of the subject's image. Called once in
    every process; the result is called from several threads at once."""
    fixed: Callable[[Run], float | None] = lambda run: None
    """The threshold that the settings name; None where it is chosen, or there is none."""
    artifact: str = ""
    """The name, below the kind of maps, of the network that ``prepare`` makes in the run folder, such as "irn"."""
    network: Callable[..., Facts] | None = None
    """What the network of a kind of maps depends on, of a run and the kind."""
    asks_network: Callable[[RunConfig], bool] = lambda config: True
    """Whether one is trained with these settings, or taken over."""
    output: str = ""
    """Its folder, below the kind of maps."""
    check_data: Callable[[Run], None] = lambda run: None
    """Refuses, before anything is made, a data set that ``prepare`` would refuse."""


# -- a threshold that was chosen holds as long as what it was chosen on --------------------------------------------


def asked_threshold(run: Run) -> list[Any]:
    """The settings by which thresholds are chosen."""
    config = run.config
    return [config.seed.threshold, config.irn_walk.background, plain(config.sweep)]


def choose_once(
    run: Run, masks: MaskSet, known: Facts, choose: Callable[[], ChosenThreshold], network: str | None = None
) -> Prepared:
    """A threshold for a set of masks: the one that it has, where that still holds, or a new one."""
    held = held_choice(run, masks, known | {"network": network})
    return Prepared(held or choose(), network, held is not None)


def held_choice(run: Run, masks: MaskSet, facts: Mapping[str, Any]) -> ChosenThreshold | None:
    """The threshold that a set of masks was made with, where it was chosen with these facts and settings, on images
    few of which have changed since; None where one is to be chosen."""
    entry = run.record.artifacts.get(masks.name)
    chosen = None if entry is None else ChosenThreshold.of(entry.result.get("threshold"))
    if entry is None or chosen is None or chosen.method == "fixed":
        return None
    same = all(entry.facts.get(name) == value for name, value in plain(facts).items())
    if not same or entry.result.get("asked") != plain(asked_threshold(run)):
        return None
    note_chosen_on(run, masks, chosen)
    changed, of = changed_since(run, masks.name)
    return None if changed and (run.config.overwrite or not few_of(len(changed), of)) else chosen


def note_chosen_on(run: Run, masks: MaskSet, chosen: ChosenThreshold) -> None:
    """What a threshold is chosen on: the maps and, by a sweep, the true masks, those of a person among them."""
    maps = run.ledger(f"{masks.kind}/maps").of(record.id for record in run.mapped(masks.kind))
    truth = mask_contents(run, scored_records(run, run.tune_name)) if chosen.method == "sweep" else {}
    learnt_of(run, masks.name, {image: [key, truth.get(image)] for image, key in maps.items()})


def fixed_seed(run: Run) -> float | None:
    """The background threshold of seeds where it is not chosen from maps or ground truth."""
    asked = run.config.seed.threshold
    return None if isinstance(asked, str) else float(asked)


def full_maps(result: LocalizationMaps, size: tuple[int, int]) -> Float[Tensor, "k H W"]:
    """Stored maps at the size of the picture, or at another one where a large picture was reduced."""
    maps = torch.from_numpy(result.maps).float()
    if size == result.image_size:
        return full_size(maps, size)
    return torch.nn.functional.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def check_swept_seed(run: Run) -> None:
    """There is ground truth for a threshold that is swept."""
    if run.config.seed.threshold == "swept" and not scored_records(run, run.tune_name):
        raise no_truth(run, "seed.threshold", "take seed.threshold auto, or a number")


# -- seed and dense CRF ----------------------------------------------------------------------------------------------


def confident(run: Run) -> list[float]:
    """The two thresholds of IRN's rule."""
    return [run.config.seed.confident_foreground, run.config.seed.confident_background]


def confident_mask(run: Run, subject: Subject, crf: bool = True) -> UInt8[np.ndarray, "h w"]:
    """IRN's labels of what is sure, 255 elsewhere: what a network can learn from."""
    from advcam.refine.seeds import confident_labels

    strict, generous = (local_labels(run, subject, threshold, crf) for threshold in confident(run))
    return confident_labels(strict, generous, subject.classes).numpy()


def local_labels(run: Run, subject: Subject, threshold: float, crf: bool = True) -> UInt8[Tensor, "h w"]:
    """Labels 0 to k of one image at one threshold, refined as the settings say."""
    from advcam.refine.seeds import local_seed
    from advcam.refine.unary import unary_from_labels, unary_from_scores

    maps = subject.maps
    labels = local_seed(maps, threshold)
    # An image without a class, or whose maps are all zero, has nothing to refine.
    if not crf or not maps.any():
        return labels
    if run.config.refine.unary == "labels":
        unary = unary_from_labels(labels, len(maps) + 1)
    else:
        unary = unary_from_scores(torch.cat([torch.full_like(maps[:1], threshold), maps]))
    return labels_by_crf(run, subject, unary)


def labels_by_crf(run: Run, subject: Subject, unary: Float[Tensor, "K h w"]) -> UInt8[Tensor, "h w"]:
    """Labels 0 to K - 1 of one image by the dense CRF, from their energies."""
    from advcam.refine.crf import dense_crf

    return dense_crf(torch.from_numpy(subject.image), unary, run.config.crf).argmax(dim=0).to(torch.uint8)


def _seed_method(crf: bool) -> Method:
    def settings(run: Run) -> dict[str, Any]:
        # The threshold of the other rule changes nothing.
        own = {"confident": confident(run)} if run.config.refine.rule == "confident" else {}
        return own | ({"crf": asdict(run.config.crf)} if crf else {})

    def prepare(run: Run, masks: MaskSet, known: Facts) -> Prepared:
        if run.config.refine.rule == "confident":
            return Prepared()
        return choose_once(run, masks, known, lambda: choose(run, masks.kind))

    def labels(run: Run, masks: MaskSet, prepared: Prepared) -> Labels:
        from advcam.refine.seeds import dataset_labels

        def of(subject: Subject) -> UInt8[np.ndarray, "h w"]:
            if prepared.threshold is None:
                return confident_mask(run, subject, crf)
            local = local_labels(run, subject, prepared.threshold.value, crf)
            return dataset_labels(local, subject.classes).numpy()

        return of

    def fixed(run: Run) -> float | None:
        return None if run.config.refine.rule == "confident" else fixed_seed(run)

    return Method(settings, prepare, labels, fixed, check_data=check_swept_seed)


CRF, NONE = _seed_method(crf=True), _seed_method(crf=False)
