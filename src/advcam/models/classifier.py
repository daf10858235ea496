"""An image classifier that ends in global average pooling and one linear layer, built by name."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from timm.models import adapt_input_conv
from torch import Tensor, nn

from advcam.errors import ModelError
from advcam.models.architectures import build_backbone, library_weights, own_names
from advcam.models.backbone import Backbone
from advcam.models.mapper import ClassMapper
from advcam.models.settings import BackboneSettings
from advcam.models.weights import fit_weights, is_weight_file, read_weights

# How the names of a ``TailedFeatures``' new layers begin, with a point before them.
TAIL = ".tail."
_log = logging.getLogger(__name__)


class Classifier(nn.Module):
    """Class logits as the mean of a feature map times one weight vector per class.

    Training and mapping use this one network: ``mapper()`` shares its parameters.

    Args:
        backbone: the feature extractor and its facts; its modules become this classifier's.
        num_classes: K.
        bias: whether the head has a bias.

    >>> classifier = Classifier(build_backbone("irn_resnet50"), num_classes=20)
    >>> classifier(torch.zeros(2, 3, 64, 96)).shape, classifier.mapper().class_maps(torch.zeros(2, 3, 64, 96)).shape
    (torch.Size([2, 20]), torch.Size([2, 20, 4, 6]))
    """

    def __init__(self, backbone: Backbone, num_classes: int, bias: bool = False) -> None:
        super().__init__()
        if num_classes < 1:
            raise ModelError(f"a classifier needs at least one class, not {num_classes}: check the class list")
        self.backbone = backbone.features
        self.head = nn.Linear(backbone.channels, num_classes, bias=bias)
        self.architecture = backbone.architecture
        self.output_stride = backbone.output_stride
        self.input_size = backbone.input_size
        self.mean = backbone.mean
        self.std = backbone.std
        self.origin = "random weights"
        # "multilabel_soft_margin" or "softmax", where it is known what the head was trained with.
        self.loss: str | None = None
        self.head_is_new = True
        self._prefix = backbone.prefix
        self._head_name = backbone.head_name

    @property
    def num_classes(self) -> int:
        return self.head.out_features

    @property
    def first_convolution(self) -> nn.Conv2d:
        """The layer that sees the image."""
        return next(layer for layer in self.backbone.modules() if isinstance(layer, nn.Conv2d))

    def channels_of(self, tensors: Mapping[str, Tensor]) -> int | None:
        """The channels that weights under the library's names are for; None where their first layer is not found."""
        place = next(name for name, layer in self.backbone.named_modules() if layer is self.first_convolution)
        name = f"{place}.weight".removeprefix(self._prefix)
        return next((v.shape[1] for key, v in tensors.items() if key == name or key.endswith(f".{name}")), None)

    def take_channels(self, channels: int) -> None:
        """Makes the network one of images of so many channels, by timm's adaptation of the first layer."""
        first = self.first_convolution
        if first.in_channels == channels:
            return
        if first.groups != 1 or first.in_channels != 3:
            raise ModelError(f"{self.architecture} cannot take {channels} channels: leave backbone.in_channels out")
        adapted: Tensor = adapt_input_conv(channels, first.weight.detach())
        first.in_channels, first.weight = channels, nn.Parameter(adapted)
        self.mean, self.std = (_for_channels(values, channels) for values in (self.mean, self.std))

    def forward(self, images: Float[Tensor, "n _ H W"]) -> Float[Tensor, "n K"]:
        """Logits before sigmoid or softmax, of images normalised by ``mean`` and ``std``."""
        return self.head(self.backbone(images).mean(dim=(2, 3)))

    def mapper(self) -> ClassMapper:
        """The same network as a producer of class maps.

        Parameters are shared: training steps and loaded weights show in the maps. Ask for a new mapper after moving
        the classifier to another device or dtype.
        """
        return ClassMapper(self.backbone, self.head.weight, self.head.bias, self.mean, self.std)

    def as_backbone(self) -> Backbone:
        """The feature extractor with its facts and this classifier's input statistics; parameters are shared."""
        return Backbone(
            architecture=self.architecture,
            features=self.backbone,
            prefix=self._prefix,
            head_name=self._head_name,
            mean=self.mean,
            std=self.std,
            input_size=self.input_size,
            channels=self.head.in_features,
            output_stride=self.output_stride,
        )

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The trainable parameters of the ``backbone`` and of the ``head``, which learns faster in the IRN program."""
        return {
            name: [parameter for parameter in part.parameters() if parameter.requires_grad]
            for name, part in (("backbone", self.backbone), ("head", self.head))
        }

    def library_state_dict(self) -> dict[str, Tensor]:
        """All tensors under the library's own names, so that torchvision or timm can load them as well.

        The head goes by the library's name where the library has such a head, else by ``head``.
        """
        own = self.backbone.state_dict()
        tensors = {name: own[key] for name, key in self._library_names().items()}
        head_name = self._head_name or "head"
        return tensors | {f"{head_name}.{key}": value for key, value in self.head.state_dict().items()}

    def _library_names(self) -> dict[str, str]:
        """The backbone's own name of every tensor, by the library's."""
        return {key.removeprefix(self._prefix): key for key in self.backbone.state_dict()}

    def load_library_state_dict(
        self,
        tensors: Mapping[str, Tensor],
        source: str,
        require_head: bool = False,
        *,
        prefix: str | None = None,
        head: str | None = None,
    ) -> bool:
        """Takes over a backbone, and a head of as many classes if there is one; returns whether there was.

        Args:
            tensors: under the library's names, with or without a common prefix.
            source: what errors call the tensors' origin.
            require_head: a head of other classes is an error rather than left out.
            prefix, head: of the network's names and of its head's, where they are not found.
        """
        own, names = self.backbone.state_dict(), self._library_names()
        if not any(TAIL in f".{key}" for key in tensors):
            # The layers that a localization method puts behind a library's network keep their initial values.
            names = {name: key for name, key in names.items() if not name.startswith(TAIL[1:])}
        expected = {name: own[key] for name, key in names.items()}
        own_head = [self._head_name] if self._head_name else []
        head_names = [head] if head else list(dict.fromkeys([*own_head, "head", "classifier", "fc"]))
        fitted = fit_weights(
            expected,
            own_names(self.architecture, tensors, expected),
            head_names,
            self.head.in_features,
            source=source,
            architecture=self.architecture,
            prefix=prefix,
        )
        classes = None if fitted.head_weight is None else fitted.head_weight.shape[0]
        if require_head and classes != self.num_classes:
            found = "no linear head" if classes is None else f"a head of {classes} classes"
            raise ModelError(
                f"{source} has {found}, not one of {self.num_classes} classes: give the class list it was trained on, "
                f"name its head with backbone.head, or train the classifier first"
            )
        self.backbone.load_state_dict({names[k]: v for k, v in fitted.backbone.items()}, strict=False)
        if fitted.head_weight is None or classes != self.num_classes:
            return False
        if (fitted.head_bias is None) != (self.head.bias is None):
            like = self.head.weight
            self.head = nn.Linear(self.head.in_features, self.num_classes, bias=fitted.head_bias is not None)
            self.head.to(like.device, like.dtype)
        with torch.no_grad():
            self.head.weight.copy_(fitted.head_weight)
            if fitted.head_bias is not None:
                self.head.bias.copy_(fitted.head_bias)
        self.head_is_new = False
        return True


def pretrained(settings: Any, weights: str | None) -> Classifier:
    """The backbone that the settings of a network with one name, below a head that is not used: a classifier knows how
    weights of every origin come into it."""
    mean, std = settings.mean, settings.std
    named = BackboneSettings(settings.architecture, weights, settings.output_stride, mean=mean, std=std)
    return build_classifier(named, num_classes=1)


def build_classifier(settings: BackboneSettings, num_classes: int, *, require_head: bool = False) -> Classifier:
    """Builds the network of ``settings`` with a linear head of ``num_classes`` and loads its weights.

    The head is new, with torch's default initialisation, unless the weights bring one of as many classes; its
    channels are those of the last feature map, also where the library's own classifier has more layers behind it
    (VGG, MobileNetV3, ConvNeXt). ``Classifier.origin`` says what was loaded.

    Args:
        settings: architecture, weights, output stride, input statistics.
        num_classes: K.
        require_head: for mapping without training: weights without a head of K classes are an error.

    Returns:
        The classifier in training mode, on the CPU.

    Raises:
        SettingsError: an unknown architecture or set of weights.
        ModelError: the architecture does not give feature maps or not at this stride, or the weights do not fit.

    >>> settings = BackboneSettings(architecture="timm/resnet18", weights=None, output_stride=8)
    >>> build_classifier(settings, num_classes=20).output_stride
    8
    """
    classifier = Classifier(
        build_backbone(settings.architecture, settings.output_stride), num_classes, settings.head_bias
    )
    mean, std, channels = settings.mean, settings.std, settings.in_channels
    if settings.weights is None:
        classifier.take_channels(channels)
        if require_head:
            raise ModelError("backbone.weights is none, so the head knows no class: name a file, or train first")
    else:
        if is_weight_file(settings.weights):
            file = read_weights(settings.weights)
            tensors, source = file.tensors, f"weights file {file.path}"
            mean, std = _agreed(mean, file.mean, "mean", source), _agreed(std, file.std, "std", source)
        else:
            tensors, source = library_weights(classifier.architecture, settings.weights)
        if channels != 3 and classifier.channels_of(tensors) == channels:
            classifier.take_channels(channels)
        named = {"prefix": settings.prefix, "head": settings.head}
        taken = classifier.load_library_state_dict(tensors, source, require_head, **named)
        classifier.take_channels(channels)
        classifier.origin = f"{source}, with {'its' if taken else 'a new'} head of {num_classes} classes"
    classifier.mean, classifier.std = mean or classifier.mean, std or classifier.std
    _log.info("%s from %s", classifier.architecture, classifier.origin)
    return classifier


def _for_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Input statistics of red, green and blue for other channels: their mean for one, else in turn."""
    return (sum(values) / len(values),) if channels == 1 else tuple(values[c % len(values)] for c in range(channels))


def _agreed(
    asked: tuple[float, ...] | None, stated: tuple[float, ...] | None, name: str, source: str
) -> tuple[float, ...] | None:
    if asked is not None and stated is not None and tuple(asked) != stated:
        raise ModelError(
            f"{source} states a {name} of {list(stated)}, backbone.{name} is {list(asked)}: leave backbone.{name} out"
        )
    return stated or asked
