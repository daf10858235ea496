"""How CCT is trained; free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from advcam.errors import SettingsError
from advcam.training.settings import FitSettings

_COUNTS = ("vat", "drop_out", "cut_out", "context_mask", "object_mask", "feature_drop", "feature_noise")


@dataclass(frozen=True)
class CCTSettings(FitSettings):
    """Cross-consistency training (Ouali et al., CVPR 2020) from some images with masks and many without.

    The defaults are those of the CCT program's configuration for PASCAL VOC 2012. An epoch is a pass over the images
    without masks; a batch has ``batch_size`` of them and as many with masks.
    """

    section: ClassVar[str] = "cct."

    epochs: int = 80
    """Passes over the images without masks (the released configuration; the paper says 50)."""
    batch_size: int = 10
    """Images without masks per update, and as many with masks."""
    lr: float = 0.01
    """Learning rate of pyramid pooling and decoders before its decay."""
    keep: Literal["last", "best", "auto"] = "auto"
    """The weights that are kept: those after the "last" update, or of the "best" validation, by mIoU on the first of
    ``segment.score`` (the program); "auto" is "best" where a split has ground truth, else "last"."""
    backbone_lr_factor: float = 0.1
    """Learning rate of the backbone, as a multiple of ``lr``."""
    architecture: str = "timm/resnet50s"
    """The backbone. ``timm/resnet50s`` is CCT's: ResNet-50 with a stem of three 3x3 convolutions (64, 64 and 128
    channels), 23.6 million parameters."""
    weights: str | None = "default"
    """What the backbone starts from: a file, ``default`` (the library's weights), or None for random ones."""
    mean: tuple[float, ...] | None = None
    """Of the input, for pixel values in [0, 1]; None takes what the weights say."""
    std: tuple[float, ...] | None = None
    """Of the input, likewise."""
    output_stride: int | None = 8
    """Pixels of the image per cell of the features: 8 in CCT; 16 and 32 are quicker."""
    psp_channels: int | None = None
    """Channels of the features behind pyramid pooling; None is a quarter of the backbone's (512 for ResNet-50)."""
    freeze_batch_norm: bool = False
    """The backbone's batch norms keep their stored statistics (the program: False). True for small batches, and for
    networks whose batch norms are folded into the convolutions, such as a file of folded weights."""
    checkpoint: str | None = None
    """A checkpoint of the CCT program from which encoder and main decoder start; its backbone is the default one."""

    labelled: int | None = None
    """Number of images whose masks are used (1,464, 500, 200, 100, 60 in the field's tables); None uses all of
    ``labelled_split``. The lists with fewer are those of the CCT program: for each class its first images in the order
    of the list, as many as it takes, an image belonging to the class that covers most of it."""
    labelled_split: str | None = None
    """The list of images with masks; None takes ``train`` where there is one, else ``splits.train``. All other images
    of it and of ``splits.train`` are used without their masks."""
    weak: bool = True
    """The auxiliary decoders also learn from pseudo masks of the images without masks, those of ``segment.masks``.
    False for consistency alone."""

    vat: int = 2
    """Auxiliary decoders behind I-VAT, an adversarial displacement of the features."""
    drop_out: int = 6
    """Auxiliary decoders behind spatial dropout."""
    cut_out: int = 6
    """Auxiliary decoders behind G-Cutout, a rectangle cut out of each object."""
    context_mask: int = 2
    """Auxiliary decoders behind Con-Msk, which takes the context away."""
    object_mask: int = 2
    """Auxiliary decoders behind Obj-Msk, which takes the objects away."""
    feature_drop: int = 6
    """Auxiliary decoders behind F-Drop, which takes the strongest cells away."""
    feature_noise: int = 6
    """Auxiliary decoders behind F-Noise, noise in proportion to the features."""
    vat_xi: float = 0.1
    """Distance at which I-VAT takes its gradient. The program's 1e-6 lets the displacement vanish in single precision,
    see docs/cct.md."""
    vat_size: float = 2.0
    """Length of I-VAT's displacement (the program's epsilon)."""
    drop_rate: float = 0.5
    """Probability of a channel to be dropped by spatial dropout."""
    cut_share: float = 0.4
    """Side of G-Cutout's rectangle as a fraction of the object's extent, along each axis."""
    drop_strong: tuple[float, float] = (0.7, 0.9)
    """F-Drop takes cells away whose mean reaches a fraction of the greatest, uniform in this range."""
    noise: float = 0.3
    """F-Noise is uniform in minus to plus this."""

    supervised: Literal["ce", "abce", "focal"] = "ce"
    """Loss on the images with masks: cross-entropy; annealed bootstrapped cross-entropy (section 3.3); focal."""
    distance: Literal["mse", "kl", "js"] = "mse"
    """Distance between the auxiliary predictions and the main one."""
    confidence: float | None = None
    """Only pixels where the main prediction is surer than this are made consistent (the program's option: 0.5)."""
    consistency_weight: float = 30.0
    """Weight of the consistency loss after its ramp."""
    weak_weight: float = 0.4
    """Weight of the cross-entropy of the auxiliary decoders on the pseudo masks after the same ramp."""
    pairwise_weight: float = 0.0
    """Weight of the variance of up to 8 auxiliary predictions (the program's option: 1)."""
    ramp: Literal["sigmoid", "linear", "cosine", "log", "exp"] = "sigmoid"
    """Shape of the ramp of the weights."""
    ramp_fraction: float = 0.1
    """Part of the training over which the weights rise, in whole epochs."""
    bootstrap_fraction: float = 0.4
    """Part of the training over which the threshold of "abce" rises."""
    save_memory: bool = False
    """Forget the auxiliary decoders' activations and compute them again on the way back: a third of the memory for a
    fifth more time, see benchmarks/cct.py. Changes no number."""

    crop: int = 320
    """Side in pixels of the square random crop; a multiple of the backbone's output stride."""
    long_side: tuple[int, int] = (200, 800)
    """Least and greatest length in pixels of the longer side after the random resizing (400 times 0.5 to 2)."""
    flip: bool = True
    """Mirror every second image, on average."""
    repeat_views: bool = False
    """An image with a mask is seen in the same crop throughout an epoch, as in the program, whose loader keeps the
    first pass of an epoch. False draws a new one each time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(
            **dict.fromkeys(("psp_channels", "crop", "labelled", "long_side"), "[1, inf)"),
            **dict.fromkeys((*_COUNTS, "consistency_weight", "weak_weight", "pairwise_weight"), "[0, inf)"),
            **dict.fromkeys(("backbone_lr_factor", "vat_xi", "vat_size", "noise"), "(0, inf)"),
            **dict.fromkeys(("drop_rate", "cut_share"), "(0, 1)"),
            **dict.fromkeys(("ramp_fraction", "bootstrap_fraction"), "[0, 1]"),
            confidence="[0, 1)",
            drop_strong="(0, 1]",
        )
        if self.auxiliary < 1:
            raise SettingsError("cct has no auxiliary decoder: set at least one of " + ", ".join(_COUNTS))
        for name in ("drop_strong", "long_side"):
            least, greatest = getattr(self, name)
            if least > greatest:
                raise self.wrong(name, "needs a least and a greatest value, in this order")
        if self.checkpoint is not None and (self.architecture, self.output_stride, self.psp_channels) != (
            "timm/resnet50s",
            8,
            None,
        ):
            raise SettingsError(
                "cct.checkpoint is one of the CCT program, whose network is timm/resnet50s at an output stride of 8: "
                "leave cct.architecture, cct.output_stride and cct.psp_channels at their defaults"
            )

    @property
    def auxiliary(self) -> int:
        """The number of auxiliary decoders."""
        return sum(getattr(self, name) for name in _COUNTS)
