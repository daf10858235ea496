"""What a segmentation network is trained to lower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Integer, UInt8
from torch import Tensor, nn

from advcam.data.masks import IGNORE
from advcam.models.ranges import at_least_single
from advcam.segment.data import nearest_indices

LossName = Literal["balanced", "plain"]


def segmentation_loss(
    logits: Sequence[Float[Tensor, "n K _ _"]], masks: UInt8[Tensor, "n H W"], name: LossName
) -> Float[Tensor, ""]:
    """The sum of one loss per set of logits, each against the masks reduced to its grid.

    Args:
        logits: as ``DeepLab.pyramid_logits`` gives them.
        name: "balanced" or "plain", see the functions below.
    """
    loss = balanced_cross_entropy if name == "balanced" else cross_entropy
    return torch.stack([loss(maps, reduced(masks, maps.shape[-2:])) for maps in logits]).sum()


def cross_entropy(logits: Float[Tensor, "n K h w"], labels: Integer[Tensor, "n h w"]) -> Float[Tensor, ""]:
    """The mean over all pixels but those of 255; 0, with a gradient of 0, where there is none.

    >>> cross_entropy(torch.zeros(1, 4, 1, 2), torch.tensor([[[3, 255]]]))
    tensor(1.3863)
    """
    labels = labels.long()
    # In half precision it loses what a network still has to learn.
    total = nn.functional.cross_entropy(at_least_single(logits), labels, ignore_index=IGNORE, reduction="sum")
    return total / (labels != IGNORE).sum().clamp(min=1)


def balanced_cross_entropy(logits: Float[Tensor, "n K h w"], labels: Integer[Tensor, "n h w"]) -> Float[Tensor, ""]:
    """Half the mean over the background's pixels plus half the mean over all objects' pixels, of the whole batch.

    The loss that AdvCAM's networks were trained with, by the author's word "similar to DSRG"; the form is that of the
    programs that followed, whose two means are pooled over the batch and halved (DSRG takes them per image and adds
    them). A mean over no pixel is 0.

    >>> balanced_cross_entropy(torch.zeros(1, 4, 1, 3), torch.tensor([[[0, 0, 255]]]))
    tensor(0.6931)
    """
    labels = labels.long()
    losses = nn.functional.cross_entropy(at_least_single(logits), labels, ignore_index=IGNORE, reduction="none")
    background, objects = labels == 0, (labels != 0) & (labels != IGNORE)
    means = [(losses * where).sum() / where.sum().clamp(min=1) for where in (background, objects)]
    return (means[0] + means[1]) / 2


def reduced(masks: UInt8[Tensor, "n H W"], size: Sequence[int]) -> UInt8[Tensor, "n h w"]:
    """Masks at the size of a grid, each cell with the label of the pixel that Pillow's nearest resizing takes.

    Other programs' nearest takes a pixel further up and left, so that labels and logits would not lie on each other.

    >>> reduced(torch.arange(6, dtype=torch.uint8).view(1, 1, 6), (1, 2))
    tensor([[[1, 4]]], dtype=torch.uint8)
    """
    rows, columns = (
        torch.from_numpy(nearest_indices(source, target)).to(masks.device)
        for source, target in zip(masks.shape[-2:], size, strict=True)
    )
    return masks[:, rows][:, :, columns]
