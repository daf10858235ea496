"""What a way of refining is to the stage that writes masks, and the two simplest: the dense CRF, and none.

To add one, write a module like ``refine_psa.py`` that offers a ``Method``, and name it in the table ``METHODS`` of
``refine.py`` and in ``RefineSettings.method``. Its own settings are a section of ``RunConfig``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from advcam.attribute.grid import full_size
from advcam.attribute.result import LocalizationMaps
from advcam.data.images import read_image
from advcam.data.record import Record
from advcam.pipeline.attribute import reduce
from advcam.pipeline.run import Run
from advcam.pipeline.scoring import ChosenThreshold, choose


@dataclass(frozen=True)
class Subject:
    """One image on its way to a mask."""

    record: Record
    image: UInt8[np.ndarray, "h w 3"]
    """At most ``refine.max_side`` pixels long."""
    result: LocalizationMaps
    """The maps as they are stored, of the image at its own size."""

    @classmethod
    def read(cls, run: Run, record: Record, kind: str) -> Subject:
        """The image and its maps of one kind."""
        result = LocalizationMaps.load(run.folder.maps(kind, record.id))
        return cls(record, reduce(read_image(record.image), run.config.refine.max_side), result)

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


@dataclass(frozen=True)
class Prepared:
    """What the masks of one kind of maps depend on, beside settings and maps."""

    threshold: ChosenThreshold | None = None
    """The background threshold of the masks, in units of its own scores; None where there is none."""
    network: str | None = None
    """The content of the network that they are made with."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Anything else that their numbers depend on."""


@dataclass(frozen=True)
class Method:
    """A way of refining."""

    settings: Callable[[Run], dict[str, Any]]
    """Of the settings, what the masks depend on beside those of ``refine``; known before anything is trained."""
    prepare: Callable[[Run, str], Prepared]
    """Choose a threshold and train what is needed for a kind of maps, as artifacts of their own."""
    labels: Callable[[Run, str, Prepared], Labels]
    """How masks are made: 0 background, class + 1, 255 ignore, at the size of the subject's image. Called once in
    every process; the result is called from several threads at once."""
    fixed: Callable[[Run], float | None] = lambda run: None
    """The threshold that the settings name; None where it is chosen, or there is none."""
    artifacts: tuple[str, ...] = ()
    """Names, below the kind of maps, of what ``prepare`` makes in the run folder, such as "irn"."""
    sections: tuple[str, ...] = ("seed",)
    """The sections of settings that matter to it, for ``--help``."""


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

    def prepare(run: Run, kind: str) -> Prepared:
        return Prepared(None if run.config.refine.rule == "confident" else choose(run, kind))

    def labels(run: Run, kind: str, prepared: Prepared) -> Labels:
        from advcam.refine.seeds import dataset_labels

        def of(subject: Subject) -> UInt8[np.ndarray, "h w"]:
            if prepared.threshold is None:
                return confident_mask(run, subject, crf)
            local = local_labels(run, subject, prepared.threshold.value, crf)
            return dataset_labels(local, subject.classes).numpy()

        return of

    def fixed(run: Run) -> float | None:
        return None if run.config.refine.rule == "confident" else fixed_seed(run)

    return Method(settings, prepare, labels, fixed, sections=("seed", "crf") if crf else ("seed",))


CRF, NONE = _seed_method(crf=True), _seed_method(crf=False)
