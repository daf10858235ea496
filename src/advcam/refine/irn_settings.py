"""Settings of IRN; the defaults are its program's, with AdvCAM's changes to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from advcam.bounds import check
from advcam.training.settings import FitSettings

# Pixels per cell of class maps, edge map and displacement field.
STRIDE = 4


@dataclass(frozen=True)
class IRNSettings(FitSettings):
    """Training of IRN's two branches on labels from the maps. Its labels: ``seed.confident_*`` and ``crf``."""

    section: ClassVar[str] = "irn."

    epochs: int = 3
    """Passes over the images (IRN: 3)."""
    batch_size: int = 32
    """Images per update (IRN: 32)."""
    lr: float = 0.1
    """Learning rate of the edge branch before its decay (IRN: 0.1)."""
    displacement_lr_factor: float = 10.0
    """Learning rate of the displacement branch, as a multiple of ``lr`` (IRN: 10)."""
    momentum: float = 1e-4
    """Of "sgd". IRN's program hands its weight decay to the parameter that means the momentum, so there is
    practically none (IRN's paper: 0.9)."""
    features: Literal["initial", "classifier"] = "initial"
    """What the branches look at, always frozen: the backbone with the weights it starts from (IRN: ImageNet's), or
    the trained classifier's."""
    split: str | None = None
    """The list whose images it is trained on, as far as they have maps; None takes all images that get masks."""
    crop: int = 512
    """Side in pixels of the square random crop, a multiple of 4 (IRN: 512)."""
    scale: tuple[float, float] = (0.5, 1.5)
    """Least and greatest factor of the random resizing (IRN: 0.5, 1.5)."""
    radius: int = 10
    """Longest pair, in cells of 4 pixels (IRN: 10)."""
    weights: str | None = None
    """A trained IRN to use instead of training one: the ``irn`` folder of another run, or a weights file that IRN's
    own program wrote for its ResNet-50."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(**dict.fromkeys(("scale", "displacement_lr_factor"), "(0, inf)"), radius="[2, inf)", crop="[1, inf)")
        if self.crop % STRIDE:
            raise self.wrong("crop", f"must be a multiple of {STRIDE}")
        if self.scale[0] > self.scale[1]:
            raise self.wrong("scale", "needs a least and a greatest factor, such as (0.5, 1.5)")


@dataclass(frozen=True)
class IRNWalkSettings:
    """From maps and edges to masks: IRN's random walk."""

    power: float = 1.5
    """Exponent of the maps before the walk (AdvCAM: 1.5; IRN: 1)."""
    radius: int = 5
    """Longest link of the walk, in cells of 4 pixels (IRN: 5)."""
    beta: float = 10.0
    """Exponent of the affinities: the larger, the less a weak edge is crossed (IRN: 10)."""
    exp_times: int = 8
    """The walk takes ``2 ** exp_times`` steps (IRN: 8)."""
    background: float | Literal["swept"] = 0.25
    """Score of the background beside walked maps whose maximum is 1 (IRN, AdvCAM: 0.25). "swept": the best one on the
    ground truth of ``splits.tune``, and every figure says so."""
    scale: float = 1.0
    """The images are seen and walked at so many times their size (IRN: 1). A cell is 4 pixels, so objects of few dozen
    pixels need a larger one; the training's ``irn.scale`` should lie around it."""
    final_crf: bool = False
    """Refine the finished labels by the dense CRF of ``crf`` (not in IRN's program). Helps where edges are weak."""
    pad: int = 512
    """The network sees images filled up with the mean colour to this many pixels per side (IRN: 512); 0 shows them as
    they are, which costs less."""

    def __post_init__(self) -> None:
        check(
            self,
            "irn_walk.",
            background="[0, 1]",
            radius="[2, inf)",
            **dict.fromkeys(("exp_times", "pad"), "[0, inf)"),
            **dict.fromkeys(("power", "beta", "scale"), "(0, inf)"),
        )


@dataclass(frozen=True)
class IRNInstanceSettings:
    """Instance masks, from IRN's edges and displacements; nothing unless asked for."""

    method: Literal["irn", "none"] = "none"
    """"irn": after ``refine.method irn``, one mask per object into ``instances``; "none": no instance masks."""
    drift_steps: int = 300
    """Steps along the displacement field to an object's centroid (IRN: 300)."""
    weak: float = 2.5
    """Displacements shorter than this, in cells, belong to a centroid (IRN: 2.5)."""
    background: float = 0.25
    """Score of the background beside walked maps whose maximum is 1 (IRN: 0.25)."""
    min_area: float = 0.01
    """Objects smaller than this share of the image get the score 0 (IRN: 0.01)."""

    def __post_init__(self) -> None:
        check(self, "instances.", drift_steps="[1, inf)", weak="(0, inf)", background="[0, 1]", min_area="[0, 1]")
