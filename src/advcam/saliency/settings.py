"""Settings of saliency: where maps come from, how they are cut, how a detector is trained. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from advcam.bounds import check
from advcam.errors import SettingsError
from advcam.training.settings import FitSettings

Source = Literal["none", "folder", "u2netp", "u2net", "fine_grained", "spectral_residual"]
Rule = Literal["fixed", "otsu", "adaptive"]
NETWORKS = ("u2netp", "u2net")


@dataclass(frozen=True)
class SaliencySettings:
    """Salient-object maps: their source, and where the object ends in them (section 4.4)."""

    source: Source = "none"
    """"folder": maps that are there already. "u2netp", "u2net": a network, with ``weights`` or trained on the data of
    ``detector``. "fine_grained", "spectral_residual": OpenCV's detectors without training. "none": no saliency."""
    folder: str | None = None
    """For source folder: one picture per image, grey or RGB, of any size, named by the image's id."""
    missing: Literal["error", "without"] = "error"
    """An image that has no map there: stop before anything is made, or climb that image without region D."""
    weights: str | None = None
    """For the networks: a published weights file, or the ``detector`` folder of another run; None trains one."""
    rule: Rule = "fixed"
    """Where the object begins. "fixed": at ``threshold`` (EPS rounds maps, at 0.5). "otsu": at each map's own cut
    that maximises the variance between the groups (Otsu 1979). "adaptive": at twice each map's mean, and at 1 at
    most (Achanta et al. 2009). The paper does not name its rule."""
    threshold: float = 0.5
    """Of the rule fixed, in [0, 1]. DRS takes 0.196, WSSS-BED 0.2, EPS 0.5."""
    batch_size: int | None = None
    """Pictures per pass of a network; None takes 1 on a CPU and 16 on a GPU."""

    def __post_init__(self) -> None:
        if self.source == "folder" and self.folder is None:
            raise SettingsError("saliency.source is folder, but no folder is named: give saliency.folder")
        if self.source != "folder" and self.folder is not None:
            raise SettingsError(
                f"saliency.folder is {self.folder}, but saliency.source is {self.source}: set the source to folder, "
                "or take the folder away"
            )
        if self.weights is not None and self.source not in NETWORKS:
            raise SettingsError(
                f"saliency.weights is {self.weights}, but saliency.source {self.source} has no weights: set the "
                f"source to {' or '.join(NETWORKS)}, or take the weights away"
            )
        check(self, "saliency.", threshold="(0, 1]", batch_size="[1, inf)")


@dataclass(frozen=True)
class DetectorSettings(FitSettings):
    """Training of U²-Net or U²-NetP on pairs of images and masks. The defaults are the published ones."""

    section: ClassVar[str] = "detector."

    data: str | None = None
    """A data set in any format that is read, whose masks' classes all count as the object and whose 255 counts as
    unknown; or, with ``masks``, a folder of pictures. Images that the run itself maps are never trained on."""
    split: str | None = None
    """One list of that data set."""
    masks: str | None = None
    """A folder of grey masks, 0 background and bright the object, named as the pictures in ``data`` (DUTS)."""
    size: int = 320
    """Pixels of height and width to which pictures are brought, in training and afterwards."""
    crop: int = 288
    """Height and width of the random part of that which is trained on."""
    flip: bool = True
    """Mirror left and right at random. (The program turns upside down at random, and mirrors on disk.)"""
    holdout: float = 0.1
    """About this fraction of the pairs is kept for measuring instead."""
    epochs: int = 680
    """Passes over the pairs: 600,000 updates on the 10,553 pairs of DUTS-TR."""
    batch_size: int = 12
    """Pairs per update."""
    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    """The rule of an update."""
    lr: float = 1e-3
    """Learning rate."""
    weight_decay: float = 0.0
    """Of all parameters."""
    poly_power: float = 0.0
    """Exponent of the decay; 0 keeps the rate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(crop=f"[32, {self.size}]", holdout="[0, 1)")
        if self.data is None and (self.masks is not None or self.split is not None):
            raise SettingsError("detector.masks or detector.split is given without detector.data: name the pictures")
        if self.masks is not None and self.split is not None:
            raise SettingsError("a folder of detector.masks has no lists: take detector.split away")
