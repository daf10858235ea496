"""The stages of a run, as one table: what each makes, from what, with which settings, and how.

How to add

* **a stage**: write ``pipeline/NAME.py`` with a function of the run that makes its artifacts with
  ``run.making(name, facts, outputs)`` and, where there is a file for every image, ``work_through`` (``parts.py``:
  progress, processes, resume and errors come from there); and a function of the run that gives the ``facts`` of each
  artifact, all that its numbers depend on. Then one entry in ``STAGES`` and a line in ``cli.VERBS``. Its settings,
  ``--help``, ``advcam status``, staleness and the place in ``advcam run`` follow from the entry.
* **a way of refining**: a ``Method`` (``refiner.py``) in a file ``refine_NAME.py``, its name in ``refine.METHODS`` and
  in ``RefineSettings.method``, and a section of settings in ``RunConfig`` that the stage ``refine`` names.
* **a kind of maps**: its name in ``AttributeSettings.method`` and a mapper for it in ``attribute.py``; its folder,
  masks and figures follow.
* **a verb that is no stage** (it only reads a run folder, or needs none): a function in ``verbs.py`` and its line in
  ``cli.VERBS``.

Modules of stages are imported when they are asked for: a table that is only read loads no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from advcam.pipeline.config import RunConfig

if TYPE_CHECKING:
    from advcam.pipeline.run import Run

Facts = dict[str, Any]


@dataclass(frozen=True)
class Artifact:
    """A result in the run folder that has a key."""

    name: str
    """Its place: "classifier", "advcam/maps", ..."""
    inputs: tuple[str, ...]
    """The artifacts that it is made from, where they are there."""
    facts: Callable[[Run], Facts] | None
    """All that its numbers depend on beside the images; None where it is made anew each time."""
    outputs: tuple[str, ...]
    """Files and folders of the run folder that go with it."""
    per_image: Callable[[Run], dict[str, str]] | None = None
    """The key that the file of each wanted image must have, where there is a file for each."""


@dataclass(frozen=True)
class Stage:
    """A verb that makes artifacts of a run."""

    verb: str
    summary: str
    make: Callable[[Run], None]
    artifacts: Callable[[RunConfig], Iterator[Artifact]]
    """What it makes with these settings; nothing where they do not ask for it."""
    sections: tuple[str, ...]
    """The sections of settings that are its own: it accepts, shows and saves these."""
    shown: Callable[[RunConfig], tuple[str, ...]] | None = None
    """Of these, the ones that matter with the chosen method, for ``--help``; all unless told."""
    check: Callable[[RunConfig], None] = lambda config: None
    """Refuses, before the first stage begins, settings that this stage would refuse after hours of others."""
    check_data: Callable[[Run], None] = lambda run: None
    """Refuses a data set that this stage would refuse, likewise."""


def kinds(config: RunConfig) -> tuple[str, ...]:
    """The kinds of maps of a run, its own first."""
    return tuple(dict.fromkeys((config.attribute.kind, config.attribute.map)))


# -- classify --------------------------------------------------------------------------------------------------------


def _classify(run: Run) -> None:
    from advcam.pipeline.classify import classify

    classify(run)


def _classifier(config: RunConfig) -> Iterator[Artifact]:
    def facts(run: Run) -> Facts:
        from advcam.pipeline import classify

        return classify.facts(run)

    yield Artifact("classifier", (), facts, ("classifier",))


def _check_classify(config: RunConfig) -> None:
    from advcam.pipeline.checks import check_weights

    if config.classifier is None:
        check_weights("backbone.weights", config.backbone.architecture, config.backbone.weights)


# -- saliency --------------------------------------------------------------------------------------------------------


def _saliency(run: Run) -> None:
    from advcam.pipeline.saliency import saliency

    saliency(run)


def _saliency_maps(config: RunConfig) -> Iterator[Artifact]:
    from advcam.saliency.settings import NETWORKS

    def detector_facts(run: Run) -> Facts:
        from advcam.pipeline import saliency

        return saliency.detector_facts(run)

    def facts(run: Run) -> Facts:
        from advcam.pipeline import saliency

        return saliency.facts(run)

    def keys(run: Run) -> dict[str, str]:
        from advcam.pipeline import saliency

        return saliency.keys(run)

    source = config.saliency.source
    if source != "none":
        if source in NETWORKS and config.saliency.weights is None:
            yield Artifact("detector", (), detector_facts, ("detector",))
        yield Artifact("saliency", ("detector",), facts, ("saliency",), keys)


def _check_saliency(config: RunConfig) -> None:
    from advcam.pipeline.checks import check_saliency

    check_saliency(config)


# -- attribute -------------------------------------------------------------------------------------------------------


def _attribute(run: Run) -> None:
    from advcam.pipeline.attribute import attribute

    attribute(run)


def _maps(config: RunConfig) -> Iterator[Artifact]:
    for kind in kinds(config):

        def facts(run: Run, kind: str = kind) -> Facts:
            from advcam.pipeline import attribute

            return attribute.facts(run, kind)

        def keys(run: Run, kind: str = kind) -> dict[str, str]:
            from advcam.pipeline import attribute

            return attribute.keys(run, kind, run.wanted)

        held = ("saliency",) if kind != config.attribute.map and config.saliency.source != "none" else ()
        yield Artifact(f"{kind}/maps", ("classifier", *held), facts, (f"{kind}/maps",), keys)


# -- refine ----------------------------------------------------------------------------------------------------------


def _refine(run: Run) -> None:
    from advcam.pipeline.refine import refine

    refine(run)


def _masks(config: RunConfig) -> Iterator[Artifact]:
    if config.wsol.method != "none":
        return
    refine = config.refine
    for kind in kinds(config) if refine.baseline else kinds(config)[:1]:
        if refine.method == "irn":

            def irn_facts(run: Run, kind: str = kind) -> Facts:
                from advcam.pipeline import refine_irn

                return refine_irn.network_facts(run, kind)

            yield Artifact(f"{kind}/irn", (f"{kind}/maps", "classifier"), irn_facts, (f"{kind}/irn",))
        if refine.method == "psa" and config.psa.trained is None:

            def psa_facts(run: Run, kind: str = kind) -> Facts:
                from advcam.pipeline import refine_psa

                return refine_psa.current_facts(run, kind)

            yield Artifact(f"{kind}/psa", (f"{kind}/maps", "classifier"), psa_facts, (f"{kind}/psa/network",))
        steps = refine.steps and refine.method not in ("crf", "none")
        for step in ("crf", "masks") if steps else ("masks",):

            def facts(run: Run, kind: str = kind, step: str = step) -> Facts:
                from advcam.pipeline import refine

                return refine.current_facts(run, kind, step)

            def keys(run: Run, kind: str = kind, step: str = step) -> dict[str, str]:
                from advcam.pipeline import refine

                return refine.current_keys(run, kind, step)

            name = f"{kind}/{step}"
            own = (f"{kind}/{refine.method}",) if step == "masks" else ()
            held = ("saliency",) if refine.ambiguity and step == "masks" else ()
            yield Artifact(name, (f"{kind}/maps", *own, *held), facts, (name,), keys)


def _refine_sections(config: RunConfig) -> tuple[str, ...]:
    own = {"crf": ("seed", "crf"), "none": ("seed",), "irn": ("seed", "irn", "irn_walk"), "psa": ("psa",)}
    for name in ("regions", "affinity", "pamr"):
        own[name] = ("seed", name)
    own["region_means"] = own["regions"]
    own["chain"] = ("seed", *dict.fromkeys(s for link in config.refine.chain for s in own.get(link, (link,))[-1:]))
    return ("refine", *own.get(config.refine.method, (config.refine.method,)))


def _check_refine(config: RunConfig) -> None:
    from advcam.pipeline.checks import check_refine

    check_refine(config)


def _check_class_count(run: Run) -> None:
    from advcam.pipeline.checks import check_class_count

    check_class_count(run)


# -- instances -------------------------------------------------------------------------------------------------------


def _instances(run: Run) -> None:
    from advcam.pipeline.refine_irn import instances

    instances(run)


def _objects(config: RunConfig) -> Iterator[Artifact]:
    def facts(run: Run) -> Facts:
        from advcam.pipeline import refine_irn

        return refine_irn.instance_facts(run)

    def keys(run: Run) -> dict[str, str]:
        from advcam.pipeline import refine_irn

        return refine_irn.instance_keys(run)

    if config.instances.method != "none":
        kind = config.attribute.kind
        yield Artifact("instances", (f"{kind}/maps", f"{kind}/irn"), facts, ("instances",), keys)


def _check_instances(config: RunConfig) -> None:
    from advcam.pipeline.checks import check_instances

    check_instances(config)


# -- segment ---------------------------------------------------------------------------------------------------------


def _segment(run: Run) -> None:
    from advcam.pipeline.segment import segment

    segment(run)


def _network(config: RunConfig) -> Iterator[Artifact]:
    def facts(run: Run) -> Facts:
        from advcam.pipeline import segment

        return segment.facts(run)

    if config.segment.method != "none":
        masks = (f"{config.attribute.kind}/masks",) if config.segment.masks == "run" else ()
        weights = ("classifier",) if config.segment.weights == "classifier" else ()
        yield Artifact("segmentation", (*masks, *weights), facts, ("segmentation",))


def _segment_sections(config: RunConfig) -> tuple[str, ...]:
    return ("segment", "cct") if config.segment.method == "cct" else ("segment",)


def _check_segment(config: RunConfig) -> None:
    from advcam.pipeline.checks import check_segment

    check_segment(config)


def _check_segment_data(run: Run) -> None:
    from advcam.pipeline.checks import check_segment_data

    check_segment_data(run)


# -- localize, evaluate, report --------------------------------------------------------------------------------------


def _localize(run: Run) -> None:
    from advcam.pipeline.localize import localize

    localize(run)


def _boxes(config: RunConfig) -> Iterator[Artifact]:
    def facts(run: Run) -> Facts:
        from advcam.pipeline import localize

        return localize.current_facts(run)

    yield Artifact("boxes", (f"{config.attribute.kind}/maps",), facts, ("boxes.csv", "boxes.json"))


def _evaluate(run: Run) -> None:
    from advcam.pipeline.evaluate import evaluate

    evaluate(run)


def _metrics(config: RunConfig) -> Iterator[Artifact]:
    yield Artifact("metrics", (*_made(config),), None, ("metrics.json",))


def _report(run: Run) -> None:
    from advcam.io.progress import say
    from advcam.pipeline.report import report

    report(run)
    say(f"report: {run.folder.report}")


def _page(config: RunConfig) -> Iterator[Artifact]:
    yield Artifact("report", (*_made(config), "metrics"), None, ("report.html",))


def _made(config: RunConfig) -> Iterator[str]:
    """The artifacts that are measured and shown."""
    for stage in STAGES:
        if stage.verb not in ("evaluate", "report"):
            yield from (artifact.name for artifact in stage.artifacts(config))


STAGES = (
    Stage(
        "classify",
        "train the classifier on the class labels",
        _classify,
        _classifier,
        ("backbone", "classify", "wsol", "box_acc"),
        lambda config: ("backbone", "wsol" if config.wsol.method != "none" else "classify"),
        _check_classify,
    ),
    Stage(
        "saliency",
        "salient-object maps, from a folder or a detector, to bound the climb",
        _saliency,
        _saliency_maps,
        ("saliency", "detector"),
        check=_check_saliency,
    ),
    Stage(
        "attribute",
        "localization maps: climb every image towards its classes (AdvCAM)",
        _attribute,
        _maps,
        ("attribute", "climb"),
        lambda config: ("attribute",) if config.attribute.method == "cam" else ("attribute", "climb"),
    ),
    Stage(
        "refine",
        "masks from the maps: seed, dense CRF, regions, IRN, PSA",
        _refine,
        _masks,
        ("refine", "seed", "crf", "irn", "irn_walk", "psa", "regions", "affinity", "pamr"),
        _refine_sections,
        _check_refine,
        _check_class_count,
    ),
    Stage(
        "instances",
        "one mask per object, after masks by IRN",
        _instances,
        _objects,
        ("instances",),
        check=_check_instances,
    ),
    Stage(
        "segment",
        "train a segmentation network (DeepLab-v2, CCT) on the masks",
        _segment,
        _network,
        ("segment", "cct"),
        _segment_sections,
        _check_segment,
        _check_segment_data,
    ),
    Stage("localize", "boxes from the maps: a table, COCO's JSON, overlays", _localize, _boxes, ("localize",)),
    Stage(
        "evaluate",
        "mIoU, precision, recall and noise where there is ground truth",
        _evaluate,
        _metrics,
        ("sweep", "box_acc"),
    ),
    Stage("report", "one HTML file to look at", _report, _page, ("report",)),
)
BY_VERB = {stage.verb: stage for stage in STAGES}


def in_run(config: RunConfig) -> tuple[Stage, ...]:
    """The stages that ``advcam run`` goes through: those that make something with these settings.

    A run of localization makes boxes in place of masks.
    """
    boxes = config.localize.in_run or config.wsol.method != "none"
    return tuple(stage for stage in STAGES if any(stage.artifacts(config)) and (stage.verb != "localize" or boxes))


def artifacts(config: RunConfig) -> dict[str, tuple[Artifact, Stage]]:
    """All that these settings ask for, by name, with the stage that makes it."""
    return {artifact.name: (artifact, stage) for stage in STAGES for artifact in stage.artifacts(config)}


def after(config: RunConfig, name: str) -> list[str]:
    """All that is made from an artifact, directly or not."""
    found: list[str] = []
    for other, (artifact, _) in artifacts(config).items():
        if name in artifact.inputs or any(one in artifact.inputs for one in found):
            found.append(other)
    return found
