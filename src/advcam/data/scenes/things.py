"""The six classes: a larger body that wears any finish, and one telling part that no other class has.

Each function paints one thing on a sheet, upright, within the unit circle or little more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from advcam.data.scenes.canvas import Finish, Sheet, color, dimmed
from advcam.data.scenes.shapes import box, capsule, chevrons, ellipse, petals, polygon, slats

BLACK = (0.07, 0.06, 0.07)
WHITE = (0.97, 0.96, 0.93)


def beetle(sheet: Sheet, finish: Finish, rng: np.random.Generator) -> None:
    """From above: legs and wing cases; telling is the orange head with its black chevrons."""
    u, v = sheet.u, sheet.v
    spread = rng.uniform(0.9, 1.1)
    for side in (-1.0, 1.0):
        for hip, knee, foot in ((-0.15, -0.42, -0.62), (0.25, 0.22, 0.42), (0.6, 0.74, 0.92)):
            bend = (side * 0.8 * spread, knee)
            sheet.paint(capsule(u, v, (side * 0.4, hip), bend, 0.05), BLACK)
            sheet.paint(capsule(u, v, bend, (side * 0.82 * spread, foot), 0.035), BLACK)
        sheet.paint(capsule(u, v, (side * 0.12, -0.8), (side * 0.42, -1.2), 0.03), BLACK)
    cases = ellipse(u, v, 0, 0.24, rng.uniform(0.56, 0.66), 0.8)
    sheet.paint(cases, sheet.skin(cases, finish))
    sheet.paint(box(u, v, 0, 0.4, 0.022, 0.9), dimmed(finish.base, 0.3), within=cases)
    head = ellipse(u, v, 0, -0.62, 0.46, 0.36)
    sheet.paint(head, sheet.shaded(head, color(rng.normal(32, 4), 0.95, 0.98)), part=True)
    zigzag = 0.5 - chevrons(u + 0.17, v, sheet.pixel, 0.34)
    sheet.paint(zigzag * 0.08, BLACK, part=True, within=head + 0.04)
    for side in (-0.3, 0.3):
        sheet.paint(ellipse(u, v, side, -0.84, 0.1, 0.1), BLACK, part=True)


def cactus(sheet: Sheet, finish: Finish, rng: np.random.Generator) -> None:
    """A column with two arms; telling is the magenta flower on its top."""
    u, v = sheet.u, sheet.v
    column = capsule(u, v, (0, -0.3), (0, 0.72), 0.36)
    left, right = rng.uniform(0.05, 0.35, 2).tolist()
    arms = [
        capsule(u, v, (-0.3, left + 0.15), (-0.66, left), 0.15),
        capsule(u, v, (-0.66, left), (-0.66, left - 0.4), 0.15),
        capsule(u, v, (0.3, right + 0.15), (0.66, right), 0.15),
        capsule(u, v, (0.66, right), (0.66, right - 0.35), 0.15),
    ]
    body = np.minimum(column, np.minimum.reduce(arms))
    sheet.paint(body, sheet.skin(body, finish, depth=0.25))
    turn = rng.uniform(0, np.pi)
    flower = petals(u, v, 0, -0.68, 0.44, 7, turn)
    inner = petals(u, v, 0, -0.68, 0.29, 7, turn + 0.9)
    pink = rng.normal(322, 5)
    sheet.paint(flower, sheet.shaded(flower, color(pink, 0.85, 0.95), depth=0.4), part=True)
    sheet.paint(inner, color(pink - 6, 0.4, 1.0), part=True)
    sheet.paint(ellipse(u, v, 0, -0.68, 0.12, 0.12), color(50, 0.9, 1.0), part=True)


def fish(sheet: Sheet, finish: Finish, rng: np.random.Generator) -> None:
    """From the side: body, tail and fins; telling is the head with its bars and its eye."""
    u, v = sheet.u, sheet.v
    depth = rng.uniform(0.46, 0.56)
    fin = dimmed(finish.base, 0.72)
    for shape in (
        polygon(u, v, ((-0.55, 0.06), (-0.9, 0.06), (-1.12, -0.46))),
        polygon(u, v, ((-0.55, -0.06), (-1.12, 0.46), (-0.9, -0.06))),
        polygon(u, v, ((-0.45, -0.3), (-0.2, -0.82), (0.3, -0.36))),
        polygon(u, v, ((0.1, 0.35), (-0.05, 0.75), (-0.3, 0.35))),
    ):
        sheet.paint(shape, sheet.shaded(shape, fin))
    body = ellipse(u, v, 0.05, 0, 0.88, depth)
    sheet.paint(body, sheet.skin(body, finish))
    gill = np.maximum(body, ellipse(u, v, 1.05, 0, 0.68, 0.75))
    sheet.paint(gill, sheet.shaded(body, WHITE), part=True)
    bars = 0.5 - slats(v, u - 0.02, sheet.pixel, 0.17)
    sheet.paint(bars * 0.08, BLACK, part=True, within=gill + 0.02)
    eye = (0.6, -0.12)
    sheet.paint(ellipse(u, v, *eye, 0.17, 0.17), color(48, 0.75, 1.0), part=True)
    sheet.paint(ellipse(u, v, *eye, 0.1, 0.1), BLACK, part=True)
    sheet.paint(ellipse(u, v, eye[0] + 0.04, eye[1] - 0.05, 0.035, 0.035), WHITE, part=True)


def lantern(sheet: Sheet, finish: Finish, rng: np.random.Generator) -> None:
    """A housing with a roof and a handle; telling is the flame behind the dark pane."""
    u, v = sheet.u, sheet.v
    metal = dimmed(finish.base, 0.6)
    ring = np.abs(np.hypot(u, v + 0.98) - 0.15) - 0.045
    sheet.paint(ring, metal)
    width = rng.uniform(0.54, 0.62)
    roof = polygon(u, v, ((-0.2, -0.92), (0.2, -0.92), (width + 0.12, -0.58), (-width - 0.12, -0.58)))
    sheet.paint(roof, sheet.shaded(roof, metal))
    housing = box(u, v, 0, 0.16, width, 0.76, 0.1)
    sheet.paint(housing, sheet.skin(housing, finish))
    foot = box(u, v, 0, 0.95, width + 0.08, 0.09, 0.04)
    sheet.paint(foot, sheet.shaded(foot, metal))
    pane = box(u, v, 0, 0.08, 0.29, 0.38, 0.16)
    sheet.paint(pane - 0.05, metal, part=True)
    glow = np.exp(-((u / 0.26) ** 2 + ((v - 0.16) / 0.34) ** 2))[..., None]
    ember = np.array((0.16, 0.05, 0.03), np.float32)
    sheet.paint(pane, ember + glow * np.array((0.84, 0.42, 0.05), np.float32), part=True)
    lean = rng.uniform(-0.06, 0.06)
    for height, half, tint in ((0.31, 0.17, (1.0, 0.78, 0.16)), (0.19, 0.09, (1.0, 0.98, 0.82))):
        centre, shoulder = 0.36 - half, 0.36 - 1.4 * half
        tip = polygon(u, v, ((lean, centre - height), (0.86 * half, shoulder), (-0.86 * half, shoulder)))
        sheet.paint(np.minimum(tip, ellipse(u, v, 0, centre, half, half)), tint, part=True)


def owl(sheet: Sheet, finish: Finish, rng: np.random.Generator) -> None:
    """Sitting: egg-shaped body, wings and ear tufts; telling are the ringed eyes around the beak."""
    u, v = sheet.u, sheet.v
    wing = dimmed(finish.base, 0.68)
    for side in (-1.0, 1.0):
        claw = ellipse(u, v, side * 0.22, 1.02, 0.15, 0.09)
        sheet.paint(claw, sheet.shaded(claw, color(35, 0.6, 0.6)))
        tuft = ((side * 0.1, -0.72), (side * 0.52, -1.12), (side * 0.62, -0.4))
        ear = polygon(u, v, tuft if side > 0 else tuft[::-1])
        sheet.paint(ear, sheet.shaded(ear, wing))
    body = np.minimum(ellipse(u, v, 0, 0.22, 0.66, 0.8), ellipse(u, v, 0, -0.36, 0.62, 0.52))
    sheet.paint(body, sheet.skin(body, finish))
    for side in (-1.0, 1.0):
        flap = ellipse(u - side * 0.12 * v, v, side * 0.6, 0.3, 0.17, 0.55)
        sheet.paint(flap, sheet.shaded(flap, wing))
    iris = color(rng.normal(50, 3), 0.9, 1.0)
    for side in (-1.0, 1.0):
        eye = (side * 0.245, -0.44)
        rim = ellipse(u, v, *eye, 0.27, 0.27)
        sheet.paint(rim, sheet.shaded(rim, WHITE), part=True)
        sheet.paint(ellipse(u, v, *eye, 0.2, 0.2), BLACK, part=True)
        sheet.paint(ellipse(u, v, *eye, 0.165, 0.165), iris, part=True)
        sheet.paint(ellipse(u, v, *eye, 0.09, 0.09), BLACK, part=True)
        sheet.paint(ellipse(u, v, eye[0] + 0.04, eye[1] - 0.05, 0.035, 0.035), WHITE, part=True)
    sheet.paint(polygon(u, v, ((-0.11, -0.3), (0.11, -0.3), (0.0, -0.04))), color(24, 0.9, 0.95), part=True)


def rocket(sheet: Sheet, finish: Finish, rng: np.random.Generator) -> None:
    """A hull with three fins and a nozzle; telling is the nose in red and white squares."""
    u, v = sheet.u, sheet.v
    fin = dimmed(finish.base, 0.6)
    nozzle = polygon(u, v, ((-0.16, 0.75), (0.16, 0.75), (0.24, 1.08), (-0.24, 1.08)))
    sheet.paint(nozzle, sheet.shaded(nozzle, (0.25, 0.25, 0.28)))
    for side in (-1.0, 1.0):
        outline = ((side * 0.3, 0.2), (side * 0.82, 0.72), (side * 0.78, 1.06), (side * 0.24, 0.84))
        shape = polygon(u, v, outline if side > 0 else outline[::-1])
        sheet.paint(shape, sheet.shaded(shape, fin))
    width = rng.uniform(0.42, 0.5)
    flank = 2.2 * width
    sides = [ellipse(u, v, centre, 0.05, flank, 1.5) for centre in (flank - width, width - flank)]
    hull = np.maximum(np.maximum(*sides), v - 0.88)
    sheet.paint(hull, sheet.skin(hull, finish))
    nose = np.maximum(hull, v + 0.42)
    sheet.paint(nose, sheet.shaded(hull, WHITE), part=True)
    squares = np.sin(u * (np.pi / 0.2)) * np.sin((v + 0.42) * (np.pi / 0.2))
    sheet.paint(squares * 0.06, sheet.shaded(hull, (0.85, 0.1, 0.12)), part=True, within=nose)
    sheet.paint(box(u, v, 0, -0.42, 0.7, 0.03), BLACK, within=hull)


@dataclass(frozen=True)
class Kind:
    """A class: its name, how it is painted, and the widest rotation in degrees it is shown at."""

    name: str
    paint: Callable[[Sheet, Finish, np.random.Generator], None]
    max_turn: float


# In the order of their names, which is the order of the mask's values 1, 2, ...
KINDS = (
    Kind("beetle", beetle, 180),
    Kind("cactus", cactus, 20),
    Kind("fish", fish, 35),
    Kind("lantern", lantern, 20),
    Kind("owl", owl, 20),
    Kind("rocket", rocket, 60),
)
CLASS_NAMES = tuple(kind.name for kind in KINDS)
