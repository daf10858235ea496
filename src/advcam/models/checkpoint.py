"""A trained classifier as a folder: ``model.safetensors`` and ``config.json``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advcam.errors import ModelError, shortened
from advcam.models.classifier import Classifier, build_classifier
from advcam.models.settings import BackboneSettings
from advcam.models.stored import WEIGHTS_NAME, read_stored, save_stored
from advcam.models.weights import STATISTICS, read_weights


def save_classifier(
    folder: str | Path, classifier: Classifier, settings: BackboneSettings, class_names: Sequence[str]
) -> None:
    """Writes the classifier so that ``load_classifier`` restores it in one line.

    Tensors go by torchvision's or timm's own names. Each file appears whole or not at all. ``settings`` are kept as a
    record of the weights that it started from; ``class_names`` are in the order of the logits.
    """
    folder = Path(folder)
    if len(class_names) != classifier.num_classes:
        raise ModelError(
            f"{folder}: {len(class_names)} class names were given for a classifier of {classifier.num_classes} classes"
        )
    config = {
        "architecture": classifier.architecture,
        "output_stride": classifier.output_stride,
        "class_names": list(class_names),
        "mean": list(classifier.mean),
        "std": list(classifier.std),
        "input_size": list(classifier.input_size),
        "initial_weights": settings.weights,
        "loss": classifier.loss,
    }
    save_stored(folder, classifier.library_state_dict(), config)


def load_classifier(folder: str | Path, class_names: Sequence[str] | None = None) -> tuple[Classifier, tuple[str, ...]]:
    """Restores a saved classifier, in evaluation mode on the CPU, and the names of its classes.

    Args:
        folder: as given to ``save_classifier``.
        class_names: of the data it is to be used on; others than its own are an error. None skips the check.

    Raises:
        ModelError: a file is missing, broken or of a newer version, or the classes differ; says which and the fix.
    """
    folder = Path(folder)
    config = read_stored(folder, "a classifier", _FIELDS)
    names = tuple(config["class_names"])
    if class_names is not None and tuple(class_names) != names:
        raise ModelError(
            f"the classifier in {folder} knows {len(names)} classes ({shortened(names, most=3)}), the data has "
            f"{len(class_names)} ({shortened(class_names, most=3)}): use the classifier that was trained on this data"
        )
    file = read_weights(folder / WEIGHTS_NAME)
    settings = BackboneSettings(
        config["architecture"], weights=None, output_stride=config["output_stride"], in_channels=len(config["mean"])
    )
    classifier = build_classifier(settings, len(names))
    classifier.load_library_state_dict(file.tensors, str(file.path), require_head=True)
    classifier.mean, classifier.std = config["mean"], config["std"]
    classifier.input_size = config["input_size"]
    classifier.origin = str(folder)
    classifier.loss = config.get("loss")
    return classifier.eval(), names


_FIELDS: dict[str, Any] = {
    "architecture": str,
    "output_stride": int,
    "class_names": list[str],
    **STATISTICS,
    "input_size": tuple[int, int],
}
