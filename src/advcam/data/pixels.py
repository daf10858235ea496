"""Pictures in memory, by the rules for files: the one way in for arrays, tensors and Pillow's images."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from advcam.data.images import rgb_pixels, to_rgb
from advcam.data.values import sixteen_bits, to_8_bit
from advcam.errors import DataError

P = ParamSpec("P")
R = TypeVar("R")


def as_pixels(picture: Image.Image | np.ndarray | Tensor, wanted: int = 3) -> UInt8[np.ndarray, "H W {wanted}"]:
    """A picture from memory as ``read_image`` gives one from a file: the same rules hold for both.

    Args:
        picture: opened by Pillow; or an array or a tensor, height and width first, as 8-bit RGB, RGBA or grey, or as
            grey or RGB in 16 bits, 32-bit integers or floats.
        wanted: channels of the network; with one, pictures become grey, and arrays may have as many as it has.

    Raises:
        DataError: the picture has other axes, kinds of numbers or values.

    >>> as_pixels(np.full((8, 16), 0.5))[0, 0].tolist(), as_pixels(Image.new("L", (16, 8), 7)).shape
    ([128, 128, 128], (8, 16, 3))
    """
    if wanted == 1:
        return np.array(Image.fromarray(as_pixels(picture)).convert("L"))[..., None]
    if isinstance(picture, Image.Image):
        try:
            return rgb_pixels(picture)
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"the picture cannot be decoded ({error}): open another file") from error
    values = picture.detach().cpu().numpy() if isinstance(picture, Tensor) else np.asarray(picture)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    channels = values.shape[2] if values.ndim == 3 else 1
    if values.ndim not in (2, 3) or channels not in (1, 3, 4, wanted) or 0 in values.shape:
        hint = ", with the channels last" if values.ndim == 3 and values.shape[0] in (1, 3, 4) else ""
        raise DataError(
            f"the picture is an array of shape {tuple(values.shape)}, but must be height x width x 3{hint}: transpose "
            "or cut it"
        )
    if values.dtype == bool:
        values = values.astype(np.uint8) * 255
    if values.dtype == np.uint8:
        values = np.ascontiguousarray(values)
        return values if channels in (3, wanted) else np.array(to_rgb(Image.fromarray(values)))
    if channels == 4 != wanted or values.dtype.kind not in "iuf":
        raise DataError(f"the picture holds {channels} channels of {values.dtype}: give 8-bit RGB")
    try:
        found = sixteen_bits(values) if values.dtype == np.uint16 else to_8_bit(values)
    except ValueError as error:
        raise DataError(f"the picture cannot be used, since {error}: give finite numbers") from error
    return np.repeat(found[..., None], 3, axis=2) if channels == 1 else found


def takes_arrays(function: Callable[P, R]) -> Callable[P, R]:
    """A public function whose tensors may be given as arrays of numpy too, of any strides; what is neither is refused.

    >>> @takes_arrays
    ... def total(values: Tensor) -> float: return float(values.sum())
    >>> total(np.ones((2, 3))[::-1])
    6.0
    """
    signature = inspect.signature(function)

    @wraps(function)
    def taking(*given: P.args, **named: P.kwargs) -> R:
        own = signature.bind(*given, **named)
        for name, value in own.arguments.items():
            own.arguments[name] = _tensor(value, name, str(signature.parameters[name].annotation))
        return function(*own.args, **own.kwargs)

    return taking


def _tensor(value: Any, name: str, kind: str) -> Any:
    if "Tensor" not in kind or isinstance(value, Tensor) or (value is None and "None" in kind):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return torch.tensor(np.ascontiguousarray(value))
    listed = "Sequence" in kind
    if listed and isinstance(value, Sequence) and not isinstance(value, str):
        return value
    raise DataError(
        f"{name} must be a tensor{', a list' * listed} or an array of numbers, not {type(value).__name__}: convert it"
    )
