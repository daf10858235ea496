"""The textured grounds that things lie on, whatever their classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32
from PIL import Image, ImageDraw

from advcam.data.scenes.canvas import Color, color

Picture = Float32[np.ndarray, "H W 3"]
Field = Float32[np.ndarray, "H W"]


def noise(rng: np.random.Generator, height: int, width: int, cell: float, stretch: float = 1.0) -> Field:
    """A smooth random field about 0.5, its bumps ``cell`` pixels high and ``cell * stretch`` wide."""
    rows, columns = max(int(height / cell), 1) + 2, max(int(width / (cell * stretch)), 1) + 2
    grid = Image.fromarray(rng.random((rows, columns), dtype=np.float32))
    return np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC))


def _rough(rng: np.random.Generator, height: int, width: int, cell: float, stretch: float = 1.0) -> Field:
    """Noise of four sizes, each half as large and two thirds as strong as the one before; about 0.5."""
    total = np.zeros((height, width), np.float32)
    for octave, weight in enumerate((0.42, 0.28, 0.18, 0.12)):
        total += weight * noise(rng, height, width, max(cell / 2**octave, 1.5), stretch)
    return total


def _blend(dark: Color, light: Color, field: Field) -> Picture:
    low, high = np.asarray(dark, np.float32), np.asarray(light, np.float32)
    return low + np.clip(field, 0, 1)[..., None] * (high - low)


def _soil(rng: np.random.Generator, height: int, width: int) -> Picture:
    hue = rng.uniform(18, 36)
    grains = 1.6 * (_rough(rng, height, width, 14) - 0.5) + 0.5
    return _blend(color(hue, 0.5, 0.24), color(hue, 0.42, 0.52), grains)


def _sand(rng: np.random.Generator, height: int, width: int) -> Picture:
    hue = rng.uniform(28, 46)
    y = np.arange(height, dtype=np.float32)[:, None] + 14 * noise(rng, height, width, 40)
    ripples = 0.5 + 0.3 * np.sin(y * (2 * np.pi / rng.uniform(9, 16)))
    grains = _rough(rng, height, width, 6) - 0.5
    return _blend(color(hue, 0.42, 0.6), color(hue, 0.26, 0.86), ripples + grains)


def _grass(rng: np.random.Generator, height: int, width: int) -> Picture:
    hue = rng.uniform(70, 115)
    base = _blend(color(hue, 0.55, 0.22), color(hue - 8, 0.5, 0.45), _rough(rng, height, width, 16))
    blades = Image.fromarray((base * 255).astype(np.uint8))
    pen = ImageDraw.Draw(blades)
    count = height * width // 90
    roots = rng.uniform((0, 0), (width, height), (count, 2))
    tips = roots + np.stack([rng.normal(0, 3, count), -rng.uniform(5, 11, count)], axis=1)
    tones = [color(hue + rng.normal(0, 8), 0.55, rng.uniform(0.25, 0.62)) for _ in range(8)]
    fills = [(int(255 * red), int(255 * green), int(255 * blue)) for red, green, blue in tones]
    for number, ends in enumerate(np.concatenate([roots, tips], axis=1).tolist()):
        pen.line(ends, fill=fills[number % 8])
    return np.asarray(blades, np.float32) / 255


def _boards(rng: np.random.Generator, height: int, width: int) -> Picture:
    hue, board = rng.uniform(20, 36), rng.uniform(18, 30)
    y = (np.arange(height, dtype=np.float32) + rng.uniform(0, board)) / board
    tone = rng.uniform(-0.25, 0.25, int(y[-1]) + 1).astype(np.float32)[y.astype(int)][:, None]
    seam = np.clip(1.5 - board * np.minimum(y % 1, 1 - y % 1), 0, 1)[:, None]
    grain = _rough(rng, height, width, 5, stretch=9)
    wood = _blend(color(hue, 0.55, 0.38), color(hue, 0.42, 0.74), grain + tone)
    return wood * (1 - 0.6 * seam[..., None])


def _paving(rng: np.random.Generator, height: int, width: int) -> Picture:
    hue, tile = rng.uniform(0, 360), rng.uniform(22, 34)
    y = (np.arange(height, dtype=np.float32)[:, None] + rng.uniform(0, tile)) / tile
    row = np.floor(y)
    x = np.arange(width, dtype=np.float32)[None, :] / (tile * 1.5) + 0.5 * (row % 2) + 1
    tones = rng.uniform(-0.3, 0.3, (64, 64)).astype(np.float32)
    tone = tones[row.astype(int) % 64, np.floor(x).astype(int) % 64]
    gap = np.minimum(np.minimum(y % 1, 1 - y % 1), 1.5 * np.minimum(x % 1, 1 - x % 1))
    seam = np.clip(1.8 - tile * gap, 0, 1)[..., None]
    stone = _blend(color(hue, 0.1, 0.4), color(hue, 0.08, 0.72), _rough(rng, height, width, 8) + tone)
    return stone * (1 - 0.5 * seam)


def _cloth(rng: np.random.Generator, height: int, width: int) -> Picture:
    hue, period = rng.uniform(0, 360), rng.uniform(26, 44)
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None, :]
    checks = 0.25 * ((y % period > period / 2).astype(np.float32) + (x % period > period / 2))
    weave = 0.1 * np.sin(y * 2.1) * np.sin(x * 2.1)
    field = checks + weave + 0.5 * _rough(rng, height, width, 30)
    return _blend(color(hue, rng.uniform(0.15, 0.4), 0.42), color(hue + 15, rng.uniform(0.1, 0.3), 0.8), field)


GROUNDS: tuple[Callable[[np.random.Generator, int, int], Picture], ...] = (
    _soil,
    _sand,
    _grass,
    _boards,
    _paving,
    _cloth,
)


def ground(rng: np.random.Generator, height: int, width: int) -> Picture:
    """A ground of a random kind: soil, sand, grass, boards, paving or cloth; half of them turned by 90 degrees."""
    kind = GROUNDS[rng.integers(len(GROUNDS))]
    if rng.random() < 0.5:
        return kind(rng, height, width)
    return kind(rng, width, height).transpose(1, 0, 2)
