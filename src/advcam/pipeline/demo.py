"""The generated scenes, and the whole chain on them."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path

from advcam.data.scenes import SceneSettings, write_scenes
from advcam.pipeline.config import RunConfig
from advcam.pipeline.progress import say
from advcam.pipeline.run import Run, saved_form
from advcam.pipeline.settings import ScenesVerb
from advcam.pipeline.verbs import run_stages, wanted_stages


def draw(asked: ScenesVerb) -> None:
    """Write a generated data set."""
    wanted = {field.name for field in fields(SceneSettings)}
    settings = SceneSettings(**{name: value for name, value in asdict(asked).items() if name in wanted})
    folder = write_scenes(asked.out, settings)
    say(f"scenes: {settings.train} train, {settings.val} val and {settings.test} test images in {folder}")


def chain(config: RunConfig) -> None:
    """Draw the scenes into the run folder and work through all stages."""
    config = replace(config, data=str(Path(config.out) / "scenes"))
    # The manifest first: a folder that holds something else is refused before anything is written.
    Run.open(config).note_configuration(saved_form(config))
    write_scenes(config.data or "")
    say(f"demo: {config.data} holds the images; the classifier sees their class labels only")
    run_stages(config, wanted_stages(config))
