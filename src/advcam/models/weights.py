"""Reading weight files without running code from them, and fitting their tensors to a network."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from advcam.errors import ModelError
from advcam.io.files import contents_digest

# Of the three channels of an input.
STATISTICS: dict[str, Any] = {
    "mean": Annotated[tuple[float, ...], msgspec.Meta(min_length=1)],
    "std": Annotated[tuple[Annotated[float, msgspec.Meta(gt=0)], ...], msgspec.Meta(min_length=1)],
}
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".pkl", ".tar")


@dataclass(frozen=True)
class WeightFile:
    """The tensors of a file by name, and the input statistics that its header states, if it does."""

    path: Path
    tensors: dict[str, Tensor]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def is_weight_file(weights: str) -> bool:
    """Whether a setting names a file rather than a set of a library.

    >>> is_weight_file("net.safetensors"), is_weight_file("IMAGENET1K_V1")
    (True, False)
    """
    named_like_a_file = weights.lower().endswith(_SUFFIXES) or "/" in weights
    return named_like_a_file or (weights != "default" and Path(weights).is_file())


def read_weights(path: str | Path) -> WeightFile:
    """Reads a ``.safetensors`` file, or a state dict written by ``torch.save``; nothing in the file is executed.

    A doubled extension, as the authors' program writes (``x.pth.pth``), is found under the single one too.

    Raises:
        ModelError: the file is missing, truncated, of another kind, or a pickle with code; names the fix.
    """
    path = _existing(Path(path))
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)


def file_digest(weights: str | None) -> str | None:
    """What tells one state of the file that a setting names from another; None where it names none.

    Raises:
        ModelError: the file is missing.
    """
    if weights is None or not is_weight_file(weights):
        return None
    return contents_digest({"": _existing(Path(weights))})


def _existing(path: Path) -> Path:
    if not path.exists() and path.with_name(path.name + path.suffix).is_file():
        path = path.with_name(path.name + path.suffix)
    if not path.is_file():
        what = (
            "is a folder, not a weights file: name the file in it" if path.is_dir() else "is not there: check the path"
        )
        raise ModelError(f"weights file {path} {what}")
    return path


def _read_safetensors(path: Path) -> WeightFile:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"weights file {path} is not a whole safetensors file ({error}): it is truncated or of another kind, "
            f"fetch or save it again"
        ) from error
    return WeightFile(path, tensors, _statistic(path, header, "mean"), _statistic(path, header, "std"))


def _statistic(path: Path, header: Mapping[str, str], name: str) -> tuple[float, ...] | None:
    if name not in header:
        return None
    try:
        return msgspec.json.decode(header[name], type=STATISTICS[name])
    except msgspec.DecodeError:
        pass
    raise ModelError(
        f"weights file {path} has '{header[name]}' as {name} in its header: write numbers as JSON, like "
        f"[0.485, 0.456, 0.406]"
    )


def _read_torch(path: Path) -> WeightFile:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"weights file {path} is a pickle with more than tensors in it, or no weights at all, and code from files "
            f"is never run: save the state dict alone, with torch.save(model.state_dict(), ...) or as safetensors"
        ) from error
    except Exception as error:  # a broken archive fails in many ways, depending on where it is broken
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ModelError(
            f"weights file {path} cannot be read ({reason}): it is truncated or of another kind, fetch or save it again"
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise ModelError(f"weights file {path} holds no state dict of tensors: save model.state_dict() with torch.save")
    return WeightFile(path, dict(content))


@dataclass(frozen=True)
class FittedWeights:
    """Tensors for a backbone, by its own names, and the head that came with them, if one fits the channels."""

    backbone: dict[str, Tensor]
    head_weight: Tensor | None
    head_bias: Tensor | None


def fit_weights(
    expected: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    head_names: Sequence[str],
    channels: int,
    *,
    source: str,
    architecture: str,
    prefix: str | None = None,
) -> FittedWeights:
    """Picks a backbone's tensors and a linear head out of a state dict.

    Names may all carry one prefix (``module.``, ``resnet50.`` in the IRN program's checkpoints). What belongs to
    parts that the backbone does not have, such as auxiliary heads, is passed over.

    Args:
        expected: the backbone's state dict in its library's names.
        tensors: what was read.
        head_names: names the head may have, first choice first.
        channels: C, the width that a head must have.
        source, architecture: what errors call them.
        prefix: of the names; None finds it.

    Raises:
        ModelError: there are several such networks, a value is no number, or a tensor is missing, left over
            within the backbone's parts, or of another shape.

    >>> expected = {"conv.weight": torch.zeros(4, 3, 1, 1)}
    >>> read = {"module.conv.weight": torch.ones(4, 3, 1, 1), "module.fc.weight": torch.ones(2, 4)}
    >>> fitted = fit_weights(expected, read, ["fc"], 4, source="x.pth", architecture="tiny")
    >>> fitted.backbone["conv.weight"].shape, fitted.head_weight.shape
    (torch.Size([4, 3, 1, 1]), torch.Size([2, 4]))
    """
    prefix = _common_prefix(expected, tensors, source) if prefix is None else prefix
    # Statistics counters are younger than many files, and nothing depends on them.
    missing = [k for k in expected if prefix + k not in tensors and not k.endswith("num_batches_tracked")]
    parts = {prefix + key.partition(".")[0] for key in expected}
    # Without the prefix first: the IRN program puts its head beside a network that may still have its old one.
    heads = [f"{lead}{name}" for lead in dict.fromkeys(("", prefix, *_around(prefix))) for name in head_names]
    surplus = [
        key
        for key in tensors
        if key.startswith(prefix)
        and prefix + key[len(prefix) :].partition(".")[0] in parts
        and key[len(prefix) :] not in expected
        and key.rpartition(".")[0] not in heads
    ]
    shapes = [
        f"'{key}' is {list(tensors[prefix + key].shape)} instead of {list(tensor.shape)}"
        for key, tensor in expected.items()
        if prefix + key in tensors and tensors[prefix + key].shape != tensor.shape
    ]
    wrong = []
    if missing:
        wrong.append(f"{len(missing)} of {len(expected)} tensors are missing, such as '{missing[0]}'")
    if surplus or (missing and tensors):
        named = surplus[0] if surplus else next(iter(tensors))
        wrong.append(f"it holds '{named}'")
    if shapes:
        wrong.append(f"{shapes[0]}" + (f" (and {len(shapes) - 1} more)" if len(shapes) > 1 else ""))
    if wrong:
        raise ModelError(
            f"{source} has the weights of another architecture than {architecture}: {', '.join(wrong)}; set "
            f"backbone.architecture to the one they were made for"
        )
    found = {key: tensors[prefix + key] for key in expected if prefix + key in tensors}
    fitted = FittedWeights(found, *_head(tensors, heads, channels))
    heads_found = {"head": fitted.head_weight, "head's bias": fitted.head_bias}
    check_finite(found | {name: tensor for name, tensor in heads_found.items() if tensor is not None}, source)
    return fitted


def check_finite(tensors: Mapping[str, Tensor], source: object) -> None:
    """Refuse NaN and infinity.

    Raises:
        ModelError: names the tensor, and ``source``, where they are from.

    >>> check_finite({"weight": torch.tensor([1.0, torch.inf])}, "net.pth")
    Traceback (most recent call last):
    advcam.errors.ModelError: net.pth has NaN or infinite weights, such as in 'weight': its training diverged, ...
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ModelError(
                f"{source} has NaN or infinite weights, such as in '{name}': its training diverged, take an earlier "
                "checkpoint or train again"
            )


def finite(values: Tensor, whose: str) -> Tensor:
    """What a network gave, if it is of numbers: weights may be finite, and still too large for what comes of them.

    Raises:
        ModelError: there is NaN or infinity in it.

    >>> finite(torch.tensor([0.0, torch.nan]), "the detector's maps")
    Traceback (most recent call last):
    advcam.errors.ModelError: the detector's maps came out as NaN or infinite: ...
    """
    if not bool(values.isfinite().all()):
        raise ModelError(
            f"{whose} came out as NaN or infinite: its weights are damaged or its training diverged, take an earlier "
            "checkpoint or train again"
        )
    return values


def _common_prefix(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], source: str) -> str:
    """What precedes the names of the one network in the file."""
    first = next(iter(expected))
    prefixes = [key[: -len(first)] for key in tensors if key == first or key.endswith(f".{first}")]
    whole = [prefix for prefix in prefixes if all(prefix + key in tensors for key in expected if not _counter(key))]
    if len(whole) > 1 and "" not in whole:
        raise ModelError(
            f"{source} holds {len(whole)} networks, {' and '.join(repr(prefix) for prefix in whole)}: say which one "
            f"with backbone.prefix, such as --backbone.prefix {whole[0]}"
        )
    return max(prefixes, key=lambda prefix: sum(prefix + key in tensors for key in expected), default="")


def _counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")


def _around(prefix: str) -> list[str]:
    """The prefixes of what a part stands in: of ``model.backbone.`` it is ``model.``."""
    parts = prefix.rstrip(".").split(".")
    return [".".join(parts[:count]) + "." for count in range(len(parts) - 1, 0, -1)]


def _head(tensors: Mapping[str, Tensor], names: Sequence[str], channels: int) -> tuple[Tensor | None, Tensor | None]:
    # A head with dropout before it is a sequence, whose linear layer has a number.
    numbered = [
        key.removesuffix(".weight")
        for key in tensors
        if key.endswith(".weight") and any(re.fullmatch(rf"{re.escape(name)}\.\d+\.weight", key) for name in names)
    ]
    for name in (*names, *numbered):
        weight, bias = tensors.get(f"{name}.weight"), tensors.get(f"{name}.bias")
        if (
            weight is not None
            and weight.ndim in (2, 4)
            and weight.shape[1] == channels
            and weight[0].numel() == channels
        ):
            return weight.flatten(1), bias
    return None, None
