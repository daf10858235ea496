"""How a segmentation network is trained on masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from advcam.bounds import check
from advcam.errors import SettingsError
from advcam.training.settings import FitSettings


@dataclass(frozen=True)
class SegmentSettings(FitSettings):
    """DeepLab-v2 on the masks of a run, as the authors trained it for VOC (Tables 3 and 4).

    Their program is the public PyTorch one of DeepLab-v2; where the paper is silent, the numbers are those that the
    author gave to users of the program: ImageNet weights, seven scales, the balanced loss, 30,000 updates.
    """

    section: ClassVar[str] = "segment."

    method: Literal["none", "deeplab", "cct"] = "none"
    """The network that a run trains on its masks: none, DeepLab-v2, or CCT, which ``cct`` describes."""
    masks: str = "run"
    """What it is trained on: "run", the run's masks; "truth", those of the data set; or a folder of ``<id>.png``."""
    train: str | None = None
    """The split to train on; None takes the run's training split where it has such masks, else all that have."""
    score: tuple[str, ...] = ()
    """Splits with ground truth on which the finished network is measured; none named: the run's validation split."""
    architecture: str = "caffe_resnet101"
    """The backbone: ``caffe_resnet101`` (DeepLab-v2), ``res2net101_v1b``, ``res2net152_v1b`` (Table 3), or a network
    of torchvision or timm."""
    weights: str | None = "default"
    """What the backbone starts from: a file, ``default`` (the library's weights), "classifier" (those of the run's
    classifier, which must have the same architecture), or None for random ones."""
    mean: tuple[float, ...] | None = None
    """Of the input, for pixel values in [0, 1]; None takes what the weights say."""
    std: tuple[float, ...] | None = None
    """Of the input, likewise."""
    output_stride: int | None = 8
    """Pixels of the image per cell of the logits: 8 in DeepLab-v2 for ResNet; 16 and 32 are quicker."""
    rates: tuple[int, ...] = (6, 12, 18, 24)
    """Dilations of the head's convolutions, for an output stride of 8; half of them suit 16."""
    pyramid: tuple[float, ...] = (0.5, 0.75)
    """Smaller copies of the image that the network sees as well; the highest logit of all counts. Empty: one pass."""
    loss: Literal["balanced", "plain"] = "balanced"
    """"balanced": background and objects count alike (the author's); "plain": every pixel does (DeepLab-v2)."""
    head_lr_factor: float = 10.0
    """Learning rate of the head, as a multiple of ``lr``; its biases have twice that, and no weight decay."""
    lr_hold: int = 10
    """Updates over which the learning rate stays before its decay is taken up again (DeepLab-v2: 10)."""
    freeze_batch_norm: bool = True
    """Batch norms keep statistics, scale and shift. False for networks that start from random weights."""
    scales: tuple[float, ...] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
    """Sizes of the training images, as factors of their own, one drawn for each view."""
    crop: int = 321
    """Side in pixels of the square window of a view: 321 for VOC, 481 for COCO."""
    flip: bool = True
    """Mirror every second view, on average."""
    multi_scale: bool = False
    """Measure the finished network at five scales (0.5 to 1.5) with the mirror image as well, as CCT is measured."""
    crf: bool = False
    """Measure the finished network after DeepLab-v2's CRF as well, from several scales with ``multi_scale``."""
    samples: int = 4
    """Validation images whose prediction is drawn at each validation, to watch the training."""
    devices: int = 1
    """GPUs (on the CPU processes) that share each batch."""
    batch_size: int = 10
    updates: int | None = 30000
    lr: float = 2.5e-4
    weight_decay: float = 5e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(
            rates="[1, inf)",
            pyramid="(0, 1)",
            crop="[32, inf)",
            samples="[0, inf)",
            **dict.fromkeys(("scales", "head_lr_factor"), "(0, inf)"),
            **dict.fromkeys(("lr_hold", "devices"), "[1, inf)"),
        )
        for name in ("rates", "scales"):
            if not getattr(self, name):
                raise self.wrong(name, "must have one number or more")


@dataclass(frozen=True)
class InferenceSettings:
    """Scales, mirror image and CRF at test time. The defaults are DeepLab-v2's without CRF.

    CCT's results are with ``scales=(0.5, 0.75, 1.0, 1.25, 1.5), flip=True, crf=True``.
    """

    scales: tuple[float, ...] = (1.0,)
    """Factors of the picture's size; the logits are averaged over them."""
    flip: bool = False
    """Average with the mirror image as well."""
    crf: bool = False
    """Refine by the dense CRF with DeepLab-v2's parameters (position 1 and 67 pixels, colour 3 levels)."""
    max_side: int = 1280
    """Pictures with a longer side, in pixels, are reduced to it, and their labels enlarged."""
    window: int = 0
    """Pictures with a longer side than this, in pixels, are labelled at their own size in overlapping windows of it,
    whose probabilities are averaged; 0: such pictures are reduced."""

    def __post_init__(self) -> None:
        check(self, "", scales="(0, inf)", max_side="[32, inf)")
        if not self.scales:
            raise SettingsError("scales is empty: name one factor or more")
        if self.window != 0 and self.window < 64:
            raise SettingsError(f"window must be 0 or at least 64 pixels, not {self.window}")
