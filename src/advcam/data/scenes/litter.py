"""Things that lie about in every scene, whatever its classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from advcam.data.scenes.canvas import Sheet, color, dimmed, draw_finish
from advcam.data.scenes.shapes import capsule, ellipse, petals


def _pebble(sheet: Sheet, rng: np.random.Generator) -> None:
    """A stone that wears the finish of a body, so that a finish alone proves no class."""
    shape = ellipse(sheet.u, sheet.v, 0, 0, 0.95, rng.uniform(0.55, 0.9))
    sheet.paint(shape, sheet.skin(shape, draw_finish(rng, None, 0), depth=0.5))


def _leaf(sheet: Sheet, rng: np.random.Generator) -> None:
    u, v = sheet.u, sheet.v
    shape = np.maximum(ellipse(u, v, 0, -0.7, 1.2, 1.1), ellipse(u, v, 0, 0.7, 1.2, 1.1))
    tint = color(rng.uniform(15, 110), rng.uniform(0.5, 0.8), rng.uniform(0.35, 0.75))
    sheet.paint(shape, sheet.shaded(shape, tint, depth=0.4))
    vein = dimmed(tint, 0.55)
    sheet.paint(capsule(u, v, (-1.1, 0), (0.8, 0), 0.04), vein)
    for x in (-0.4, 0.0, 0.4):
        sheet.paint(capsule(u, v, (x, 0), (x + 0.25, 0.3), 0.025), vein, within=shape)
        sheet.paint(capsule(u, v, (x, 0), (x + 0.25, -0.3), 0.025), vein, within=shape)


def _twig(sheet: Sheet, rng: np.random.Generator) -> None:
    tint = color(rng.uniform(15, 40), 0.5, rng.uniform(0.2, 0.45))
    for start, end, width in (
        ((-1.1, 0.1), (1.1, -0.1), 0.09),
        ((0.1, 0.0), (0.7, -0.55), 0.06),
        ((-0.4, 0), (-0.1, 0.5), 0.05),
    ):
        stroke = capsule(sheet.u, sheet.v, start, end, width)
        sheet.paint(stroke, sheet.shaded(stroke, tint, depth=0.1))


def _button(sheet: Sheet, rng: np.random.Generator) -> None:
    u, v = sheet.u, sheet.v
    tint = color(rng.uniform(0, 360), rng.uniform(0.2, 0.8), rng.uniform(0.5, 0.95))
    disc = ellipse(u, v, 0, 0, 0.75, 0.75)
    sheet.paint(disc, sheet.shaded(disc, tint))
    sheet.paint(np.abs(ellipse(u, v, 0, 0, 0.5, 0.5)) - 0.04, dimmed(tint, 0.6))
    for x, y in ((-0.17, -0.17), (0.17, -0.17), (-0.17, 0.17), (0.17, 0.17)):
        sheet.paint(ellipse(u, v, x, y, 0.1, 0.1), (0.1, 0.1, 0.1))


def _clover(sheet: Sheet, rng: np.random.Generator) -> None:
    shape = petals(sheet.u, sheet.v, 0, 0, 0.9, int(rng.integers(3, 5)), rng.uniform(0, np.pi))
    sheet.paint(shape, sheet.shaded(shape, color(rng.uniform(80, 150), 0.5, rng.uniform(0.35, 0.7)), depth=0.5))


LITTER: tuple[Callable[[Sheet, np.random.Generator], None], ...] = (_leaf, _twig, _button, _clover)


def litter(rng: np.random.Generator, radius: float, decoy: bool, light: tuple[float, float]) -> Sheet:
    """A thing of no class at a random rotation: a stone in a body's finish if ``decoy``, else one of ``LITTER``."""
    sheet = Sheet(radius, rng.uniform(-np.pi, np.pi), False, light)
    paint = _pebble if decoy else LITTER[rng.integers(len(LITTER))]
    paint(sheet, rng)
    return sheet
