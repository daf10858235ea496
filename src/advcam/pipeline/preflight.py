"""What a long run would stumble over at its end, found before it begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from advcam.errors import SettingsError
from advcam.models.weights import is_weight_file
from advcam.pipeline.config import RunConfig
from advcam.saliency.opencv import CLASSES, OpenCVDetector

# No library brings weights of these.
WITHOUT_LIBRARY_WEIGHTS = ("caffe_resnet101", "res2net152_v1b", "resnet38")


def check_ahead(config: RunConfig, stages: Sequence[str]) -> None:
    """Refuse what a later stage would refuse after hours of the earlier ones.

    Raises:
        SettingsError: weights that are nowhere, or settings of one stage that those of another leave without input.
    """
    for name, architecture, weights in networks(config, stages):
        if weights == "default" and architecture in WITHOUT_LIBRARY_WEIGHTS:
            raise SettingsError(
                f"{name} is default, but no library has weights of {architecture}: name a file with --{name}, or take "
                f"another architecture"
            )
        if weights is not None and is_weight_file(weights) and not Path(weights).exists():
            raise SettingsError(f"{name} is {weights}, but there is no such file: correct it, or put the file there")
    saliency = config.saliency
    if "saliency" in stages and saliency.source == "folder" and not Path(saliency.folder or "").is_dir():
        raise SettingsError(f"saliency.folder is {saliency.folder}, but there is no such folder: correct it")
    if "saliency" in stages and saliency.source in CLASSES:
        # Says which package is missing.
        OpenCVDetector(saliency.source)
    if config.wsol.method != "none" and "segment" in stages and config.segment.method != "none":
        raise SettingsError(
            "a run with wsol.method makes boxes, and no masks for segment.method to learn from: leave one of them out"
        )
    if config.wsol.method != "none" and config.processes not in (None, 1):
        raise SettingsError("a run with wsol.method is mapped by one process: leave out --processes")
    if config.instances.method == "irn" and config.refine.method != "irn" and "refine" in stages:
        raise SettingsError("instances.method irn needs IRN's edges: take refine.method irn as well, or leave it out")


def networks(config: RunConfig, stages: Sequence[str]) -> Iterator[tuple[str, str | None, str | None]]:
    """Setting, architecture (None for a file of a whole network) and weights of every network that is started from."""
    if "classify" in stages and config.classifier is None:
        yield "backbone.weights", config.backbone.architecture, config.backbone.weights
    if "saliency" in stages:
        yield "saliency.weights", None, config.saliency.weights
    if "refine" in stages and config.refine.method == "irn":
        yield "irn.weights", None, config.irn.weights
    if "refine" in stages and config.refine.method == "psa":
        if config.psa.trained is not None:
            yield "psa.trained", None, config.psa.trained
        elif config.psa.architecture is not None:
            yield "psa.weights", config.psa.architecture, config.psa.weights
    if "segment" in stages and config.segment.method == "deeplab" and config.segment.weights != "classifier":
        yield "segment.weights", config.segment.architecture, config.segment.weights
    if "segment" in stages and config.segment.method == "cct":
        yield "cct.weights", config.cct.architecture, config.cct.weights
