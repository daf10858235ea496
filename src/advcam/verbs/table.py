"""The verbs: what each is for, and what it does with its words of the command line.

Nothing heavy is imported before a verb has its settings: ``--help`` should answer at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from advcam.pipeline.stages import STAGES, in_run

if TYPE_CHECKING:
    from advcam.pipeline.config import RunConfig

Words = Sequence[str]


@dataclass(frozen=True)
class Verb:
    """A verb of the command line."""

    summary: str
    work: Callable[[str, Words], None]
    """Of its own name and the words behind it."""

    @property
    def description(self) -> str:
        return f"{self.summary[0].upper()}{self.summary[1:]}."


def of_run(verb: str, words: Words) -> RunConfig:
    """The settings of a verb that works on a run folder."""
    from advcam.verbs.arguments import parse

    return parse(verb, words, VERBS[verb].description)


def run(verb: str, words: Words) -> None:
    config = of_run(verb, words)
    from advcam.pipeline.graph import run_stages

    run_stages(config, [stage.verb for stage in in_run(config)])


def one_stage(verb: str, words: Words) -> None:
    """With a method for the stage that is asked for by name, where the settings have none."""
    from dataclasses import replace

    from advcam.errors import SettingsError

    config = of_run(verb, words)
    if verb == "saliency" and config.saliency.source == "none":
        raise SettingsError("saliency.source is none: name where the maps come from with --saliency.source")
    if verb == "instances" and config.instances.method == "none":
        config = replace(config, instances=replace(config.instances, method="irn"))
    if verb == "segment" and config.segment.method == "none":
        config = replace(config, segment=replace(config.segment, method="deeplab"))
    from advcam.pipeline.graph import run_stages

    run_stages(config, (verb,))


def demo(verb: str, words: Words) -> None:
    from dataclasses import replace
    from pathlib import Path

    config = of_run(verb, ["demo", *words])
    from advcam.data.scenes import write_scenes
    from advcam.io.progress import say
    from advcam.pipeline.graph import run_stages
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
    run_stages(config, [stage.verb for stage in in_run(config)])


def status(verb: str, words: Words) -> None:
    config = of_run(verb, words)
    from advcam.pipeline.graph import status as show

    show(config)


def collect(verb: str, words: Words) -> None:
    config = of_run(verb, words)
    from advcam.pipeline.graph import collect as close

    close(config)


def tune(verb: str, words: Words) -> None:
    config = of_run(verb, words)
    from advcam.pipeline.run import Run
    from advcam.verbs.tune import tune as try_all

    try_all(Run.open(config))


def recipes(verb: str, words: Words) -> None:
    from advcam.errors import Help
    from advcam.io.progress import show
    from advcam.verbs import recipes as library

    if any(word in ("-h", "--help", "--help-all") for word in words):
        raise Help(f"usage: advcam recipes [NAME]\n\n{VERBS[verb].description}")
    names = [word for word in words if not word.startswith("-")]
    if names:
        show(library.find(names[0]).read_text(encoding="utf-8").rstrip("\n"))
        return
    known = library.recipes()
    width = max(map(len, known))
    for name, path in known.items():
        said = library.comments(path)
        show(f"{name:<{width}}  {said.get('what', '')}")
        for part in ("cost", "expected"):
            if part in said:
                show(f"{'':<{width}}    {part}: {said[part]}")


def scenes(asked: Any) -> None:
    from dataclasses import fields

    from advcam.data.scenes import SceneSettings, write_scenes
    from advcam.io.progress import say

    folder = write_scenes(asked.out, SceneSettings(**{f.name: getattr(asked, f.name) for f in fields(SceneSettings)}))
    say(f"scenes: {asked.train} train, {asked.val} val and {asked.test} test images in {folder}")


def own(verb: str, words: Words) -> None:
    """A verb with settings of its own, which are read before anything heavy is imported for it."""
    from advcam.analyse.settings import AnalyseVerb
    from advcam.verbs import settings
    from advcam.verbs.arguments import parse_settings

    kinds: dict[str, tuple[type, str | None]] = {
        "analyse": (AnalyseVerb, "figure"),
        "predict": (settings.PredictVerb, "images"),
        "review": (settings.ReviewVerb, None),
        "export": (settings.ExportVerb, None),
        "import": (settings.ImportVerb, "corrected"),
        "app": (settings.AppVerb, None),
        "scenes": (settings.ScenesVerb, None),
        "bench": (settings.BenchSettings, None),
        "doctor": (settings.DoctorSettings, None),
    }
    kind, positional = kinds[verb]
    asked: Any = parse_settings(kind, verb, words, VERBS[verb].description, positional)
    work: Callable[[Any], None] = scenes
    if verb == "analyse":
        from advcam.verbs.analyse import analyse

        work = analyse
    elif verb == "predict" or (verb == "export" and asked.format in ("onnx", "safetensors")):
        from advcam.verbs import predict

        work = predict.predict if verb == "predict" else predict.export
    elif verb in ("review", "export", "import", "app"):
        from advcam.verbs.annotation import app, export, review, take_back

        of_annotation: dict[str, Callable[[Any], None]]
        of_annotation = {"review": review, "export": export, "import": take_back, "app": app}
        work = of_annotation[verb]
    elif verb == "bench":
        from advcam.verbs.bench import bench

        work = bench
    elif verb == "doctor":
        from advcam.verbs.doctor import examine

        work = examine
    work(asked)


VERBS: dict[str, Verb] = {
    "demo": Verb("the whole chain on generated scenes; ends with a report", demo),
    "run": Verb("all stages of a recipe or of a configuration, on your data", run),
    **{stage.verb: Verb(stage.summary, one_stage) for stage in STAGES},
    "collect": Verb("close a stage that was made in parts (--part i/n)", collect),
    "status": Verb("what is there, what is stale, and why", status),
    "recipes": Verb("the recipes, with cost and expected figures; or one of them", recipes),
    "analyse": Verb("a figure or table of the paper, of a run: fig2 to fig16, table9 to table13, paper", own),
    "tune": Verb("what a few true masks choose: threshold and refinement, with an interval", tune),
    "predict": Verb("label new images with the trained network: masks, overlays, areas", own),
    "review": Verb("which masks to look at first, and why", own),
    "export": Verb("masks for CVAT, Label Studio, COCO, YOLO, ...; the trained network as ONNX", own),
    "import": Verb("corrected masks back from an annotation tool: they count as truth", own),
    "app": Verb("a page on this machine: explain a picture, review masks, watch a run", own),
    "scenes": Verb("write a generated data set", own),
    "bench": Verb("how fast it is on this machine, against the authors' way", own),
    "doctor": Verb("what is installed, which device, is the data set sound", own),
}
