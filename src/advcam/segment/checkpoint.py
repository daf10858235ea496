"""A trained segmentation network as a folder: ``model.safetensors`` and ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from torch import nn

from advcam.errors import ModelError, shortened
from advcam.io.files import contents_digest
from advcam.models.architectures import build_backbone
from advcam.models.match import fill
from advcam.models.stored import CONFIG_NAME, WEIGHTS_NAME, read_stored, save_stored
from advcam.models.weights import STATISTICS, read_weights
from advcam.segment.cct.network import CCTNetwork
from advcam.segment.deeplab import DeepLab
from advcam.segment.inference import Segmenter

# The folder of a run that holds its network.
FOLDER = "segmentation"


def save_network(folder: str | Path, segmenter: Segmenter, method: str, build: Mapping[str, Any]) -> None:
    """Write a network so that ``load`` restores it in one line. Each file appears whole or not at all.

    Args:
        segmenter: the network, its classes and its input.
        build: what the method builds the network from, see ``_BUILT_FROM``.

    Raises:
        RunError: the folder cannot be written.
    """
    config = {
        "method": method,
        "class_names": list(segmenter.class_names),
        "mean": list(segmenter.mean),
        "std": list(segmenter.std),
        "align_corners": segmenter.align_corners,
        "multiple": segmenter.multiple,
        "build": dict(build),
    }
    save_stored(folder, segmenter.network.state_dict(), config)


def load(folder: str | Path, class_names: Sequence[str] | None = None) -> Segmenter:
    """A trained network, in evaluation mode on the CPU.

    Args:
        folder: as given to ``save_network``, or a run folder with a network in it.
        class_names: of the data it is to be used on; others than its own are an error. None skips the check.

    Raises:
        ModelError: a file is missing, broken or of a newer version, or the classes differ; says which and the fix.

    >>> import tempfile
    >>> build = {"architecture": "timm/test_resnet", "output_stride": 16, "rates": [1, 2], "pyramid": []}
    >>> made = Segmenter(build_network("deeplab", build, 3), ("cat", "dog"), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    >>> folder = tempfile.mkdtemp()
    >>> save_network(folder, made, "deeplab", build)
    >>> load(folder).class_names
    ('cat', 'dog')
    """
    folder = find_folder(folder)
    config = read_config(folder)
    names = tuple(config["class_names"])
    if class_names is not None and tuple(class_names) != names:
        raise ModelError(
            f"the network in {folder} knows {len(names)} classes ({shortened(names, most=3)}), the data has "
            f"{len(class_names)} ({shortened(class_names, most=3)}): use the network that was trained on these classes"
        )
    network = build_network(config["method"], config["build"], len(names) + 1)
    file = read_weights(folder / WEIGHTS_NAME)
    fill(
        network,
        file.tensors,
        lambda misfit: (
            f"{file.path} does not hold the network that {folder / CONFIG_NAME} describes, {misfit}: restore the two "
            "files from one training"
        ),
        file.path,
        surplus=True,
    )
    return Segmenter(network.eval(), names, config["mean"], config["std"], config["align_corners"], config["multiple"])


def find_folder(folder: str | Path) -> Path:
    """The folder of the network: the one given, or ``segmentation`` in it where it is a run's."""
    for candidate in (Path(folder), Path(folder) / FOLDER):
        if (candidate / CONFIG_NAME).is_file() and (candidate / WEIGHTS_NAME).is_file():
            return candidate
    raise ModelError(
        f"{folder} holds no trained segmentation network ({CONFIG_NAME} and {WEIGHTS_NAME}): name the folder of a run "
        "whose stage segment is done, or its folder segmentation"
    )


def fingerprint(folder: str | Path) -> str:
    """What tells one saved network from another: a hash over its two files."""
    found = find_folder(folder)
    return contents_digest({name: found / name for name in (CONFIG_NAME, WEIGHTS_NAME)})


class _DeepLab(msgspec.Struct):
    architecture: str
    output_stride: int
    rates: list[Annotated[int, msgspec.Meta(ge=1)]]
    pyramid: list[Annotated[float, msgspec.Meta(gt=0)]]

    def network(self, num_labels: int) -> nn.Module:
        backbone = build_backbone(self.architecture, self.output_stride)
        return DeepLab(backbone.features, backbone.channels, num_labels, self.rates, self.pyramid)


class _CCT(msgspec.Struct):
    architecture: str
    output_stride: int
    width: Annotated[int, msgspec.Meta(ge=1, le=65536)]

    def network(self, num_labels: int) -> nn.Module:
        backbone, width = build_backbone(self.architecture, self.output_stride), self.width
        return CCTNetwork(
            backbone.features, backbone.channels, stride=backbone.output_stride, width=width, num_labels=num_labels
        )


_BUILT_FROM: dict[str, type[_DeepLab | _CCT]] = {"deeplab": _DeepLab, "cct": _CCT}
_FIELDS = {
    "method": str,
    "class_names": list[str],
    **STATISTICS,
    "align_corners": bool,
    "multiple": Annotated[int, msgspec.Meta(ge=1)],
    "build": dict[str, Any],
}


def build_network(method: str, build: Mapping[str, Any], num_labels: int) -> nn.Module:
    """The network of a method with random weights, from what ``save_network`` was given."""
    return msgspec.convert(build, _BUILT_FROM[method]).network(num_labels)


def read_config(folder: Path) -> dict[str, Any]:
    """The description of a saved network, checked."""
    config = read_stored(folder, "a segmentation network, such as the folder segmentation of a run", _FIELDS)
    if config["method"] not in _BUILT_FROM:
        raise ModelError(
            f"{folder / CONFIG_NAME} names the method {config['method']!r}, which this version does not know: update it"
        )
    try:
        msgspec.convert(config["build"], _BUILT_FROM[config["method"]])
    except msgspec.ValidationError as error:
        raise ModelError(
            f"{folder / CONFIG_NAME} does not say what its network is built from ({error}): restore the file, or train "
            "again"
        ) from None
    return config
