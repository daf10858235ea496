"""CCT's loss of one batch: supervised, consistency, weak labels, each with its weight at that point of the training.

Source of the weights' ramps: Ouali, Hudelot and Tami, "Semi-supervised semantic segmentation with cross-consistency
training" (CVPR 2020), section 3.3, and its program.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from advcam.models.ranges import at_least_single
from advcam.segment.cct import losses
from advcam.segment.cct.auxiliary import AuxiliaryDecoder, Prediction
from advcam.segment.cct.network import CCTTraining
from advcam.segment.cct.settings import CCTSettings

MOST_PAIRS = 8
Shape = Literal["sigmoid", "linear", "cosine", "log", "exp"]


@dataclass(frozen=True)
class Batch:
    """Images with their masks, and as many without; these may have pseudo masks. All crops of one size."""

    images: Float[Tensor, "n 3 S S"]
    masks: Int64[Tensor, "n S S"]
    others: Float[Tensor, "m 3 S S"]
    pseudo_masks: Int64[Tensor, "m S S"] | None


@dataclass(frozen=True)
class Weights:
    """What the terms of the loss weigh at one point of the training.

    Attributes:
        consistency: ``w_u(t)``, from nearly 0 to ``settings.consistency_weight``.
        weak: ``w_w(t)``, the same ramp up to ``settings.weak_weight``.
        threshold: of annealed bootstrapped cross-entropy.
    """

    consistency: float
    weak: float
    threshold: float


def weights_at(update: int, total: int, num_labels: int, settings: CCTSettings) -> Weights:
    """The weights before update ``update`` of ``total``; eq. 5 of the CCT paper and its supplement.

    >>> found = weights_at(8 * 912, 80 * 912, 21, CCTSettings())
    >>> found.consistency, found.weak
    (30.0, 0.4)
    """
    epochs = settings.epochs if settings.updates is None else None
    risen = ramp(settings.ramp, update, ramp_updates(settings.ramp_fraction, total, epochs))
    return Weights(
        consistency=settings.consistency_weight * risen,
        weak=settings.weak_weight * risen,
        threshold=bootstrap_threshold(update, int(settings.bootstrap_fraction * total), num_labels),
    )


def objective(network: CCTTraining, batch: Batch, weights: Weights, settings: CCTSettings) -> dict[str, Tensor]:
    """The loss and its parts, as ``loss``, ``supervised``, ``consistency``, ``weak`` and ``pairwise``.

    ``loss = supervised + w_u consistency + w_w weak``: the supervised loss of the main decoder on the images with
    masks; for the others the mean over the auxiliary decoders of their distance to the main decoder's prediction,
    which is held fixed, and of their cross-entropy on the pseudo masks. The parts are without their weights. Images
    with and without masks pass the encoder separately, as batch norm is to see them separately.

    Random numbers are torch's global ones.
    """
    logits = network.main(batch.images)
    if settings.supervised == "abce":
        supervised = losses.annealed_cross_entropy(logits, batch.masks, weights.threshold)
    elif settings.supervised == "focal":
        supervised = losses.focal(logits, batch.masks)
    else:
        supervised = losses.cross_entropy(logits, batch.masks)
    features = network.main.encoder(batch.others)
    with torch.no_grad():
        main = at_least_single(network.main.decoder(features))
        prediction, target = Prediction(main.argmax(dim=1), tuple(features.shape[-2:])), main.softmax(dim=1)
    decoders = list(network.auxiliary)
    several = _several(len(decoders)) if settings.pairwise_weight else set()
    kept, distances, weak = [], [], []
    for position, decoder in enumerate(decoders):
        assert isinstance(decoder, AuxiliaryDecoder)
        perturbed = decoder.perturbed(features, prediction)
        terms = (decoder, perturbed, target, batch.pseudo_masks, settings)
        if position in several:
            kept.append(decoder.upsample(perturbed))
            distance, cross_entropy = _distance_and_weak(kept[-1], target, batch.pseudo_masks, settings)
        elif settings.save_memory:
            distance, cross_entropy = checkpoint(_decoded, *terms, use_reentrant=False)
        else:
            distance, cross_entropy = _decoded(*terms)
        distances.append(distance)
        weak.append(cross_entropy)
    parts = {
        "supervised": supervised,
        "consistency": torch.stack(distances).mean(),
        "weak": torch.stack(weak).mean(),
    }
    loss = parts["supervised"] + weights.consistency * parts["consistency"] + weights.weak * parts["weak"]
    if kept:
        parts["pairwise"] = losses.pairwise(kept)
        loss = loss + settings.pairwise_weight * parts["pairwise"]
    return {"loss": loss, **parts}


def _decoded(
    decoder: AuxiliaryDecoder, perturbed: Tensor, target: Tensor, pseudo_masks: Tensor | None, settings: CCTSettings
) -> tuple[Tensor, Tensor]:
    return _distance_and_weak(decoder.upsample(perturbed), target, pseudo_masks, settings)


def _distance_and_weak(
    logits: Tensor, target: Tensor, pseudo_masks: Tensor | None, settings: CCTSettings
) -> tuple[Tensor, Tensor]:
    distance = losses.consistency(logits, target, settings.distance, settings.confidence)
    weak = distance.new_zeros(()) if pseudo_masks is None else losses.cross_entropy(logits, pseudo_masks)
    return distance, weak


def _several(decoders: int) -> set[int]:
    return set(torch.randperm(decoders)[:MOST_PAIRS].tolist())


def ramp(shape: Shape, current: float, length: float) -> float:
    """From almost 0 to almost 1 while ``current`` goes from 0 to ``length``; level before and after.

    With ``u`` the fraction of the way: "sigmoid" is ``exp(-5 (1 - u)^2)`` (which starts at 0.0067), "linear" ``u``,
    "cosine" ``1 - (cos(pi u) + 1) / 2``, "log" ``1 - exp(-5 u)`` (which ends at 0.9933), "exp" ``exp(5 (u - 1))``.
    Without a length the ramp is over at once: 1.

    >>> [round(ramp("sigmoid", t, 100), 4) for t in (-5, 0, 50, 100, 200)]
    [0.0067, 0.0067, 0.2865, 1.0, 1.0]
    """
    if length <= 0:
        return 1.0
    way = min(max(current, 0.0), length) / length
    if shape == "sigmoid":
        return math.exp(-5.0 * (1.0 - way) ** 2)
    if shape == "linear":
        return way
    if shape == "cosine":
        return 1.0 - 0.5 * (math.cos(math.pi * way) + 1.0)
    if shape == "log":
        return 1.0 - math.exp(-5.0 * way)
    return math.exp(5.0 * (way - 1.0))


def ramp_updates(fraction: float, total: int, epochs: int | None) -> int:
    """Length in updates of a ramp over ``fraction`` of a training of ``total`` updates.

    A training that is measured in epochs ramps over whole ones, as the program does: 8 of 80.

    >>> ramp_updates(0.1, 80 * 912, 80) == 8 * 912, ramp_updates(0.1, 25 * 10, 25), ramp_updates(0.1, 250, None)
    (True, 20, 25)
    """
    if epochs is None:
        return int(fraction * total)
    return int(fraction * epochs) * (total // epochs)


def bootstrap_threshold(update: int, length: int, num_labels: int, shape: Shape = "log", final: float = 0.9) -> float:
    """The probability above which annealed bootstrapped cross-entropy holds a pixel for learnt (section 3.3).

    ``1 / K + (final - 1 / K) ramp(t)``: at first only pixels that are worse than a guess are learnt from, at last
    all but the sure ones.

    Args:
        update: t, the updates made before.
        length: of the ramp in updates; 0.4 of the training in the paper.
        shape: of the ramp; "log" in the paper.

    >>> round(bootstrap_threshold(0, 100, 21), 4), round(bootstrap_threshold(100, 100, 21), 4)
    (0.0476, 0.8943)
    """
    least = 1.0 / num_labels
    return least + (final - least) * ramp(shape, update, length)
