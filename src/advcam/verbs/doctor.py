"""What is installed, what runs here, is the data set sound, does the classifier know its labels."""

from __future__ import annotations

import os

import torch

from advcam.classify.measure import measure_classifier
from advcam.data import open_dataset
from advcam.data.check import SplitSummary, examine_dataset
from advcam.errors import DataError, SettingsError
from advcam.io.progress import counted, show
from advcam.models.checkpoint import load_classifier
from advcam.pipeline.record import machine, versions
from advcam.pipeline.run import choose_device
from advcam.verbs.settings import DoctorSettings

# Of a long list so many lines are printed, the rest is counted.
MOST_LINES = 200


def examine(settings: DoctorSettings) -> None:
    """Print the state of the installation, of a data set and of a classifier.

    Raises:
        DataError: the data set has problems; all of them were printed.
    """
    _installation()
    if settings.data is not None:
        data_set(settings)
    if settings.classifier is not None:
        _classifier(settings)


def _line(what: str, value: object) -> None:
    # The option as it is typed.
    show(f"{what:<12} {value}".replace(" skip_bad", " --skip-bad"))


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


def data_set(settings: DoctorSettings) -> None:
    """Print what is there, what of it is not used or looks odd, and what is wrong with it."""
    assert settings.data is not None
    with counted("doctor: images opened") as advance_to:
        found = examine_dataset(
            settings.data,
            settings.split,
            labels=settings.labels,
            classes=settings.classes,
            on_progress=advance_to,
        )
    for summary in found.splits:
        _summary(summary)
    for notice in found.notices:
        _line("notice", notice)
    for problem in found.problems[:MOST_LINES]:
        _line("problem", problem)
    if found.problems:
        more = len(found.problems) - MOST_LINES
        if more > 0:
            _line("problem", f"{more} more")
        raise DataError(
            f"{len(found.problems)} problem{'s' * (len(found.problems) > 1)} listed above: fix them, or go on without "
            "these images with --skip-bad",
            settings.data,
        )
    _line("problems", "none")


def _summary(found: SplitSummary) -> None:
    _line(f"data {found.split or ''}".rstrip(), f"{found.format}: {found.images} images")
    names = [f"{name} {found.counts.get(index, 0)}" for index, name in enumerate(found.class_names[:MOST_LINES])]
    more = len(found.class_names) - MOST_LINES
    _line("classes", ", ".join(names) + (f" and {more} more" if more > 0 else ""))
    if found.without_class:
        _line("", f"{found.without_class} images without any class")
    if found.masks:
        values = ", ".join(f"{value} in {count}" for value, count in sorted(found.mask_values.items())[:MOST_LINES])
        _line("masks", f"{found.masks} of {found.images} images" + (f"; values: {values}" if values else ""))
    else:
        _line("masks", "none")


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
