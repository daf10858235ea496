"""How a classifier is trained for localization: the methods of the WSOL benchmark and their hyper-parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from advcam.training.settings import FitSettings

WSOLMethod = Literal["none", "cam", "has", "acol", "spg", "adl", "cutmix"]
METHODS = ("cam", "has", "acol", "spg", "adl", "cutmix")


@dataclass(frozen=True)
class WSOLSettings(FitSettings):
    """Training and mapping for weakly supervised object localization (section 6; wsolevaluation, Choe et al. 2020).

    With a ``method`` the images of a run have exactly one class each, and the network always sees the whole picture
    as a square.
    """

    section: ClassVar[str] = "wsol."

    method: WSOLMethod = "none"
    """How the classifier is trained: "cam" is plain cross-entropy, "has" hides squares of the image, "acol" has a
    second head that sees what the first did not, "spg" guides the map by itself, "adl" drops the most attended
    features, "cutmix" mixes pairs of images. "none": the run is not one of localization."""
    epochs: int = 50
    """Passes over the training images (benchmark: 50 on CUB, 10 on ImageNet and OpenImages)."""
    batch_size: int = 32
    """Images per update (benchmark: 32)."""
    lr: float = 2.3222617e-4
    """Learning rate of the library's layers (benchmark: log-uniform in [1e-5, 1]; this one is CAM's on CUB with
    ResNet-50)."""
    head_lr_factor: float = 10.0
    """Learning rate of the fast group as a multiple of ``lr``: the head, in the benchmark's ResNet-50 ``layer4`` as
    well, in its VGG and Inception all layers behind the library's (benchmark: 10)."""
    nesterov: bool = True
    """Nesterov's momentum, for "sgd" (benchmark: True)."""
    poly_power: float = 0.0
    """Exponent of a polynomial decay on top of the steps (benchmark: none)."""
    decay: float = 0.1
    """What the learning rate is multiplied by at a step (benchmark: 0.1)."""
    decay_every: int | None = 15
    """A step at the beginning of every epoch, counted from 1, that is a multiple of it (benchmark: 15 on CUB, 3
    elsewhere); None for no such step."""
    decay_at: tuple[int, ...] = ()
    """Steps at the beginning of these epochs, counted from 1, in place of ``decay_every``."""
    freeze_batch_norm: bool = False
    """Batch norm keeps its stored statistics while training, its scale and shift learn (benchmark: False). True for
    weights whose batch norms are folded into the convolutions."""
    resize: int = 256
    """Side in pixels of the square that a training image becomes before it is cropped (benchmark: 256)."""
    crop: int = 224
    """Side in pixels of the square that the network sees: a random crop in training, the whole image otherwise
    (benchmark: 224)."""
    has_grid: int = 4
    """HaS: side of a square in pixels; 0 hides nothing (benchmark's default: 4)."""
    has_rate: float = 0.5
    """HaS: chance that a square is hidden (benchmark's default: 0.5)."""
    acol_threshold: float = 0.7
    """ACoL: the second head does not see cells at which the first one's normalised map reaches it (default: 0.7)."""
    spg_thresholds: tuple[float, float, float, float, float, float] = (0.7, 0.01, 0.5, 0.05, 0.7, 0.1)
    """SPG: h1, l1, h2, l2, h3, l3; a map is sure of foreground above h and of background below l (defaults)."""
    adl_threshold: float = 0.9
    """ADL: gamma; what exceeds this share of the attention's maximum is dropped (default: 0.9)."""
    adl_rate: float = 0.75
    """ADL: chance that the attended features are dropped rather than weighted (default: 0.75)."""
    cutmix_beta: float = 1.0
    """CutMix: both parameters of the beta distribution of the mixed share (default: 1)."""
    cutmix_rate: float = 1.0
    """CutMix: chance that a batch is mixed (default: 1)."""
    layers: tuple[str, ...] = ()
    """Modules that ADL acts behind, or that SPG's first two predictors read (in this order); none named: those of the
    benchmark for its own networks, else the last maps of different strides."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(
            **dict.fromkeys(("head_lr_factor", "cutmix_beta"), "(0, inf)"),
            **dict.fromkeys(
                ("has_rate", "acol_threshold", "adl_threshold", "adl_rate", "cutmix_rate", "spg_thresholds"), "[0, 1]"
            ),
            decay="(0, 1]",
            decay_every="[1, inf)",
            has_grid="[0, inf)",
        )
        if not 8 <= self.crop <= self.resize:
            raise self.wrong("crop", f"must be from 8 up to wsol.resize, {self.resize}")
        if any(low > high for high, low in zip(self.spg_thresholds[::2], self.spg_thresholds[1::2], strict=True)):
            raise self.wrong("spg_thresholds", "must be h1, l1, h2, l2, h3, l3 with each l at most its h")
