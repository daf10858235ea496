"""A network in two parts, so that a climb can start from a feature map inside it instead of the pixels."""

from __future__ import annotations

import difflib

import torch
from torch import fx, nn
from torch.utils.flop_counter import FlopCounterMode

from advcam.errors import ModelError
from advcam.models.mapper import ClassMapper
from advcam.models.probe import probe_image, probing
from advcam.models.taps import recording, successive


def split_at(mapper: ClassMapper, layer: str) -> ClassMapper:
    """The same class maps from a network cut behind one of its layers; parameters are shared.

    The returned mapper's ``stem`` brings images to the layer's output, and its ``features`` go on from there. A climb
    runs the stem once per image and moves the feature map that it hands over.

    Args:
        mapper: of a network whose sequence of blocks can be traced by torch.fx, as that of torchvision's and timm's
            convolutional ones can.
        layer: name of a module within ``mapper.features``, as in ``named_modules()``. All that follows must depend on
            its output alone, so it is best the end of a block: ``layer1`` or ``features.6``.

    Raises:
        ModelError: no such layer, a connection leads around it, its output is no ``C x h x w`` map, or the network
            cannot be traced. A mapper whose batch norms were folded has lost the names of its blocks.

    >>> import torch, torchvision
    >>> mapper = ClassMapper.from_model(torchvision.models.resnet18())
    >>> split_at(mapper, "model.layer1").stem(torch.zeros(1, 3, 64, 96)).shape
    torch.Size([1, 64, 16, 24])
    """
    if mapper.layer is not None:
        raise ModelError(f"the mapper is split at {mapper.layer!r} already: split the whole one")
    names = [name for name, _ in mapper.features.named_modules() if name]
    if layer not in names:
        near = ", ".join(difflib.get_close_matches(layer, names, n=3, cutoff=0.4) or names[:3])
        raise ModelError(f"the network has no layer '{layer}' to climb from: did you mean one of {near}?")
    graph = _trace(mapper.features, layer)
    cut = next((node for node in graph.nodes if node.op == "call_module" and node.target == layer), None)
    if cut is None:
        raise ModelError(f"layer '{layer}' is not run as a whole, so the network cannot be cut there: take another one")
    stem, tail = _before(mapper.features, graph, cut), _after(mapper.features, graph, cut, layer)
    split = ClassMapper(tail, mapper.weight, mapper.bias, mapper.mean, mapper.std, stem=stem, layer=layer)
    split.training = mapper.training
    _check(mapper, split)
    return split


_IN_PLACE = ("iadd", "isub", "imul", "itruediv")


def skipping(mapper: ClassMapper, share: float) -> ClassMapper:
    """The network cut so deep that what precedes the cut is at most ``share`` of its multiplications.

    The cut lies behind the last layer, or block of layers, for which that holds and that no connection leads around.

    Args:
        mapper: of a whole network; one that is split already, or a share of 0, is handed back as it is.
        share: of the multiplications of one forward pass, in [0, 1).

    Raises:
        ModelError: there is no such layer, or the network cannot be traced.

    >>> import torchvision
    >>> skipping(ClassMapper.from_model(torchvision.models.mobilenet_v2()), 0.5).layer
    'model.features.11'
    """
    if mapper.layer is not None or share == 0:
        return mapper
    shares = shares_before(mapper)
    _trace(mapper.features, next(iter(shares)))
    for layer, before in reversed(shares.items()):
        if before <= share:
            try:
                return split_at(mapper, layer)
            except ModelError:  # not the end of a block
                continue
    raise ModelError(
        f"the network has no layer to climb from before {share:g} of its multiplications: the first one comes at "
        f"{min(shares.values()):.2g}; or climb from the pixels, with climb.skip 0"
    )


def shares_before(mapper: ClassMapper) -> dict[str, float]:
    """For each layer or block, in the order they run, the part of a pass's multiplications up to its end."""
    done: dict[str, int] = {}
    with FlopCounterMode(display=False) as counter, probing(mapper):

        def record(name: str, output: object) -> None:
            done[name] = counter.get_total_flops()

        with recording(mapper.features, successive(mapper.features), record):
            mapper.class_maps(probe_image(mapper.features, 128, 128))
        total = counter.get_total_flops()
    return {name: flops / total for name, flops in done.items()}


class _Tracer(fx.Tracer):
    """Traces no deeper than to some layers, each of which stays a single call."""

    def __init__(self, whole: set[str]) -> None:
        super().__init__()
        self.whole = whole

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return qualified_name in self.whole or super().is_leaf_module(module, qualified_name)


def _trace(features: nn.Module, layer: str) -> fx.Graph:
    # What depends on values or sizes, and so cannot be traced, is mostly inside the blocks.
    blocks = {name for name in successive(features) if not layer.startswith(f"{name}.")}
    try:
        with probing(features):
            return _Tracer({layer, *blocks}).trace(features)
    except Exception as error:  # tracing fails in as many ways as there are networks
        raise ModelError(
            f"the network cannot be cut at '{layer}', as torch.fx cannot trace it: climb from the pixels"
        ) from error


def _before(features: nn.Module, graph: fx.Graph, cut: fx.Node) -> nn.Module:
    part = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        copies[node] = part.node_copy(node, lambda needed: copies[needed])
        if node is cut:
            break
    part.output(copies[cut])
    return _module(features, part)


def _after(features: nn.Module, graph: fx.Graph, cut: fx.Node, layer: str) -> nn.Module:
    part, behind = fx.Graph(), False
    copies: dict[fx.Node, fx.Node] = {}
    start = copies[cut] = part.placeholder("features")
    if any(_in_place(features, user) for user in cut.users):
        copies[cut] = part.call_method("clone", (start,))  # what is climbed must survive its first layer
    for node in graph.nodes:
        if behind and (node.op == "get_attr" or any(needed in copies for needed in node.all_input_nodes)):
            if any(needed not in copies for needed in node.all_input_nodes):
                raise ModelError(
                    f"a connection leads around layer '{layer}', so the network cannot be cut there: take a layer at "
                    f"the end of a block"
                )
            copies[node] = part.node_copy(node, lambda needed: copies[needed])
        behind = behind or node is cut
    return _module(features, part)


def _module(features: nn.Module, part: fx.Graph) -> nn.Module:
    module = fx.GraphModule(features, part)
    module.graph.eliminate_dead_code()
    module.recompile()
    module.training = features.training  # this part alone: the layers are shared
    return module


def _in_place(features: nn.Module, node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(features.get_submodule(str(node.target)), "inplace", False))
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return bool(node.kwargs.get("inplace")) or name.endswith("_") or name in _IN_PLACE


def _check(mapper: ClassMapper, split: ClassMapper) -> None:
    """A trace fixes what depends on the input's size; two sizes show whether something does."""
    for height, width in ((64, 96), (104, 72)):
        image = probe_image(mapper.features, height, width)
        with probing(mapper), probing(split):
            grid = split.stem(image)
            if not isinstance(grid, torch.Tensor) or grid.ndim != 4:
                raise ModelError(f"layer '{split.layer}' gives no C x h x w map to climb from: take another one")
            expected, found = mapper.class_maps(image), split.class_maps(image)
        tolerance = 1e-4 * float(expected.abs().max())
        if found.shape != expected.shape or not torch.allclose(found, expected, rtol=0, atol=tolerance):
            raise ModelError(f"the network is another one when cut at '{split.layer}': climb from the pixels")
