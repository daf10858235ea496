"""Settings of the class-agnostic regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from advcam.errors import SettingsError


@dataclass(frozen=True)
class RegionSettings:
    """Where regions come from, and how they vote (``advcam.refine.regions``).

    >>> RegionSettings().scales, RegionSettings(source="slic", scales=(200.0,)).scales
    ((100.0, 300.0, 900.0), (200.0,))
    """

    source: Literal["felzenszwalb", "slic", "folder", "sam"] = "felzenszwalb"
    """Superpixels of scikit-image by either method; "folder": files that another program wrote; "sam": Segment
    Anything with the weights at ``weights``."""
    folder: str | None = None
    """Of "folder": ``<image id>.png``, ``.npy``, ``.npz`` or ``.json``, see docs/refinement.md."""
    weights: str | None = None
    """Of "sam": a folder that transformers' ``save_pretrained`` wrote."""
    prompts: Literal["grid", "boxes", "points"] = "grid"
    """Of "sam": a grid of points all over the picture, or the boxes or the highest points of the maps."""
    scales: tuple[float, ...] = (100.0, 300.0, 900.0)
    """Of superpixels: Felzenszwalb's scale, or SLIC's number of regions; each gives one partition of the picture."""
    sigma: float = 0.8
    """Of superpixels: standard deviation in pixels of the smoothing before."""
    min_size: int = 50
    """Of Felzenszwalb's: regions of fewer pixels join a neighbour."""
    compactness: float = 10.0
    """Of SLIC: weight of the distance against that of the colours."""
    covered: float = 0.5
    """A region takes the class whose mask covers more than this share of it."""
    covering: float | None = 0.85
    """Or the one of whose mask it covers more than this share; null: never."""

    def __post_init__(self) -> None:
        if not self.scales or min(self.scales) <= 0:
            raise SettingsError(f"regions.scales must be positive numbers, not {list(self.scales)}")
        if self.source == "folder" and not self.folder:
            raise SettingsError("regions.source folder needs regions.folder, where the files are")
        if self.source == "sam" and not self.weights:
            raise SettingsError("regions.source sam needs regions.weights, a folder that transformers wrote")
        for name in ("covered", "covering"):
            share = getattr(self, name)
            if share is not None and not 0 <= share < 1:
                raise SettingsError(f"regions.{name} is a share in [0, 1), not {share}")
