"""SC-CAM's maps (Table 12): those of the head of classes, as its program has them; the sub-categories shaped the
features and take no part."""

from __future__ import annotations

from advcam.attribute.maps.cam import CAM
from advcam.classify.sub_categories import SubCategories as SubCategoriesNetwork
from advcam.models.mapper import ClassMapper


def SubCategories(network: SubCategoriesNetwork, mapper: ClassMapper | None = None, *, signed: bool = False) -> CAM:
    """The maps of a network of SC-CAM; ``mapper`` is its classifier's, perhaps with its batch norms folded."""
    return CAM(network.classifier.mapper() if mapper is None else mapper, signed=signed)
