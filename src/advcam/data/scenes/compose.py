"""One scene from one random generator: what lies where, drawn from back to front, with its mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageFilter

from advcam.data.masks import IGNORE
from advcam.data.scenes.canvas import Sheet, draw_finish
from advcam.data.scenes.ground import ground
from advcam.data.scenes.light import illumination
from advcam.data.scenes.litter import litter
from advcam.data.scenes.things import KINDS

# Share of stones in a body's finish among what lies about; they keep a finish from proving a class.
DECOYS = 0.25
# Radius of the things, in units of the shorter side: alone, in twos, in threes.
RADII = (0.31, 0.27, 0.24)


@dataclass(frozen=True)
class Scene:
    """A picture and what is in it.

    ``mask`` holds 0 for the ground, class index + 1 for a class and 255 where an edge shares a pixel; ``objects``
    the same with a number for each thing in place of its class. ``parts`` is true
    on the telling parts. ``classes`` are the class indices present, ascending and unique.
    """

    image: UInt8[np.ndarray, "H W 3"]
    mask: UInt8[np.ndarray, "H W"]
    objects: UInt8[np.ndarray, "H W"]
    parts: Bool[np.ndarray, "H W"]
    classes: tuple[int, ...]


class _Stage:
    """The picture under way. Sheets are laid on it around a centre; what lies outside is cut off."""

    def __init__(self, rng: np.random.Generator, height: int, width: int, light: tuple[float, float]) -> None:
        self.rgb = np.ascontiguousarray(ground(rng, height, width))
        self.mask = np.zeros((height, width), np.uint8)
        self.objects = np.zeros((height, width), np.uint8)
        self.count = 0
        self.parts = np.zeros((height, width), bool)
        self.light = light

    def _window(self, sheet: Sheet, x: int, y: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Where a sheet centred on ``(x, y)`` meets the picture: in the picture, and in the sheet."""
        half = sheet.alpha.shape[0] // 2
        on_picture, on_sheet = [], []
        for centre, side in ((y, self.mask.shape[0]), (x, self.mask.shape[1])):
            first, last = max(centre - half, 0), min(centre + half, side)
            on_picture.append(slice(first, last))
            on_sheet.append(slice(first - centre + half, last - centre + half))
        return (on_picture[0], on_picture[1]), (on_sheet[0], on_sheet[1])

    def has_room(self, sheet: Sheet, x: int, y: int) -> bool:
        """True where the telling part would be wholly in the picture, most of the body too, and little is covered."""
        here, there = self._window(sheet, x, y)
        solid, part = sheet.alpha > 0.5, sheet.part > 0.5
        shown = solid[there]
        if part[there].sum() < part.sum() or shown.sum() < 0.8 * solid.sum():
            return False
        covered = shown & (self.mask[here] > 0)
        return not (shown & self.parts[here]).any() and bool(covered.sum() < 0.06 * solid.sum())

    def lay(self, sheet: Sheet, x: int, y: int, kind: int | None) -> None:
        """Draw a sheet and its shadow; mark it as class ``kind`` where it has one."""
        reach = max(round(0.12 / sheet.pixel), 1)
        dx, dy = round(-self.light[0] * reach), round(-self.light[1] * reach)
        shadow = Image.fromarray((sheet.alpha * 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(max(reach / 2, 1)))
        here, there = self._window(sheet, x + dx, y + dy)
        self.rgb[here] *= 1 - (0.5 / 255) * np.asarray(shadow, np.float32)[there][..., None]

        here, there = self._window(sheet, x, y)
        alpha = sheet.alpha[there]
        self.rgb[here] = self.rgb[here] * (1 - alpha[..., None]) + sheet.rgb[there]
        if kind is not None:
            self.mask[here][alpha > 0.1] = IGNORE
            self.mask[here][alpha > 0.9] = kind + 1
            self.count += 1
            self.objects[here][alpha > 0.1] = IGNORE
            self.objects[here][alpha > 0.9] = self.count
            self.parts[here] &= alpha < 0.5
            self.parts[here] |= sheet.part[there] > 0.5


def _place(stage: _Stage, rng: np.random.Generator, kind: int, radius: float, body_cue: float) -> bool:
    """Lay one thing of a class where there is room, smaller after every few attempts; False where none was found."""
    finish = draw_finish(rng, kind, body_cue)
    turn = math.radians(rng.uniform(-1, 1) * KINDS[kind].max_turn)
    mirrored = bool(rng.random() < 0.5)
    height, width = stage.mask.shape
    for _ in range(4):
        sheet = Sheet(radius, turn, mirrored, stage.light)
        KINDS[kind].paint(sheet, finish, rng)
        for _ in range(12):
            x, y = (int(rng.uniform(0.6 * radius, side - 0.6 * radius)) for side in (width, height))
            if stage.has_room(sheet, x, y):
                stage.lay(sheet, x, y, kind)
                return True
        radius *= 0.85
    return False


def render_scene(rng: np.random.Generator, height: int, width: int, kinds: Sequence[int], body_cue: float) -> Scene:
    """A ground, seven to twelve things of no class on it, and things of the classes ``kinds`` over them.

    Every telling part shows wholly, and most of every body. A thing that finds no room is left out; the first one
    always finds it. Light, shadows and noise do not depend on the classes.

    Args:
        rng: the source of everything that is drawn.
        height, width: of the image, in pixels.
        kinds: class index of each thing, in the order they are laid down; up to three get along well.
        body_cue: probability that a body wears its own class's finish, not that of any class.

    >>> scene = render_scene(np.random.default_rng(0), 128, 160, (5, 0), body_cue=0.5)
    >>> scene.image.shape, scene.classes
    ((128, 160, 3), (0, 5))
    """
    angle = rng.uniform(-math.pi, 0)
    light = (math.cos(angle), math.sin(angle))
    stage = _Stage(rng, height, width, light)
    short = min(height, width)
    for _ in range(int(rng.integers(7, 13))):
        decoy = bool(rng.random() < DECOYS)
        radius = short * rng.uniform(*((0.06, 0.14) if decoy else (0.05, 0.11)))
        sheet = litter(rng, radius, decoy, light)
        stage.lay(sheet, int(rng.integers(width)), int(rng.integers(height)), None)
    scale = RADII[min(len(kinds), 3) - 1]
    for kind in kinds:
        _place(stage, rng, kind, short * scale * rng.uniform(0.82, 1.15), body_cue)
    lit = stage.rgb * illumination(rng, height, width, light)
    lit += rng.uniform(0.008, 0.025) * rng.standard_normal(lit.shape, np.float32)
    present = np.unique(stage.mask)
    classes = tuple(int(value) - 1 for value in present if 0 < value < IGNORE)
    return Scene((np.clip(lit, 0, 1) * 255).round().astype(np.uint8), stage.mask, stage.objects, stage.parts, classes)
