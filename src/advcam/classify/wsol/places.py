"""Where in a network the methods act, and which of its parameters learn faster."""

from __future__ import annotations

from torch import nn

from advcam.classify.wsol.method import LocalizationMethod
from advcam.errors import SettingsError
from advcam.models.architectures import build_backbone
from advcam.models.classifier import Classifier
from advcam.models.tails import TailedFeatures
from advcam.models.taps import tapped

# In the benchmark's networks: what ADL acts behind, and what SPG's first two predictors read.
_ADL = {
    "resnet50": ("layer3.0", "layer4.0", "layer4.2"),
    "vgg16": ("trunk.features.16", "trunk.features.22", "trunk.features.29"),
    "inception_v3": ("trunk.Mixed_5d", "trunk.Mixed_6e", "tail.relu2"),
}
_SPG = {
    "resnet50": ("layer3.0", "layer3"),
    "vgg16": ("trunk.features.23", "trunk.features.30"),
    "inception_v3": ("trunk.pool", "trunk.Mixed_6e"),
}
# Of any other network, from the end: the last maps of different strides.
_ADL_TAPS, _SPG_TAPS = 3, 2


def method_layers(classifier: Classifier, method: str, asked: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The modules of the backbone that ADL or SPG hooks at.

    Args:
        asked: names to use instead.
    """
    known = dict(classifier.backbone.named_modules())
    for name in asked:
        if name not in known:
            near = ", ".join(list(known)[1:4])
            raise SettingsError(
                f"wsol.layers names {name!r}, which is no module of the backbone (they are {near}, ...)"
            )
    if method == "spg" and asked and len(asked) != _SPG_TAPS:
        raise SettingsError(f"wsol.layers must name two modules for SPG, an early and a later one, not {list(asked)}")
    if asked:
        return asked
    network = _benchmark_name(classifier)
    if network is not None:
        return (_ADL if method == "adl" else _SPG)[network]
    taps = tapped(build_backbone(classifier.architecture, classifier.output_stride)).names
    return taps[-_ADL_TAPS:] if method == "adl" else taps[-_SPG_TAPS - 1 : -1]


def fast_parameters(network: LocalizationMethod) -> frozenset[str]:
    """The names of a method's parameters that have the fast learning rate.

    Benchmark: in ResNet-50 all of ``layer4`` and the linear layer, but no head of ACoL or SPG; in VGG and Inception
    whatever is not the library's. Elsewhere: whatever is not the library's.
    """
    assert isinstance(network, nn.Module)
    names, classifier = [name for name, _ in network.named_parameters()], network.classifier
    if _benchmark_name(classifier) == "resnet50":
        fast = ("classifier.head.",) if "+" not in classifier.architecture else ()
        return frozenset(name for name in names if "layer4." in name or name.startswith(fast))
    trunk = "classifier.backbone." + ("trunk." if isinstance(classifier.backbone, TailedFeatures) else "")
    return frozenset(name for name in names if not name.startswith(trunk))


def _benchmark_name(classifier: Classifier) -> str | None:
    library, _, name = classifier.architecture.partition("+")[0].partition("/")
    return name if library == "wsol" else None
