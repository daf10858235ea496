"""Batch norm folded into the convolutions before it: the same function of the image, with a fifth less to compute."""

from __future__ import annotations

import logging

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

from advcam.models.mapper import ClassMapper
from advcam.models.probe import probe_image

_log = logging.getLogger(__name__)

# Largest difference of a map, as a part of the largest value: float32's rounding through a deep network.
TOLERANCE = 1e-3


def fold_batch_norm(mapper: ClassMapper) -> ClassMapper:
    """A mapper whose convolutions carry the batch norms that follow them, for mapping with stored statistics.

    In exact arithmetic its maps are the same. A network that cannot be traced, or has nothing to fold, is returned
    as it is; the log says which. The given mapper is left alone.

    >>> import torchvision
    >>> mapper = ClassMapper.from_model(torchvision.models.resnet18())
    >>> sum(isinstance(module, nn.BatchNorm2d) for module in fold_batch_norm(mapper).features.modules())
    0
    """
    if mapper.features.training or not any(isinstance(module, nn.BatchNorm2d) for module in mapper.modules()):
        return mapper
    try:
        features = fuse(mapper.features)
    # Tracing fails in as many ways as there are networks; the network itself still works.
    except Exception as error:
        _log.info("no batch norm is folded: torch.fx cannot trace the network (%s)", str(error).strip().split("\n")[0])
        return mapper
    folded = ClassMapper(features, mapper.weight, mapper.bias, mapper.mean, mapper.std).eval()
    # A trace fixes what depends on the input's size; two sizes show whether something does.
    left, had = (sum(isinstance(m, nn.BatchNorm2d) for m in part.modules()) for part in (folded, mapper))
    same = all(_equal(mapper, folded, height, width) for height, width in ((64, 96), (104, 72)))
    if not same or left == had:
        _log.info("no batch norm is folded: %s", "none follows a convolution" if same else "the maps would be others")
        return mapper
    _log.info("%d of %d batch norms are folded into convolutions", had - left, had)
    return folded


def _equal(mapper: ClassMapper, folded: ClassMapper, height: int, width: int) -> bool:
    image = probe_image(mapper.features, height, width)
    with torch.no_grad():
        expected, found = mapper.class_maps(image), folded.class_maps(image)
    return found.shape == expected.shape and torch.allclose(
        found, expected, rtol=0, atol=TOLERANCE * float(expected.abs().max())
    )
