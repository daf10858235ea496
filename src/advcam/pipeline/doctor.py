"""What is installed, what runs here, is the data set sound, does the classifier know its labels."""

from __future__ import annotations

import os
import sys
from collections import Counter

import torch

from advcam.classify.measure import measure_classifier
from advcam.data import check_dataset, open_dataset, splits
from advcam.data.record import ImageSet
from advcam.errors import DataError, SettingsError
from advcam.models.checkpoint import load_classifier
from advcam.pipeline.progress import counted
from advcam.pipeline.record import machine, versions
from advcam.pipeline.run import choose_device
from advcam.pipeline.settings import DoctorSettings


def examine(settings: DoctorSettings) -> None:
    """Print the state of the installation, of a data set and of a classifier.

    Raises:
        DataError: the data set has problems; all of them were printed.
    """
    _installation()
    if settings.data is not None:
        _data_set(settings)
    if settings.classifier is not None:
        _classifier(settings)


def _line(what: str, value: object) -> None:
    sys.stdout.write(f"{what:<12} {value}\n")


def _installation() -> None:
    for name, version in versions().items():
        _line(name, version)
    _line("system", machine()["system"])
    _line("cpu", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()}")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            _line(f"gpu {index}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    else:
        _line("gpu", "none that torch can use; everything runs on the CPU")


def _data_set(settings: DoctorSettings) -> None:
    """Print what is there and what is wrong with it."""
    assert settings.data is not None
    sources = {"labels": settings.labels, "classes": settings.classes}
    with counted("doctor: images opened") as advance_to:
        problems = check_dataset(settings.data, settings.split, on_progress=advance_to, **sources)
    try:
        names = splits(settings.data, labels=settings.labels)
        for split in (settings.split,) if settings.split is not None else names or (None,):
            _summary(split, open_dataset(settings.data, split, skip_bad=True, **sources))
    except DataError:
        # Then it is among the problems.
        assert problems
    for problem in problems:
        _line("problem", problem)
    if problems:
        raise DataError(
            f"{settings.data}: {len(problems)} problem{'s' * (len(problems) > 1)} listed above: mend them, or go on "
            "without these images with --skip-bad"
        )
    _line("problems", "none")


def _summary(split: str | None, found: ImageSet) -> None:
    masks = sum(record.mask is not None for record in found.records)
    _line(f"data {split or ''}", f"{found.format}: {len(found)} images, {masks} of them with masks")
    counts = Counter(index for record in found.records for index in record.classes)
    _line("", ", ".join(f"{name} {counts[index]}" for index, name in enumerate(found.class_names)))


def _classifier(settings: DoctorSettings) -> None:
    """Measure a classifier on the data set and judge it."""
    if settings.data is None or settings.classifier is None:
        raise SettingsError("a classifier is measured on a data set: give --data as well")
    images = open_dataset(
        settings.data, settings.split, labels=settings.labels, classes=settings.classes, skip_bad=True
    )
    classifier, _ = load_classifier(settings.classifier, images.class_names)
    measured = measure_classifier(classifier, images, device=choose_device(settings.device))
    for name, value in measured.per_class_ap.items():
        _line("AP", f"{value:.3f} {name}")
    _line("classifier", measured.judgement.sentence)
