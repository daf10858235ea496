"""A small sheet on which one thing is painted in its own coordinates, and the finishes that bodies are painted with."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from advcam.data.scenes import shapes

Plane = Float32[np.ndarray, "h w"]
Color = tuple[float, float, float]
Pattern = Callable[[Plane, Plane, float, float], Plane]

# Half the side of a sheet, in units of the thing's radius.
REACH = 1.35


def color(hue: float, saturation: float, value: float) -> Color:
    """Red, green and blue in [0, 1] of a hue in degrees, a saturation and a value in [0, 1]."""
    return colorsys.hsv_to_rgb((hue / 360) % 1, min(max(saturation, 0), 1), min(max(value, 0), 1))


def dimmed(tint: Color, factor: float) -> Color:
    """The same hue, ``factor`` times as bright."""
    return tint[0] * factor, tint[1] * factor, tint[2] * factor


@dataclass(frozen=True)
class Finish:
    """How a body looks: a ground colour, a pattern over it in a second colour, and the pattern's period in units."""

    base: Color
    accent: Color
    pattern: Pattern
    period: float


@dataclass(frozen=True)
class FinishFamily:
    """Finishes that look alike: hue in degrees, saturation and value of the ground colour, and the pattern."""

    hue: float
    saturation: float
    value: float
    pattern: Pattern
    period: float


# One family for each class, in the order of the classes. A class wears its own family only more often than the others.
FAMILIES = (
    FinishFamily(hue=172, saturation=0.75, value=0.55, pattern=shapes.dots, period=0.36),
    FinishFamily(hue=105, saturation=0.55, value=0.58, pattern=shapes.ribs, period=0.22),
    FinishFamily(hue=214, saturation=0.65, value=0.78, pattern=shapes.scales, period=0.26),
    FinishFamily(hue=285, saturation=0.38, value=0.55, pattern=shapes.slats, period=0.24),
    FinishFamily(hue=24, saturation=0.58, value=0.60, pattern=shapes.chevrons, period=0.30),
    FinishFamily(hue=350, saturation=0.12, value=0.88, pattern=shapes.panels, period=0.40),
)


def draw_finish(rng: np.random.Generator, kind: int | None, cue: float) -> Finish:
    """A finish for a body of class ``kind``: its colour, and independently its pattern, is of the class's own family
    with probability ``cue``, else of any family; always of any for what has no class."""
    hues, patterns = (
        FAMILIES[kind if kind is not None and rng.random() < cue else rng.integers(len(FAMILIES))] for _ in range(2)
    )
    hue = hues.hue + rng.normal(0, 9)
    saturation = hues.saturation * rng.uniform(0.8, 1.15)
    value = hues.value * rng.uniform(0.85, 1.1)
    accent = color(hue + rng.normal(0, 8), saturation * 1.05, value * rng.uniform(0.45, 0.7))
    return Finish(color(hue, saturation, value), accent, patterns.pattern, patterns.period * rng.uniform(0.85, 1.2))


class Sheet:
    """Colour, coverage and telling part of one thing, painted from back to front.

    Args:
        radius: of the thing, in pixels of the finished image.
        turn: its rotation in radians.
        mirrored: whether left and right are swapped.
        light: direction the light comes from, a unit vector in the image.

    ``u`` and ``v`` are the thing's own coordinates in units of its radius; ``pixel`` is the side of a pixel in them.
    ``rgb`` holds colour times coverage, ``alpha`` coverage, ``part`` the coverage by the telling part.
    """

    def __init__(self, radius: float, turn: float, mirrored: bool, light: tuple[float, float]) -> None:
        half = math.ceil(REACH * radius)
        self.pixel = 1 / radius
        axis = ((np.arange(2 * half) + 0.5 - half) / radius).astype(np.float32)
        x, y = axis[None, :], axis[:, None]
        cos, sin, side = math.cos(turn), math.sin(turn), -1 if mirrored else 1
        self.u: Plane = side * (cos * x + sin * y)
        self.v: Plane = cos * y - sin * x
        self.light = (side * (cos * light[0] + sin * light[1]), cos * light[1] - sin * light[0])
        self.rgb = np.zeros((*self.u.shape, 3), np.float32)
        self.alpha = np.zeros_like(self.u)
        self.part = np.zeros_like(self.u)

    def paint(
        self,
        distance: Plane,
        tint: Color | Float32[np.ndarray, "h w 3"],
        *,
        part: bool = False,
        within: Plane | None = None,
    ) -> None:
        """Lay a shape over what is there; ``within`` keeps it inside another shape, ``part`` marks it as telling."""
        if within is not None:
            distance = np.maximum(distance, within)
        cover = np.clip(0.5 - distance / self.pixel, 0, 1)
        self.rgb += cover[..., None] * (np.asarray(tint, np.float32) - self.rgb)
        self.alpha += cover * (1 - self.alpha)
        if part:
            np.maximum(self.part, cover, out=self.part)

    def relief(self, distance: Plane, depth: float) -> Plane:
        """Brightness of a shape that swells to its full height ``depth`` units inside its edge."""
        rise = 1 - np.clip(-distance / depth, 0, 1)
        facing = self.u * self.light[0] + self.v * self.light[1]
        return 1.06 - 0.34 * rise * rise + 0.24 * facing

    def skin(self, distance: Plane, finish: Finish, depth: float = 0.35) -> Float32[np.ndarray, "h w 3"]:
        """The colours of a swelling body with this finish, darkened to a contour along its edge."""
        base, accent = np.asarray(finish.base, np.float32), np.asarray(finish.accent, np.float32)
        pattern = finish.pattern(self.u, self.v, self.pixel, finish.period)
        contour = np.clip((distance + 0.055) / 0.03, 0, 1)
        shade = self.relief(distance, depth) * (1 - 0.55 * contour)
        return (base + pattern[..., None] * (accent - base)) * shade[..., None]

    def shaded(self, distance: Plane, tint: Color, depth: float = 0.25) -> Float32[np.ndarray, "h w 3"]:
        """One plain colour on a swelling shape."""
        contour = np.clip((distance + 0.045) / 0.03, 0, 1)
        shade = self.relief(distance, depth) * (1 - 0.5 * contour)
        return np.asarray(tint, np.float32) * shade[..., None]
