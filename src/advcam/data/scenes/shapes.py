"""Signed distances of plane shapes, and the patterns that cover them.

Every function takes coordinates ``u`` (to the right) and ``v`` (downwards) in the object's own units and returns an
array of their shape. A signed distance is negative inside the shape and in the units of ``u`` and ``v``; close to the
edge it is accurate enough to be turned into the coverage of a pixel. A pattern returns its strength in [0, 1].
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

Plane = Float32[np.ndarray, "h w"]


def ellipse(u: Plane, v: Plane, cx: float, cy: float, a: float, b: float) -> Plane:
    """Distance to the ellipse of half-axes ``a`` and ``b`` around ``(cx, cy)``, to first order at its edge."""
    x, y = (u - cx) / a, (v - cy) / b
    level = np.sqrt(x * x + y * y)
    slope = np.sqrt((x / a) ** 2 + (y / b) ** 2)
    return level * (level - 1) / (slope + 1e-6)


def box(u: Plane, v: Plane, cx: float, cy: float, a: float, b: float, corner: float = 0.0) -> Plane:
    """Distance to the upright rectangle of half-sides ``a`` and ``b``, its corners rounded with radius ``corner``."""
    x = np.abs(u - cx) - (a - corner)
    y = np.abs(v - cy) - (b - corner)
    outside = np.hypot(np.maximum(x, 0), np.maximum(y, 0))
    return outside + np.minimum(np.maximum(x, y), 0) - corner


def capsule(u: Plane, v: Plane, start: tuple[float, float], end: tuple[float, float], radius: float) -> Plane:
    """Distance to the stroke of half-width ``radius`` from ``start`` to ``end``, with round ends."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    x, y = u - start[0], v - start[1]
    along = np.clip((x * dx + y * dy) / (dx * dx + dy * dy), 0, 1)
    return np.hypot(x - along * dx, y - along * dy) - radius


def polygon(u: Plane, v: Plane, corners: tuple[tuple[float, float], ...]) -> Plane:
    """Distance to the convex polygon with these corners, in clockwise order on the screen; sharp outside corners."""
    distance = np.full_like(u, -np.inf)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        dx, dy = x1 - x0, y1 - y0
        length = (dx * dx + dy * dy) ** 0.5
        np.maximum(distance, ((u - x0) * dy - (v - y0) * dx) / length, out=distance)
    return distance


def petals(u: Plane, v: Plane, cx: float, cy: float, radius: float, count: int, turn: float) -> Plane:
    """Distance to a flower of ``count`` petals whose tips lie ``radius`` from its centre."""
    x, y = u - cx, v - cy
    wave = np.abs(np.cos(np.arctan2(y, x) * (count / 2) + turn))
    return np.hypot(x, y) - radius * (0.58 + 0.42 * np.sqrt(wave))


def _step(value: Plane, width: float) -> Plane:
    """1 where ``value`` is above zero, 0 below, with a ramp as wide as ``width``."""
    return np.clip(value / width + 0.5, 0, 1)


def dots(u: Plane, v: Plane, pixel: float, period: float) -> Plane:
    """Round spots in staggered rows."""
    row = np.floor(v / period)
    x = (u / period + 0.5 * (row % 2)) % 1 - 0.5
    y = (v / period) % 1 - 0.5
    return _step(0.3 - np.hypot(x, y), pixel / period)


def ribs(u: Plane, v: Plane, pixel: float, period: float) -> Plane:
    """Upright folds with soft flanks."""
    return 0.5 + 0.5 * np.cos(u * (2 * np.pi / period))


def slats(u: Plane, v: Plane, pixel: float, period: float) -> Plane:
    """Level bars with crisp edges."""
    return _step(0.22 - np.abs((v / period) % 1 - 0.5), pixel / period)


def scales(u: Plane, v: Plane, pixel: float, period: float) -> Plane:
    """The rims of overlapping round scales."""
    row = np.floor(u / period * 2)
    x = (u / period * 2) % 1
    y = (v / period + 0.5 * (row % 2)) % 1 - 0.5
    rim = np.abs(np.hypot(x, y * 1.6) - 0.8)
    return _step(0.16 - rim, 2 * pixel / period)


def chevrons(u: Plane, v: Plane, pixel: float, period: float) -> Plane:
    """Level zigzag lines."""
    fold = np.abs((u / period) % 1 - 0.5)
    return _step(0.2 - np.abs((v / period + fold) % 1 - 0.5), pixel / period)


def panels(u: Plane, v: Plane, pixel: float, period: float) -> Plane:
    """The seams of square plates."""
    x = np.abs((u / period) % 1 - 0.5)
    y = np.abs((v / period) % 1 - 0.5)
    return _step(0.1 - np.minimum(x, y), pixel / period)
