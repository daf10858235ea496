"""Tensors from a file put into a network, by name and shape: all of them, or an error that names the first misfit."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from advcam.errors import ModelError
from advcam.models.weights import check_finite


def fill(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    sentence: Callable[[str], str],
    source: object,
    *,
    surplus: bool = False,
) -> None:
    """Give a network the tensors of its names; counters of batches, younger than many files, may be missing.

    Args:
        network: changed only if everything fits.
        tensors: by the network's own names.
        sentence: what an error says, given the first misfit in words.
        source: what the error calls the file whose numbers are not finite.
        surplus: whether tensors that the network has no place for are a misfit too.

    Raises:
        ModelError: a tensor is missing, of another shape, or not finite.

    >>> layer = nn.Linear(2, 1)
    >>> fill(layer, {"weight": layer.weight}, lambda misfit: f"not the layer: {misfit}", "a.pth")
    Traceback (most recent call last):
    advcam.errors.ModelError: not the layer: it lacks 'bias'
    """
    expected = network.state_dict()
    for name in expected:
        if name not in tensors and not name.endswith("num_batches_tracked"):
            raise ModelError(sentence(f"it lacks '{name}'"))
    for name in tensors if surplus else ():
        if name not in expected:
            raise ModelError(sentence(f"it holds '{name}'"))
    for name, own in expected.items():
        if name in tensors and tensors[name].shape != own.shape:
            raise ModelError(sentence(f"'{name}' is {list(tensors[name].shape)} instead of {list(own.shape)}"))
    own_tensors = {name: tensors[name] for name in expected if name in tensors}
    check_finite(own_tensors, source)
    network.load_state_dict(own_tensors, strict=False)
