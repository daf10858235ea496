"""Finds the feature map and the linear head of a finished classifier, by measuring what its layers hand over."""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple, no_type_check

import torch
from jaxtyping import Float
from torch import Tensor, nn

from advcam.errors import ModelError
from advcam.models.probe import probe_image, probing, recording, stated_sides

# Odd against even cells show a swap of the sides; the second serves networks that take one image size only.
_PROBE_SIZES = ((128, 160), (224, 224))


class Parts(NamedTuple):
    """What class maps are made of: a feature map, and a linear head over its mean."""

    features: nn.Module
    weight: Float[Tensor, "K C"]
    bias: Float[Tensor, " K"] | None


def find_parts(model: nn.Module, feature_layer: str | None = None, head: str | None = None) -> Parts:
    """The feature map and the head of a classifier that ends in global average pooling + linear.

    One probe image is sent through the model. The head is the last linear layer (or 1x1 convolution); the feature
    map is the output, if need be after a ReLU, whose spatial mean is what the head receives. A 1x1 convolution that
    is pooled afterwards is the same function, and is found too. What is found is checked: pooled class maps plus
    bias equal the model's own output to 1e-4 (2e-2 in half precision).

    Args and errors are those of ``ClassMapper.from_model``.
    """
    for name, setting in ((feature_layer, "feature_layer"), (head, "head")):
        _check_name(model, name, setting)
    with probing(model):
        trace = _trace(model)
        call = _head_call(model, trace, head)
        parts = Parts(_feature_map(model, trace, call, feature_layer), call.weight, call.bias)
        _check_scores(model, parts, trace.image, call.scores if head is not None else trace.output)
    return parts


class LayerOutput(nn.Module):
    """Runs a model up to one of its layers and returns what that layer hands over.

    Works for every model whose layer runs once per image, however the model is written.

    Args:
        model: the whole network.
        layer: name of the module, as in ``model.named_modules()``.
        of_input: True returns the layer's input instead.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten())
    >>> LayerOutput(network, "0")(torch.zeros(1, 3, 5, 5)).shape
    torch.Size([1, 8, 3, 3])
    """

    def __init__(self, model: nn.Module, layer: str, of_input: bool = False) -> None:
        super().__init__()
        self.model = model
        self.layer = layer
        self.of_input = of_input

    @no_type_check  # torch.fx traces it with what is no tensor
    def forward(self, images: Float[Tensor, "n _ H W"]) -> Float[Tensor, "n C h w"]:
        """The layer's tensor; the rest of the model is not run."""
        module = self.model.get_submodule(self.layer)
        if self.of_input:
            handle = module.register_forward_pre_hook(_stop_with_input)
        else:
            handle = module.register_forward_hook(_stop_with_output)
        try:
            self.model(images)
        except _Reached as reached:
            return reached.tensor
        finally:
            handle.remove()
        raise ModelError(f"the model did not run its layer '{self.layer}'")


