"""The maps that a run can make, by the name that ``attribute.map`` gives them: one row each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from advcam.attribute.inputs import PictureMap
from advcam.attribute.maps.acol import ACoL
from advcam.attribute.maps.cam import CAM
from advcam.attribute.maps.find import find_layer
from advcam.attribute.maps.gradcam import GradCAM
from advcam.attribute.maps.gradcam_pp import GradCAMpp
from advcam.attribute.maps.layercam import LayerCAM
from advcam.attribute.maps.seam import SEAM
from advcam.attribute.maps.sub_categories import SubCategories
from advcam.errors import ModelError, SettingsError
from advcam.models.mapper import ClassMapper


class Trained(NamedTuple):
    """A trained network in the forms in which it can be mapped."""

    network: Any
    """The method that it was trained by, a ``LocalizationMethod``."""
    mapper: ClassMapper
    """Its classifier, perhaps with its batch norms folded."""
    layers: tuple[str, ...] = ()
    """Of the classifier, by their library's names, for the maps that have a choice."""
    signed: bool = False
    """See ``CAM``."""


def _gradient(make: Callable[..., PictureMap]) -> Callable[[Trained], PictureMap]:
    def of(trained: Trained) -> PictureMap:
        mapper = trained.mapper
        layers = [layer_of(mapper, name) for name in trained.layers] or ["features"]
        return make(mapper, layers, mean=mapper.mean, std=mapper.std)

    return of


def _tokens(trained: Trained) -> PictureMap:
    found = trained if trained.layers else trained._replace(layers=(find_layer(trained.mapper),))
    return _gradient(GradCAM)(found)


MAPS: Mapping[str, Callable[[Trained], PictureMap]] = {
    "cam": lambda trained: CAM(trained.mapper, signed=trained.signed),
    "gradcam": _gradient(GradCAM),
    "gradcam_pp": _gradient(GradCAMpp),
    "layercam": _gradient(LayerCAM),
    "tokens": _tokens,
    "seam": lambda trained: SEAM(trained.network),
    "sub_categories": lambda trained: SubCategories(trained.network, trained.mapper, signed=trained.signed),
    "acol": lambda trained: ACoL(trained.network, trained.mapper, signed=trained.signed),
}
# Those that take ``layers``, and those that go with one method of training.
OF_LAYERS = ("gradcam", "gradcam_pp", "layercam", "tokens")
OF_METHODS = ("seam", "sub_categories", "acol")


def map_of(name: str, trained: Trained) -> PictureMap:
    """The map of that name of a trained network.

    Raises:
        SettingsError: layers for a map that has no choice, or a network that was trained by another method.
        ModelError: the network has no such layer.
    """
    if trained.layers and name not in OF_LAYERS:
        raise SettingsError(
            f"attribute.layer is for the maps {', '.join(OF_LAYERS)}, not for attribute.map {name}: leave it out"
        )
    if name in OF_METHODS and trained.network.map != name:
        raise SettingsError(
            f"attribute.map {name} is of classifiers that were trained by this method, and this one was not: take "
            f"{trained.network.map}, or train it so"
        )
    return MAPS[name](trained)


def layer_of(mapper: ClassMapper, name: str) -> str:
    """The full name of a layer that its library calls ``name``."""
    names = [full for full, _ in mapper.features.named_modules(prefix="features")]
    found = [full for full in names if full == name or full.endswith(f".{name}")]
    if not found:
        own = ", ".join(dict.fromkeys(full.removeprefix("features.").partition(".")[0] for full in names[1:]))
        raise ModelError(f"the classifier has no layer '{name}': name one of {own}, or of theirs")
    return min(found, key=len)
