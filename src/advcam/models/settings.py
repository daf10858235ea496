"""Which network a classifier stands on; free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass

from advcam.errors import SettingsError

OUTPUT_STRIDES = (8, 16, 32)


@dataclass(frozen=True)
class BackboneSettings:
    """The backbone of a classifier and the weights it starts from.

    Attributes:
        architecture: ``torchvision/NAME``, ``timm/NAME``, a plain name (looked up in torchvision, then in timm),
            ``irn_resnet50``: torchvision's ResNet-50 with stride 1 in ``layer4`` and no dilation, the network of the
            IRN program and of Tables 1 to 3; ``resnet38``: the wide network of the PSA program, stride 8;
            ``caffe_resnet101``: that of DeepLab-v2; ``res2net101_v1b`` or ``res2net152_v1b``: those of Table 3.
            ``NAME@LAYER`` ends behind one of its layers, such as ``timm/resnet50@layer3``, and ``NAME@local:LAYER``
            looks at every cell alone from that layer on: cells see less of the image, and maps are narrower.
        weights: ``default`` for the library's own pretrained weights (torchvision's first ImageNet weights for
            ``irn_resnet50``), the name of another set of a torchvision model such as ``IMAGENET1K_V1``, a
            ``.safetensors`` or ``.pth`` file (``resnet38``, ``caffe_resnet101`` and ``res2net152_v1b`` have nothing
            else), or None for random weights. timm names its sets in the model's name: ``timm/resnet50.tv_in1k``.
        prefix: what precedes the network's names in a weights file that holds several networks, such as ``teacher.``;
            None finds it.
        head: name of the linear head in a weights file, such as ``projector.fc``; None finds it.
        output_stride: pixels of the image per cell of the class maps: 8, 16, 32, or None for the architecture's own
            (16 for ``irn_resnet50``, 32 for most). A finer grid keeps the weights and dilates the convolutions.
        in_channels: of the pictures: 3 for RGB, 1 for grey, or the bands of a TIFF. Weights for RGB are taken over by
            timm's rule: the first layer's three kernels are repeated and divided by as much, for grey added.
        mean, std: of the network's input, a value for each channel, for pixel values in [0, 1]; None takes them from
            the weights' own metadata. A file whose header states other values is an error.
        head_bias: whether a new head has a bias; IRN's has none. A head that is taken over from the weights keeps
            the bias it has.
    """

    architecture: str = "irn_resnet50"
    weights: str | None = "default"
    output_stride: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    head_bias: bool = False
    prefix: str | None = None
    head: str | None = None
    in_channels: int = 3

    def __post_init__(self) -> None:
        if self.output_stride is not None and self.output_stride not in OUTPUT_STRIDES:
            raise SettingsError(f"backbone.output_stride must be 8, 16, 32 or left out, not {self.output_stride}")
        if self.in_channels < 1:
            raise SettingsError(f"backbone.in_channels must be at least 1, not {self.in_channels}")
        if (self.mean is None) != (self.std is None):
            given, absent = ("mean", "std") if self.std is None else ("std", "mean")
            raise SettingsError(f"backbone.{given} is set without backbone.{absent}: set both, or neither")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != self.in_channels:
                raise SettingsError(
                    f"backbone.{name} must have a value for each of {self.in_channels} channels, not {values}"
                )
        if self.std is not None and min(self.std) <= 0:
            raise SettingsError(f"backbone.std must be positive, not {self.std}")
