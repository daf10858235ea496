"""Refinements one after another, in any order that makes sense.

Links that leave maps work on the maps; the first one that leaves labels takes the seed at the background threshold, and
so does the end of a chain of maps. After that only links that take labels can follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from advcam.refine.seeds import local_seed
from advcam.refine.settings import OF_MAPS, check_chain

# Given a picture, which has an ``image`` UInt8[H W 3] and ``maps`` Float[k H W] in [0, 1]: from maps to maps, and from
# local labels (0 background, j the j-th map) to local labels.
MapLink = Callable[[Any, Float[Tensor, "k H W"]], Float[Tensor, "k H W"]]
MaskLink = Callable[[Any, UInt8[Tensor, "H W"]], UInt8[Tensor, "H W"]]


@dataclass(frozen=True)
class Chain:
    """The links of a chain, ready to be called; may be called from several threads at once.

    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> picture = SimpleNamespace(image=np.zeros((1, 2, 3), np.uint8), maps=torch.tensor([[[1.0, 0.5]]]))
    >>> Chain((lambda _, maps: maps / 2,), (lambda _, mask: 2 - mask,)).labels(picture, 0.3)
    tensor([[1, 2]], dtype=torch.uint8)
    """

    of_maps: tuple[MapLink, ...]
    of_masks: tuple[MaskLink, ...]

    @classmethod
    def of(cls, links: Sequence[str], made: Mapping[str, Callable[[Any, Any], Any]]) -> Chain:
        """The links by their names."""
        check_chain(links)
        return cls(
            tuple(made[link] for link in links if link in OF_MAPS),
            tuple(made[link] for link in links if link not in OF_MAPS),
        )

    def maps(self, picture: Any) -> Float[Tensor, "k H W"]:
        """The maps that the threshold is for."""
        maps = picture.maps
        for link in self.of_maps if maps.any() else ():
            maps = link(picture, maps)
        return maps

    def labels(self, picture: Any, threshold: float) -> UInt8[Tensor, "H W"]:
        """Local labels: 0 background, j the j-th map. An image without a map above zero is all background."""
        seed = local_seed(self.maps(picture), threshold)
        for link in self.of_masks if picture.maps.any() else ():
            seed = link(picture, seed)
        return seed.to(torch.uint8)
