"""The verbs that work on a run folder: one per stage, and all of them in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from advcam.errors import SettingsError, UserError
from advcam.pipeline.arguments import parse, parse_settings
from advcam.pipeline.config import RunConfig
from advcam.pipeline.settings import BenchSettings, DoctorSettings, ExportVerb, PredictVerb, ScenesVerb

STAGES = ("classify", "saliency", "attribute", "refine", "instances", "segment", "localize", "evaluate", "report")


def run(words: Sequence[str]) -> None:
    """All stages, in order."""
    config = parse("run", words, goes_on=False, description="Images and class labels in, masks and a report out.")
    run_stages(config, wanted_stages(config))


def wanted_stages(config: RunConfig) -> tuple[str, ...]:
    """The stages that ``advcam run`` goes through. A run of localization makes boxes in place of masks."""
    boxes = config.localize.in_run or config.wsol.method != "none"
    left_out = {"refine", "instances"} if config.wsol.method != "none" else set() if boxes else {"localize"}
    return tuple(name for name in STAGES if name not in left_out)


def classify(words: Sequence[str]) -> None:
    _one("classify", words, "Train the classifier of a run on the class labels.")


def saliency(words: Sequence[str]) -> None:
    """Saliency maps, from ``saliency.source``."""
    config = parse(
        "saliency", words, goes_on=True, description="A saliency map of every image, from a folder or a detector."
    )
    if config.saliency.source == "none":
        raise SettingsError("saliency.source is none: name where the maps come from with --saliency.source")
    run_stages(config, ("saliency",))


def attribute(words: Sequence[str]) -> None:
    _one("attribute", words, "Localization maps of every image, by climbing towards its classes (AdvCAM).")


def refine(words: Sequence[str]) -> None:
    _one("refine", words, "Masks from the localization maps.")


def instances(words: Sequence[str]) -> None:
    """One mask per object, by IRN."""
    config = parse("instances", words, goes_on=True, description="One mask per object, after masks by IRN.")
    run_stages(replace(config, instances=replace(config.instances, method="irn")), ("instances",))


def segment(words: Sequence[str]) -> None:
    """Train a segmentation network; DeepLab-v2 where the run names none."""
    description = "Train a segmentation network on the masks, and measure it."
    config = parse("segment", words, goes_on=True, description=description)
    if config.segment.method == "none":
        config = replace(config, segment=replace(config.segment, method="deeplab"))
    run_stages(config, ("segment",))


def localize(words: Sequence[str]) -> None:
    _one("localize", words, "Boxes from the localization maps: boxes.csv, COCO's JSON, overlays.")


def evaluate(words: Sequence[str]) -> None:
    _one("evaluate", words, "Measure seeds and masks against ground truth.")


def report(words: Sequence[str]) -> None:
    _one("report", words, "Write report.html, one file that opens offline.")


def demo(words: Sequence[str]) -> None:
    """The whole chain on generated scenes."""
    config = parse("demo", ["demo", *words], goes_on=False, description="The whole chain on generated scenes.")
    from advcam.pipeline.demo import chain

    chain(config)


def scenes(words: Sequence[str]) -> None:
    """Write a generated data set."""
    asked = parse_settings(ScenesVerb, "scenes", words, "Write a generated data set in the layout of PASCAL VOC.")
    from advcam.pipeline.demo import draw

    draw(asked)


def predict(words: Sequence[str]) -> None:
    """Label new images with a trained network."""
    description = "Label the images of a folder with a trained segmentation network."
    asked = parse_settings(PredictVerb, "predict", words, description, positional="images")
    from advcam.pipeline.predict import predict as label_images

    label_images(asked)


def export(words: Sequence[str]) -> None:
    """Hand a trained network on."""
    asked = parse_settings(ExportVerb, "export", words, "Write a trained segmentation network in a form for elsewhere.")
    from advcam.pipeline.export import export as hand_on

    hand_on(asked)


def bench(words: Sequence[str]) -> None:
    """The performance claims on this machine."""
    asked = parse_settings(BenchSettings, "bench", words, "The performance claims on this machine, in minutes.")
    from advcam.pipeline.bench import bench as measure

    measure(asked)


def doctor(words: Sequence[str]) -> None:
    """Check the installation, a data set and a classifier."""
    asked = parse_settings(DoctorSettings, "doctor", words, "Check the installation, a data set and a classifier.")
    from advcam.pipeline.doctor import examine

    examine(asked)


def _one(stage: str, words: Sequence[str], description: str) -> None:
    run_stages(parse(stage, words, goes_on=True, description=description), (stage,))


def run_stages(config: RunConfig, stages: Sequence[str]) -> None:
    """Work through stages on one run folder."""
    from advcam.pipeline.group import of_torchrun, torchrun_rank
    from advcam.pipeline.progress import say
    from advcam.pipeline.run import Run

    if of_torchrun() and tuple(stages) != ("attribute",):
        raise SettingsError("torchrun shares `advcam attribute` among processes: run the other verbs without it")
    if len(stages) > 1:
        from advcam.pipeline.preflight import check_ahead

        check_ahead(config, stages)
    current = Run.open(config, leads=torchrun_rank() == 0)
    fresh = not current.folder.root.exists()
    try:
        for name in stages:
            _stage(name)(current)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"what is done is kept in {current.folder.root}") from None
    except UserError:
        if fresh:
            current.folder.remove_if_empty()
        raise
    if "report" in stages:
        say(f"report: {current.folder.report}")


def _stage(name: str) -> Callable:
    from importlib import import_module

    return getattr(import_module(f"advcam.pipeline.{name}"), name)