class _Reached(Exception):
    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def _stop_with_input(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    raise _Reached(inputs[0])


def _stop_with_output(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    raise _Reached(output)


@dataclass(frozen=True)
class _MapCall:
    """A layer that gave a map with more than one cell, and that map's spatial mean, as it is and after a ReLU."""

    name: str
    mean: Tensor
    relu_mean: Tensor


@dataclass(frozen=True)
class _HeadCall:
    """A linear layer or 1x1 convolution, what it received and gave, both averaged over space where there is one."""

    name: str
    weight: Tensor
    bias: Tensor | None
    received: Tensor
    scores: Tensor
    before_pooling: bool


@dataclass
class _Trace:
    """What one probe image met on its way."""

    image: Tensor
    output: Any = None
    maps: list[_MapCall] = field(default_factory=list)
    heads: list[_HeadCall] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)

    def record(self, name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self.calls[name] += 1
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return
        # Means are taken at once: a later in-place operation may write over the tensor.
        if isinstance(module, nn.Linear | nn.Conv2d) and _is_linear(module):
            weight, received = module.weight, inputs[0]
            before = received.ndim == 4 and received.shape[2:].numel() > 1
            self.heads.append(
                _HeadCall(name, weight.flatten(1), module.bias, _pooled(received), _pooled(output), before)
            )
        if output.ndim == 4 and output.shape[2:].numel() > 1:
            self.maps.append(_MapCall(name, _pooled(output), _pooled(output.relu())))


def _trace(model: nn.Module) -> _Trace:
    failure: Exception | None = None
    for height, width in (*_PROBE_SIZES, *((side, side) for side in stated_sides(model))):
        trace = _Trace(probe_image(model, height, width))
        try:
            with recording(model, trace.record):
                trace.output = model(trace.image)
            return trace
        except Exception as error:  # any network may refuse a size in its own way; the last refusal is reported
            failure = error
    raise _no_maps(model, f"it cannot run on an image of {height} x {width} ({failure})") from failure


def _is_linear(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d):
        return module.kernel_size == (1, 1) and module.stride == (1, 1) and module.groups == 1
    return isinstance(module, nn.Linear)


def _pooled(tensor: Tensor) -> Tensor:
    return tensor.mean(dim=(2, 3)) if tensor.ndim == 4 else tensor.clone()


def _head_call(model: nn.Module, trace: _Trace, head: str | None) -> _HeadCall:
    if head is not None:
        named = [call for call in trace.heads if call.name == head]
        if len(named) != 1:
            kind = type(model.get_submodule(head)).__name__
            raise ModelError(
                f"head '{head}' must be a linear layer or a 1x1 convolution that runs once per image, and it is a "
                f"{kind} that ran {trace.calls[head]} times: name another layer"
            )
        return named[0]
    if not trace.heads:
        raise _no_maps(model, "it has no linear layer at its end")
    return trace.heads[-1]


def _feature_map(model: nn.Module, trace: _Trace, head: _HeadCall, feature_layer: str | None) -> nn.Module:
    if head.received.ndim != 2 or not head.received.abs().max() > 0:
        raise _no_maps(model, f"its head '{head.name}' receives no pooled features")
    if head.before_pooling and feature_layer is None:
        return LayerOutput(model, head.name, of_input=True)
    candidates = [
        call
        for call in trace.maps
        if trace.calls[call.name] == 1 and (feature_layer is None or call.name == feature_layer)
    ]
    for rectified in (False, True):
        found = [call.name for call in candidates if _equal(call.relu_mean if rectified else call.mean, head.received)]
        if found:
            # The outermost module stands for the whole stage ('layer4' rather than 'layer4.2.relu').
            layer = LayerOutput(model, min(reversed(found), key=lambda name: name.count(".")))
            return nn.Sequential(layer, nn.ReLU()) if rectified else layer
    where = "no layer gives a map n x C x h x w" if feature_layer is None else f"'{feature_layer}' gives no map"
    raise _no_maps(model, f"{where} whose spatial mean is what the head '{head.name}' receives")


def _check_scores(model: nn.Module, parts: Parts, image: Tensor, expected: Any) -> None:
    # The mean goes before the head, which is the same by linearity and spares a K-channel convolution's rounding.
    scores = nn.functional.linear(parts.features(image).mean(dim=(2, 3)), parts.weight, parts.bias)
    if not isinstance(expected, Tensor):
        raise _no_maps(model, f"it returns a {type(expected).__name__} instead of class scores; name its head")
    expected = _pooled(expected)
    if not _equal(scores, expected):
        reason = f"pooled class maps plus bias differ from its output of shape {tuple(expected.shape)}"
        if expected.shape == scores.shape:
            reason += f" by up to {(scores - expected).abs().max():.3g}"
        raise _no_maps(model, reason)


def _equal(found: Tensor, expected: Tensor) -> bool:
    if found.shape != expected.shape:
        return False
    tolerance = 1e-4 if torch.finfo(expected.dtype).eps < 1e-6 else 2e-2
    return bool((found - expected).abs().max() <= tolerance * expected.abs().max())


def _check_name(model: nn.Module, name: str | None, setting: str) -> None:
    names = [known for known, _ in model.named_modules() if known]
    if name is not None and name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names[-3:]
        raise ModelError(
            f"{setting} '{name}' is not a layer of {type(model).__name__}: use a name of model.named_modules(), "
            f"such as {', '.join(near)}"
        )


def _no_maps(model: nn.Module, reason: str) -> ModelError:
    return ModelError(
        f"{type(model).__name__} does not end in global average pooling and one linear layer, so it has no class "
        f"activation maps: {reason}; explain it by Grad-CAM with advcam.AdvCAM, name feature_layer= and head= if "
        f"they were missed, or train a pooled head on its features with advcam.models.build_classifier"
    )
