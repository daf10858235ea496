"""The fully connected CRF of Krähenbühl and Koltun (2011), by mean field on the permutohedral lattice."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int, Int64, UInt8
from torch import Tensor

from advcam.data.pixels import takes_arrays
from advcam.errors import DataError
from advcam.refine import lattice_filter, lattice_torch
from advcam.refine.settings import CRFSettings
from advcam.refine.unary import unary_from_labels


@takes_arrays
def dense_crf(
    image: UInt8[Tensor, "height width 3"] | UInt8[np.ndarray, "height width 3"],
    unary: Float[Tensor, "K H W"],
    settings: CRFSettings,
) -> Float[Tensor, "K H W"]:
    """Marginals Q of a CRF in which every pixel is tied to every other one.

    ``Q <- softmax(-U + sum_m w_m K_m Q)``, starting at ``softmax(-U)``: labels of alike pixels attract each other
    (Potts). The kernels ``K = D^-1/2 exp(-|f_i - f_j|^2 / 2) D^-1/2``, D the row sums, are a Gaussian in position,
    ``f = (x, y) / gaussian_sxy``, and one in position and colour, ``f = ((x, y) / bilateral_sxy, (R, G, B) /
    bilateral_srgb)``. They are approximated on the permutohedral lattice, by the same points as in pydensecrf: the
    marginals agree to float32 rounding, which the iteration amplifies at a few pixels in ten thousand.

    Computed in float32 without gradient: on CUDA devices by torch, else on the CPU by compiled code, which releases the
    interpreter's lock so that threads can work on several images. The result is on ``unary``'s device, in its dtype.

    Args:
        unary: energies ``-ln p`` (``unary_from_labels``, ``unary_from_scores``); they need not be normalised.

    Raises:
        DataError: the image is not RGB bytes, image and unary differ in size or are empty, or an energy is not finite.
        SettingsError: standard deviations too small for the lattice to be numbered.

    >>> from advcam.refine import CRFSettings, dense_crf, unary_from_labels
    >>> image = torch.zeros(4, 6, 3, dtype=torch.uint8)
    >>> unary = unary_from_labels(torch.zeros(4, 6, dtype=torch.int64), 2)
    >>> dense_crf(image, unary, CRFSettings.irn()).argmax(dim=0).sum()
    tensor(0)
    """
    assert isinstance(image, Tensor)
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise DataError(
            "the CRF's image must be RGB bytes of shape rows x columns x 3, "
            f"not {image.dtype} of shape {tuple(image.shape)}"
        )
    height, width, _ = image.shape
    if unary.ndim != 3 or unary.shape[1:] != (height, width):
        raise DataError(
            f"the unary of an image of {height} x {width} pixels must have shape labels x {height} x {width}, "
            f"not {tuple(unary.shape)}: resize the scores to the image before the CRF"
        )
    if unary.numel() == 0:
        raise DataError(f"the unary has shape {tuple(unary.shape)}: a CRF needs at least one label and one pixel")
    logits = -unary.detach().float().flatten(1)
    if not logits.isfinite().all():
        raise DataError("the unary has energies that are not finite numbers: clip probabilities before the logarithm")
    if unary.shape[0] == 1:
        return torch.ones_like(unary, requires_grad=False)
    if unary.device.type == "cuda":
        kernels = gaussian_kernels(image.to(unary.device), settings)
        marginals = lattice_torch.mean_field(logits, kernels, settings.iterations)
    else:
        on_host = [(features.numpy(), weight) for features, weight in gaussian_kernels(image.cpu(), settings)]
        marginals = torch.from_numpy(lattice_filter.mean_field(logits.cpu().numpy(), on_host, settings.iterations))
    return marginals.view(unary.shape).to(unary)


@takes_arrays
def crf_labels(
    image: UInt8[Tensor, "height width 3"] | UInt8[np.ndarray, "height width 3"],
    labels: Int[Tensor, "H W"] | UInt8[Tensor, "H W"] | Int[np.ndarray, "H W"] | UInt8[np.ndarray, "H W"],
    num_labels: int,
    settings: CRFSettings,
) -> Int64[Tensor, "H W"]:
    """Hard labels in, hard labels out: the most probable label after ``dense_crf`` on ``unary_from_labels``.

    Raises:
        DataError: image and labels differ in size, or a label is outside ``0 .. num_labels - 1``.

    >>> from advcam.refine import CRFSettings, crf_labels
    >>> speck = torch.zeros(9, 9, dtype=torch.int64).index_put((torch.tensor(4), torch.tensor(4)), torch.tensor(1))
    >>> crf_labels(torch.zeros(9, 9, 3, dtype=torch.uint8), speck, 2, CRFSettings.irn()).sum()
    tensor(0)
    """
    return dense_crf(image, unary_from_labels(labels, num_labels), settings).argmax(dim=0)


def gaussian_kernels(image: UInt8[Tensor, "H W 3"], settings: CRFSettings) -> list[tuple[Float[Tensor, "N _"], float]]:
    """Features, in units of the standard deviations, and weight of each kernel whose weight is not 0.

    The features' order, x, y, R, G, B, matters a little to the lattice; it is that of pydensecrf.
    """
    height, width, _ = image.shape
    rows, columns = torch.meshgrid(
        torch.arange(height, device=image.device), torch.arange(width, device=image.device), indexing="ij"
    )
    positions = torch.stack([columns, rows], dim=-1).view(-1, 2).float()
    colours = image.reshape(-1, 3).float()
    kernels = []
    if settings.gaussian_weight > 0:
        kernels.append((positions / settings.gaussian_sxy, settings.gaussian_weight))
    if settings.bilateral_weight > 0:
        features = torch.cat([positions / settings.bilateral_sxy, colours / settings.bilateral_srgb], dim=1)
        kernels.append((features, settings.bilateral_weight))
    return kernels
