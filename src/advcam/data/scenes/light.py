"""The light that falls on a scene."""

from __future__ import annotations

import numpy as np

from advcam.data.scenes.ground import Picture, noise


def illumination(rng: np.random.Generator, height: int, width: int, light: tuple[float, float]) -> Picture:
    """Factors on colour: brighter towards the light, soft shadows of what stands outside, a tint, darker corners."""
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    slope = rng.uniform(0.04, 0.2)
    factor = 1.04 + slope * (x * light[0] + y * light[1])
    factor = factor * (1 - rng.uniform(0.03, 0.12) * (x * x + y * y))
    if rng.random() < 0.5:
        leaves = np.clip((noise(rng, height, width, rng.uniform(24, 60)) - 0.48) * 6, 0, 1)
        factor = factor * (1 - rng.uniform(0.15, 0.35) * leaves)
    warmth = rng.uniform(-0.06, 0.06)
    return factor[..., None] * np.array((1 + warmth, 1, 1 - warmth), np.float32)
