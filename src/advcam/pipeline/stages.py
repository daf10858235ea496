"""The stages of a run, as one table: what each is called, which settings are its own, and the module that makes it.

How to add

* **a stage**: write ``pipeline/NAME.py`` with ``STEPS``: a function of the run that makes its artifacts with
  ``making(run, name, facts, outputs)`` and, where there is a file for every image, ``work_through`` (``parts.py``:
  progress, processes, resume and errors come from there); its artifacts, each with a function of the run that gives
  its ``facts``, all that its numbers depend on; and what it would refuse, to be refused before the first stage. Then
  one entry in ``STAGES`` and its line above it. Its settings, ``--help``, ``advcam status``, staleness and the
  place in ``advcam run`` follow from the entry.
* **a way of refining**: a ``Method`` (``refiner.py``) in a file ``refine_NAME.py``, its name in ``refine.METHODS`` and
  in ``RefineSettings.method``, and a section of settings in ``RunConfig`` that the stage ``refine`` names.
* **a kind of maps**: its name in ``AttributeSettings.method`` and a mapper for it in ``attribute.py``; its folder,
  masks and figures follow.
* **a verb that is no stage**: a file in ``verbs/``, its function and its entry in ``verbs/table.py``.

Modules of stages are imported when they are asked for: a table that is only read loads neither torch nor settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from advcam.pipeline.config import RunConfig
    from advcam.pipeline.keys import Artifact, Steps


@cache
def _steps() -> dict[str, Steps]:
    from advcam.pipeline import (
        attribute,
        classify,
        evaluate,
        localize,
        refine,
        refine_irn,
        report,
        saliency,
        segment,
    )  # fmt: skip

    return {
        "classify": classify.STEPS,
        "saliency": saliency.STEPS,
        "attribute": attribute.STEPS,
        "refine": refine.STEPS,
        "instances": refine_irn.STEPS,
        "segment": segment.STEPS,
        "localize": localize.STEPS,
        "evaluate": evaluate.STEPS,
        "report": report.STEPS,
    }


@dataclass(frozen=True)
class Stage:
    """A verb that makes artifacts of a run."""

    verb: str
    summary: str
    sections: tuple[str, ...]
    """The sections of settings that are its own: it accepts, shows and saves these."""
    shown: Callable[[RunConfig], tuple[str, ...]] | None = None
    """Of these, the ones that matter with the chosen method, for ``--help``; all unless told."""

    def load(self) -> Steps:
        return _steps()[self.verb]


def _classify_sections(config: RunConfig) -> tuple[str, ...]:
    if config.wsol.method != "none":
        return ("backbone", "wsol")
    return ("backbone", "classify", *(["sub_categories"] if config.classify.method == "sub_categories" else []))


def _refine_sections(config: RunConfig) -> tuple[str, ...]:
    own = {"crf": ("seed", "crf"), "none": ("seed",), "irn": ("seed", "irn", "irn_walk"), "psa": ("psa",)}
    own |= {name: ("seed", name) for name in ("regions", "affinity", "pamr")}
    own["region_means"] = own["regions"]
    own["chain"] = ("seed", *dict.fromkeys(own[link][-1] for link in config.refine.chain))
    return ("refine", *own[config.refine.method])


STAGES = (
    Stage(
        "classify",
        "train the classifier on the class labels",
        ("backbone", "classify", "sub_categories", "wsol", "box_acc"),
        _classify_sections,
    ),
    Stage(
        "saliency",
        "salient-object maps, from a folder or a detector, to bound the climb",
        ("saliency", "detector"),
    ),
    Stage(
        "attribute",
        "localization maps: climb every image towards its classes (AdvCAM)",
        ("attribute", "climb"),
        lambda config: ("attribute",) if config.attribute.method == "cam" else ("attribute", "climb"),
    ),
    Stage(
        "refine",
        "masks from the maps: seed, dense CRF, regions, IRN, PSA",
        ("refine", "seed", "crf", "irn", "irn_walk", "psa", "regions", "affinity", "pamr"),
        _refine_sections,
    ),
    Stage("instances", "one mask per object, after masks by IRN", ("instances",)),
    Stage(
        "segment",
        "train a segmentation network (DeepLab-v2, CCT) on the masks",
        ("segment", "cct"),
        lambda config: ("segment", "cct") if config.segment.method == "cct" else ("segment",),
    ),
    Stage("localize", "boxes from the maps: a table, COCO's JSON, overlays", ("localize",)),
    Stage(
        "evaluate",
        "mIoU, precision, recall and noise where there is ground truth",
        ("sweep", "box_acc"),
    ),
    Stage("report", "one HTML file to look at", ("report",)),
)
BY_VERB = {stage.verb: stage for stage in STAGES}


def in_run(config: RunConfig) -> tuple[Stage, ...]:
    """The stages that ``advcam run`` goes through: those that make something with these settings.

    A run of localization makes boxes in place of masks.
    """
    boxes = config.localize.in_run or config.wsol.method != "none"
    return tuple(
        stage for stage in STAGES if any(stage.load().artifacts(config)) and (stage.verb != "localize" or boxes)
    )


def artifacts(config: RunConfig) -> dict[str, tuple[Artifact, Stage]]:
    """All that these settings ask for, by name, with the stage that makes it."""
    found: dict[str, tuple[Artifact, Stage]] = {}
    for stage in STAGES:
        for artifact in stage.load().artifacts(config):
            shows_all = artifact.facts is None
            found[artifact.name] = (replace(artifact, inputs=tuple(found)) if shows_all else artifact), stage
    return found


def after(config: RunConfig, name: str) -> list[str]:
    """All that is made from an artifact, directly or not."""
    found: list[str] = []
    for other, (artifact, _) in artifacts(config).items():
        if name in artifact.inputs or any(one in artifact.inputs for one in found):
            found.append(other)
    return found
