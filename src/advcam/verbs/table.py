"""The verbs: what each does with its words of the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path

from advcam.errors import SettingsError
from advcam.pipeline import recipes as library
from advcam.pipeline.arguments import Help, parse, parse_settings
from advcam.pipeline.config import RunConfig
from advcam.pipeline.stages import BY_VERB, in_run
from advcam.verbs.settings import (
    AppVerb,
    BenchSettings,
    DoctorSettings,
    ExportVerb,
    ImportVerb,
    PredictVerb,
    ReviewVerb,
    ScenesVerb,
)

Verb = Callable[[Sequence[str]], None]


def run(words: Sequence[str]) -> None:
    """All stages, in order."""
    config = parse("run", words, "Images and class labels in, masks and a report out.")
    work(config, [stage.verb for stage in in_run(config)])


def work(config: RunConfig, verbs: Sequence[str]) -> None:
    """Work through stages."""
    # Loads torch, which help should not wait for.
    from advcam.pipeline.graph import run_stages

    run_stages(config, verbs)


def stage(verb: str) -> Verb:
    """The verb of one stage."""

    def one(words: Sequence[str]) -> None:
        summary = BY_VERB[verb].summary
        config = parse(verb, words, summary[0].upper() + summary[1:] + ".")
        work(asked_for(verb, config), (verb,))

    return one


def asked_for(verb: str, config: RunConfig) -> RunConfig:
    """Settings with a method for the stage that is asked for by name, where they have none."""
    if verb == "saliency" and config.saliency.source == "none":
        raise SettingsError("saliency.source is none: name where the maps come from with --saliency.source")
    if verb == "instances" and config.instances.method == "none":
        return replace(config, instances=replace(config.instances, method="irn"))
    if verb == "segment" and config.segment.method == "none":
        return replace(config, segment=replace(config.segment, method="deeplab"))
    return config


def status(words: Sequence[str]) -> None:
    """The graph of a run."""
    config = parse("status", words, "What is there, what is stale, and why.")
    # Loads torch, which help should not wait for.
    from advcam.pipeline import graph

    graph.status(config)


def recipes(words: Sequence[str]) -> None:
    """The recipes, or one of them."""
    if any(word in ("-h", "--help", "--help-all") for word in words):
        raise Help("usage: advcam recipes [NAME]\n\nThe recipes with cost and expected figures, or one in full.")
    known = library.recipes()
    names = [word for word in words if not word.startswith("-")]
    if names:
        path = library.find(names[0])
        sys.stdout.write(path.read_text(encoding="utf-8"))
        return
    width = max(map(len, known))
    for name, path in known.items():
        said = library.comments(path)
        sys.stdout.write(f"{name:<{width}}  {said.get('what', '')}\n")
        for part in ("cost", "expected"):
            if part in said:
                sys.stdout.write(f"{'':<{width}}    {part}: {said[part]}\n")


def demo(words: Sequence[str]) -> None:
    """The whole chain on generated scenes."""
    config = parse("demo", ["demo", *words], "The whole chain on generated scenes.")
    from advcam.data.scenes import write_scenes
    from advcam.io.progress import say
    from advcam.pipeline.run import Run, saved_form

    if config.data is None:
        config = replace(config, data=str(Path(config.out) / "scenes"))
        # The record first: a folder that holds something else is refused before anything is written.
        begun = Run.open(config)
        if not begun.record.there:
            begun.record.describe(saved_form(config))
            begun.record.write()
        write_scenes(str(config.data))
        say(f"demo: {config.data} holds the images; the classifier sees their class labels only")
    work(config, [one.verb for one in in_run(config)])


def scenes(words: Sequence[str]) -> None:
    """Write a generated data set."""
    asked = parse_settings(ScenesVerb, "scenes", words, "Write a generated data set in the layout of PASCAL VOC.")
    from advcam.data.scenes import SceneSettings, write_scenes
    from advcam.io.progress import say

    wanted = {field.name for field in fields(SceneSettings)}
    settings = SceneSettings(**{name: value for name, value in asdict(asked).items() if name in wanted})
    folder = write_scenes(asked.out, settings)
    say(f"scenes: {settings.train} train, {settings.val} val and {settings.test} test images in {folder}")


def predict(words: Sequence[str]) -> None:
    """Label new images with a trained network."""
    description = "Label the images of a folder with a trained segmentation network."
    asked = parse_settings(PredictVerb, "predict", words, description, positional="images")
    from advcam.verbs.predict import predict as label_images

    label_images(asked)


def export(words: Sequence[str]) -> None:
    """Hand a trained network on."""
    description = "Write masks for an annotation tool or a training, or a trained network in a form for elsewhere."
    asked = parse_settings(ExportVerb, "export", words, description)
    if asked.format in ("onnx", "safetensors"):
        from advcam.verbs.predict import export as hand_on
    else:
        from advcam.verbs.annotation import export as hand_on

    hand_on(asked)


def review(words: Sequence[str]) -> None:
    """The masks to look at first."""
    asked = parse_settings(ReviewVerb, "review", words, "Which masks to look at first, and why: review.csv.")
    from advcam.verbs.annotation import review as put_in_order

    put_in_order(asked)


def take_back(words: Sequence[str]) -> None:
    """Corrected masks."""
    description = "Take back what was corrected in an annotation tool; it counts as truth and is never replaced."
    asked = parse_settings(ImportVerb, "import", words, description, positional="corrected")
    from advcam.verbs.annotation import take_back as keep

    keep(asked)


def app(words: Sequence[str]) -> None:
    """The web page."""
    description = "A page on this machine: explain a picture, review masks, watch a run."
    asked = parse_settings(AppVerb, "app", words, description)
    from advcam.verbs.annotation import app as answer

    answer(asked)


def bench(words: Sequence[str]) -> None:
    """The performance claims on this machine."""
    asked = parse_settings(BenchSettings, "bench", words, "The performance claims on this machine, in minutes.")
    from advcam.verbs.bench import bench as measure

    measure(asked)


def tune(words: Sequence[str]) -> None:
    """Try thresholds and refinements on the images that have true masks."""
    config = parse("tune", words, "Try thresholds and refinements of a run's maps on the images that have true masks.")
    from advcam.pipeline.run import Run
    from advcam.verbs.tune import tune as try_all

    try_all(Run.open(config))


def doctor(words: Sequence[str]) -> None:
    """Check the installation, a data set and a classifier."""
    asked = parse_settings(DoctorSettings, "doctor", words, "Check the installation, a data set and a classifier.")
    from advcam.verbs.doctor import examine

    examine(asked)


def analyse(words: Sequence[str]) -> None:
    """Figures and tables of the paper."""
    from advcam.analyse.settings import AnalyseVerb

    description = "Measure a figure or a table of the paper on a run, or on a classifier and a data set."
    asked = parse_settings(AnalyseVerb, "analyse", words, description, positional="figure")
    from advcam.verbs.analyse import analyse as measure

    measure(asked)


VERBS: dict[str, Verb] = {
    "run": run,
    **{name: stage(name) for name in BY_VERB},
    "demo": demo,
    "status": status,
    "recipes": recipes,
    "analyse": analyse,
    "tune": tune,
    "predict": predict,
    "export": export,
    "review": review,
    "import": take_back,
    "app": app,
    "scenes": scenes,
    "bench": bench,
    "doctor": doctor,
}
