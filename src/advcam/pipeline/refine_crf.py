"""Masks by a threshold and, unless the seed is to be the mask, a dense CRF."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from advcam.pipeline.refiner import Subject
from advcam.pipeline.run import Run
from advcam.pipeline.thresholds import ChosenThreshold, choose
from advcam.refine.crf import dense_crf
from advcam.refine.seeds import confident_labels, dataset_labels, local_seed
from advcam.refine.unary import unary_from_labels, unary_from_scores


def refiner(run: Run, kind: str) -> CRFRefiner:
    """For ``refine.method crf``."""
    return CRFRefiner(run, choose(run, kind))


def asked(run: Run, crf: bool = True) -> dict[str, Any]:
    """What the masks depend on besides the maps, ``refine`` and the threshold."""
    seed = run.config.seed
    return {
        "confident": [seed.confident_foreground, seed.confident_background],
        "crf": asdict(run.config.crf) if crf else None,
    }


@dataclass(frozen=True)
class CRFRefiner:
    """The seed at one threshold, or IRN's rule with two, refined by a dense CRF."""

    run: Run
    threshold: ChosenThreshold
    crf: bool = True
    """Whether the seed is refined at all."""

    @property
    def settings(self) -> dict[str, Any]:
        return asked(self.run, self.crf)

    def labels(self, subject: Subject) -> UInt8[np.ndarray, "h w"]:
        if self.run.config.refine.rule == "confident":
            return confident_mask(self.run, subject, self.crf)
        local = local_labels(self.run, subject, self.threshold.value, self.crf)
        return dataset_labels(local, subject.classes).numpy()


def confident_mask(run: Run, subject: Subject, crf: bool = True) -> UInt8[np.ndarray, "h w"]:
    """IRN's labels of what is sure, 255 elsewhere: what a network can learn from."""
    strict, generous = (
        local_labels(run, subject, threshold, crf)
        for threshold in (run.config.seed.confident_foreground, run.config.seed.confident_background)
    )
    return confident_labels(strict, generous, subject.classes).numpy()


def local_labels(run: Run, subject: Subject, threshold: float, crf: bool = True) -> UInt8[Tensor, "h w"]:
    """Labels 0 to k of one image at one threshold, refined as the settings say."""
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
    return dense_crf(torch.from_numpy(subject.image), unary, run.config.crf).argmax(dim=0).to(torch.uint8)
