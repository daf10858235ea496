"""Images, maps and outlines in a plot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from advcam.analyse.subject import Subject
from advcam.data import Record, read_mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Longer side of a picture in a plot, in pixels.
SIDE = 240


def show(
    axes: Axes,
    image: UInt8[np.ndarray, "H W 3"],
    title: str = "",
    heat: Float[np.ndarray, "h w"] | None = None,
) -> None:
    """An image, with a map over it: greyed then, and the brighter and the more opaque the higher the map is."""
    import matplotlib

    factor = min(1.0, SIDE / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    if heat is not None:
        level = np.asarray(Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
        level = level.clip(0, 1)[..., None]
        grey = small.mean(axis=2, keepdims=True).repeat(3, axis=2)
        colours = 255 * matplotlib.colormaps["inferno"](level[..., 0])[..., :3]
        opacity = 0.75 * level**0.75
        small = (grey + opacity * (colours - grey)).round().astype(np.uint8)
    axes.imshow(small, extent=(0, image.shape[1], image.shape[0], 0))
    axes.axis("off")
    if title:
        axes.set_title(title, fontsize=8)


def show_maps(
    panels: Iterable[Axes],
    subject: Subject,
    record: Record,
    class_index: int,
    maps: Iterable[Float[Tensor, "H W"]],
    titles: Iterable[str],
) -> None:
    """Maps of one class over its image, and the outline of the object where there is ground truth."""
    picture = subject.picture(record)
    inside = None if record.mask is None else read_mask(record) == class_index + 1
    for axes, heat, title in zip(panels, maps, titles, strict=True):
        show(axes, picture, title, heat.numpy())
        if inside is not None:
            contour(axes, inside, picture.shape[:2])


def contour(axes: Axes, inside: Bool[np.ndarray, "H W"], size: Sequence[int], colour: str = "white") -> None:
    """The outline of a region, on axes that show something of the given height and width."""
    if inside.any() and not inside.all():
        y, x = ((np.arange(n) + 0.5) * to / n for n, to in zip(inside.shape, size, strict=True))
        axes.contour(x, y, inside.astype(np.float32), levels=[0.5], colors=[colour], linewidths=0.9)


def box(axes: Axes, corners: Sequence[float], colour: str, **style: Any) -> None:
    """A box with the corners x0, y0, x1, y1."""
    from matplotlib.patches import Rectangle

    x0, y0, x1, y1 = corners
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1.4, **style))
