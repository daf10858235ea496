"""Pictures in a network's input space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from advcam.attribute.seen import Climbable
from advcam.data.transforms import normalize


@runtime_checkable
class InputSpace(Protocol):
    """Where a network's input lies: a ``ClassMapper`` and every map of ``advcam.maps`` have it."""

    @property
    def mean(self) -> tuple[float, ...]: ...

    @property
    def std(self) -> tuple[float, ...]: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...


@runtime_checkable
class PictureMap(Climbable, InputSpace, Protocol):
    """A map that knows its input space, as all of ``advcam.maps`` do: pictures can be given to it."""


def to_input(image: UInt8[np.ndarray, "H W C"], network: InputSpace) -> Float[Tensor, "C H W"]:
    """A picture in the network's input space, on its device and in its dtype."""
    pixels_3HW = torch.from_numpy(normalize(image, network.mean, network.std))
    return pixels_3HW.to(network.device, network.dtype)


def to_inputs(images: Sequence[UInt8[np.ndarray, "H W C"]], network: InputSpace) -> Float[Tensor, "n C H W"]:
    """Pictures of one size in the network's input space. A GPU is sent their bytes and normalises them itself."""
    if network.device.type == "cpu":
        return torch.stack([to_input(image, network) for image in images])
    pixels_NHW3 = torch.from_numpy(np.stack(images)).pin_memory().to(network.device, non_blocking=True)
    return normalize_bytes(pixels_NHW3, network)


def normalize_bytes(pixels_NHW3: UInt8[Tensor, "n H W C"], network: InputSpace) -> Float[Tensor, "n C H W"]:
    """``normalize`` on the device where the pixels are: computed in double and rounded to float32, equal to the bit."""
    mean, std = (
        torch.tensor(value, dtype=torch.float64, device=pixels_NHW3.device) for value in (network.mean, network.std)
    )
    return ((pixels_NHW3.double() / 255 - mean) / std).float().to(network.dtype).permute(0, 3, 1, 2)
