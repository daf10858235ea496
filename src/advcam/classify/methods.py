"""Trained methods as folders: a classifier, and beside it what the map of some methods needs of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn

from advcam.classify.seam import SEAM
from advcam.classify.sub_categories import SubCategories
from advcam.classify.wsol.acol import ACoL
from advcam.classify.wsol.method import CAM
from advcam.errors import ModelError
from advcam.io.files import read_json, write_json, writing
from advcam.models.checkpoint import load_classifier, save_classifier
from advcam.models.classifier import build_classifier
from advcam.models.match import fill
from advcam.models.settings import BackboneSettings
from advcam.models.weights import read_weights

METHOD_NAME, BRANCH_NAME = "method.json", "method.safetensors"
# Those whose maps need more than the classifier: how they are built on one, and the type of what that takes.
_BRANCHED: Mapping[str, tuple[Callable[..., nn.Module], dict[str, type]]] = {
    "acol": (lambda classifier, acol_threshold: ACoL(classifier, acol_threshold), {"acol_threshold": float}),
    "seam": (SEAM, {}),
    "sub_categories": (SubCategories, {"clusters": int}),
}


def save_method(
    folder: Path, network: Any, method: str, backbone: BackboneSettings, class_names: Sequence[str]
) -> None:
    """Write a trained method: its classifier (``load_classifier`` reads it), and what its map needs beside it."""
    save_classifier(folder, network.classifier, backbone, class_names)
    if network.map in _BRANCHED:
        tensors = {name: value.detach().cpu().contiguous() for name, value in branch(network).items()}
        with writing(folder / BRANCH_NAME) as temporary:
            temporary.write_bytes(save(tensors))
    if method != "plain":
        write_json(folder / METHOD_NAME, {"schema": 1, "method": method, **getattr(network, "options", {})})


def load_method(folder: Path, class_names: Sequence[str] | None = None) -> tuple[nn.Module, tuple[str, ...]]:
    """Restore a trained method, in evaluation mode, and its class names.

    Any folder with a classifier will do: without ``method.json`` its class activation maps are its maps.
    """
    classifier, names = load_classifier(folder, class_names)
    path = folder / METHOD_NAME
    described = read_json(path) if path.exists() else {"method": "cam"}
    if not isinstance(described, dict) or not isinstance(described.get("method"), str):
        raise ModelError(f"{path} does not describe a method: train again, or restore it")
    if described["method"] not in _BRANCHED:
        return CAM(classifier).eval(), names
    build, fields = _BRANCHED[described["method"]]
    if not all(isinstance(described.get(name), kind) for name, kind in fields.items()):
        raise ModelError(f"{path} does not describe a method: train again, or restore it")
    network = build(classifier, **{name: described[name] for name in fields})
    take_branch(network, read_weights(folder / BRANCH_NAME).tensors, folder / BRANCH_NAME)
    return network.eval(), names


def published_method(method: str, path: str | Path, backbone: BackboneSettings, num_classes: int) -> nn.Module:
    """SEAM or SC-CAM with the weights of its own program, in evaluation mode.

    Args:
        path: a state dict, such as ``resnet38_SEAM.pth``.
        backbone: its architecture; resnet38 for those that were published.
    """
    network: Any = {"seam": SEAM, "sub_categories": SubCategories}[method]
    tensors = {name.removeprefix("module."): value for name, value in read_weights(path).tensors.items()}
    tensors = network.own_names(tensors, num_classes)
    classifier = build_classifier(replace(backbone, weights=None), num_classes)
    classifier.load_library_state_dict(tensors, f"weights file {path}", require_head=True)
    options = {}
    if method == "sub_categories" and "sub_head.weight" in tensors:
        options["clusters"] = max(1, len(tensors["sub_head.weight"]) // num_classes)
    made = network(classifier, **options)
    take_branch(made, {name: tensors[name] for name in branch(made) if name in tensors}, path)
    return made.eval()


def branch(network: nn.Module) -> dict[str, Tensor]:
    """What a method has beside its classifier."""
    return {name: value for name, value in network.state_dict().items() if not name.startswith("classifier.")}


def take_branch(network: nn.Module, tensors: Mapping[str, Tensor], source: str | Path) -> None:
    """Give a method what it has beside its classifier."""
    own = {name: value for name, value in network.state_dict().items() if name.startswith("classifier.")}
    fill(
        network,
        {**own, **tensors},
        lambda misfit: f"{source} does not go with the classifier, {misfit}: train again, or restore the file",
        source,
        surplus=True,
    )
