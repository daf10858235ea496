"""From an image and its localization maps to the scores of a mask, by a trained AffinityNet."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from advcam.data.transforms import normalize
from advcam.errors import DataError
from advcam.models.weights import finite
from advcam.refine.crf import dense_crf
from advcam.refine.psa.network import AffinityNet
from advcam.refine.psa.propagation import affinities, image_scores, propagate, walk_scores
from advcam.refine.psa_settings import STRIDE
from advcam.refine.psa_settings import PSASettings as PSASettings
from advcam.refine.unary import unary_from_scores


@torch.no_grad()
def image_affinities(
    network: AffinityNet, image: UInt8[np.ndarray, "H W 3"], settings: PSASettings
) -> Float[Tensor, "o h w"]:
    """The affinities of an image's cells, from the image at its own size, filled up with zeros to whole cells.

    Args:
        network: in evaluation mode.
        settings: radius, and whether all pairs are linked.
    """
    parameter = next(network.parameters())
    pixels = torch.from_numpy(normalize(image, network.mean, network.std)).to(parameter)
    filled = functional.pad(pixels, (0, -image.shape[1] % STRIDE, 0, -image.shape[0] % STRIDE))
    features = finite(network(filled[None])[0], "the features of PSA's network")
    return affinities(features, settings.radius, all_pairs=settings.all_pairs)


def psa_scores(
    network: AffinityNet,
    image: UInt8[np.ndarray, "H W 3"],
    maps: Float[Tensor, "k rows columns"],
    settings: PSASettings,
) -> Float[Tensor, "k+1 H W"]:
    """Scores of background and classes after PSA's random walk; their argmax is the pseudo mask.

    Args:
        network: trained, in evaluation mode; its device does the work. Not from several threads at once.
        maps: localization maps of the image's classes, in [0, 1], at its size; at least one.
        settings: of the walk. With ``final_crf`` the scores are probabilities after a dense CRF.
    """
    return walked_scores(image_affinities(network, image, settings), image, maps, settings)


@torch.no_grad()
def walked_scores(
    links: Float[Tensor, "o h w"],
    image: UInt8[np.ndarray, "H W 3"],
    maps: Float[Tensor, "k rows columns"],
    settings: PSASettings,
) -> Float[Tensor, "k+1 H W"]:
    """:func:`psa_scores` from the affinities of :func:`image_affinities`."""
    if len(maps) == 0 or maps.shape[1:] != image.shape[:2]:
        raise DataError(
            f"the class maps are of shape {tuple(maps.shape)}, but an image of {image.shape[0]} x {image.shape[1]} "
            "pixels needs at least one of its size: resize them to the image"
        )
    start = walk_scores(maps.to(links), alpha=settings.alpha)
    walked = propagate(start, links, beta=settings.beta, log_times=settings.log_times)
    scores = image_scores(walked, image.shape[:2])
    if settings.final_crf:
        shares = scores / scores.sum(dim=0, keepdim=True).clamp_min(torch.finfo(scores.dtype).tiny)
        scores = dense_crf(torch.from_numpy(image), unary_from_scores(shares), settings.crf)
    return scores.to(maps)
