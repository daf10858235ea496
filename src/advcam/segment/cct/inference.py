"""CCT's inference: several scales and the mirror image, the mean of their logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from advcam.segment.cct.network import CCTNetwork, pad_to_multiple

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5)
"""Those of the CCT program at test time."""


@torch.no_grad()
def multi_scale_logits(
    network: CCTNetwork, images: Float[Tensor, "n 3 H W"], scales: Sequence[float] = SCALES, flip: bool = True
) -> Float[Tensor, "n K H W"]:
    """Mean logits over scales and, with ``flip``, over image and mirror image, as the program has it.

    Padded by reflection to whole cells; each scale of that is decoded and enlarged to the padded size (bilinear, with
    aligned corners); what was padded is cut off the mean.

    >>> network = CCTNetwork(torch.nn.Conv2d(3, 8, 3, 4, padding=1), 8, stride=4, width=4, num_labels=3).eval()
    >>> multi_scale_logits(network, torch.zeros(1, 3, 40, 50), scales=(1.0, 1.5)).shape
    torch.Size([1, 3, 40, 50])
    """
    padded = pad_to_multiple(images, network.stride)
    height, width = images.shape[-2:]
    total = torch.zeros(1, dtype=images.dtype, device=images.device)
    for scale in scales:
        scaled = F.interpolate(padded, scale_factor=scale, mode="bilinear", align_corners=False)
        views = [scaled, scaled.flip(-1)] if flip else [scaled]
        for mirrored, view in enumerate(views):
            logits = F.interpolate(network.decode(view), padded.shape[-2:], mode="bilinear", align_corners=True)
            total = total + (logits.flip(-1) if mirrored else logits) / len(views)
    return (total / len(scales))[..., :height, :width]
