"""The verbs that work on a run folder: one per stage, and all of them in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from advcam.pipeline.arguments import parse
from advcam.pipeline.config import RunConfig

STAGES = ("classify", "attribute", "refine", "evaluate", "report")


def run(words: Sequence[str]) -> None:
    """All stages, in order."""
    config = parse("run", words, goes_on=False, description="Images and class labels in, masks and a report out.")
    run_stages(config, STAGES)


def classify(words: Sequence[str]) -> None:
    _one("classify", words, "Train the classifier of a run on the class labels.")


def attribute(words: Sequence[str]) -> None:
    _one("attribute", words, "Localization maps of every image, by climbing towards its classes (AdvCAM).")


def refine(words: Sequence[str]) -> None:
    _one("refine", words, "Masks from the localization maps.")


def evaluate(words: Sequence[str]) -> None:
    _one("evaluate", words, "Measure seeds and masks against ground truth.")


def report(words: Sequence[str]) -> None:
    _one("report", words, "Write report.html, one file that opens offline.")


def _one(stage: str, words: Sequence[str], description: str) -> None:
    run_stages(parse(stage, words, goes_on=True, description=description), (stage,))


def run_stages(config: RunConfig, stages: Sequence[str]) -> None:
    """Work through stages on one run folder."""
    from advcam.pipeline.progress import say
    from advcam.pipeline.run import Run

    current = Run.open(config)
    for name in stages:
        try:
            _stage(name)(current)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"what is done is kept in {current.folder.root}") from None
    if "report" in stages:
        say(f"report: {current.folder.report}")


def _stage(name: str) -> Callable:
    from importlib import import_module

    return getattr(import_module(f"advcam.pipeline.{name}"), name)
