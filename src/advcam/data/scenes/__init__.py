"""Generated scenes: a data set with masks in which each class has one telling part and a larger, vaguer body."""

from advcam.data.scenes.compose import Scene, render_scene
from advcam.data.scenes.dataset import SPLITS, draw_scenes, write_scenes
from advcam.data.scenes.settings import SceneSettings
from advcam.data.scenes.things import CLASS_NAMES

__all__ = ["CLASS_NAMES", "SPLITS", "Scene", "SceneSettings", "draw_scenes", "render_scene", "write_scenes"]
