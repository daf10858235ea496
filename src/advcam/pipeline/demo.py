"""The generated scenes, and the whole chain on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from advcam.data.scenes import SceneSettings, write_scenes
from advcam.pipeline.arguments import parse, parse_settings
from advcam.pipeline.manifest import plain
from advcam.pipeline.progress import say
from advcam.pipeline.run import Run
from advcam.pipeline.verbs import STAGES, run_stages

RECIPE = "demo"


@dataclass(frozen=True)
class ScenesVerb(SceneSettings):
    """Where the scenes go, and what they look like."""

    out: str = "scenes"
    """The folder: the layout of PASCAL VOC with the lists train, val and test."""


def scenes(words: Sequence[str]) -> None:
    """Write a generated data set."""
    asked = parse_settings(ScenesVerb, "scenes", words, "Write a generated data set in the layout of PASCAL VOC.")
    wanted = {field.name for field in fields(SceneSettings)}
    settings = SceneSettings(**{name: value for name, value in asdict(asked).items() if name in wanted})
    folder = write_scenes(asked.out, settings)
    say(f"scenes: {settings.train} train, {settings.val} val and {settings.test} test images in {folder}")


def demo(words: Sequence[str]) -> None:
    """Draw the scenes into the run folder and work through all stages of the recipe ``demo``."""
    config = parse("demo", [RECIPE, *words], goes_on=False, description="The whole chain on generated scenes.")
    config = replace(config, data=str(Path(config.out) / "scenes"))
    # The manifest first: a folder that holds something else is refused before anything is written.
    Run.open(config).note_configuration(plain(config))
    write_scenes(config.data or "")
    say(f"demo: {config.data} holds the images; the classifier sees their class labels only")
    run_stages(config, STAGES)
