"""Where a climbed image still influences its class's score (Fig. 4): gradient saliency, and its share on the object.

Shape suffixes: N pairs of (image, class), k classes of one image, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import interpolate

from advcam.analyse.kept import Arrays, kept
from advcam.analyse.pictures import contour, show
from advcam.analyse.result import Analysis
from advcam.analyse.subject import Subject
from advcam.attribute.climb import ClimbStep, climb
from advcam.data import Record, read_mask
from advcam.models import ClassMapper

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = (0, 5, 10, 20)


def gradient_saliency(
    mapper: ClassMapper, images: Float[Tensor, "n 3 H W"], classes: Int[Tensor, " n"]
) -> Float[Tensor, "n H W"]:
    """``|d y_c / d x|``, the largest of the three channels, divided by its maximum over the image (section 4.2.2).

    >>> mapper = ClassMapper(torch.nn.Conv2d(3, 8, 3, stride=4, padding=1), torch.randn(5, 8))
    >>> gradient_saliency(mapper, torch.randn(2, 3, 32, 48), torch.tensor([0, 3])).amax(dim=(1, 2))
    tensor([1., 1.])
    """
    with mapper.frozen():
        x = images.detach().requires_grad_(True)
        scores = mapper(x)[torch.arange(len(classes)), classes]
        (gradient,) = torch.autograd.grad(scores.sum(), x)
    largest = gradient.abs().amax(dim=1)
    return largest / largest.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(largest.dtype).tiny)


def share_inside(saliency: Float[Tensor, "H W"], inside: Bool[Tensor, "H W"], counted: Bool[Tensor, "H W"]) -> float:
    """The part of the saliency of all pixels that count which lies on the object; NaN for none."""
    whole = float(saliency[counted].sum())
    return float(saliency[inside & counted].sum()) / whole if whole else float("nan")


def fig4(subject: Subject, *, steps: Sequence[int] = STEPS, shown: int = 4) -> Analysis:
    """Fig. 4: saliency of the manipulated image after some steps, at the first of the subject's scales.

    Args:
        subject: with masks, the share of the saliency on the object is told.
        steps: which ones; those beyond the climb's length are its last.
        shown: images in the plot, spread evenly over the sample.
    """
    last = subject.climb.maps - 1
    steps = tuple(sorted({min(step, last) for step in steps}))
    rows: list[dict[str, Any]] = []
    pictures: list[tuple[Record, int, np.ndarray]] = []
    drawn = {len(subject.records) * index // shown for index in range(shown)}
    for index, record in enumerate(subject.progress(subject.records, "fig4")):
        make = partial(climbed, subject, record, steps)
        arrays = kept(subject, "focus", (steps, subject.scales[0]), record, make)
        found = arrays["saliency"].astype(np.float32)
        if index in drawn:
            pictures.append((record, record.classes[0], found[0]))
        if record.mask is None:
            continue
        mask = read_mask(record)
        for class_index, own in zip(record.classes, found, strict=True):
            inside, counted = (
                interpolate(torch.from_numpy(part.astype(np.float32))[None, None], own.shape[1:])[0, 0] > 0.5
                for part in (mask == class_index + 1, mask != 255)
            )
            area = float((inside & counted).sum() / counted.sum())
            for step, saliency in zip(steps, own, strict=True):
                rows.append(
                    {"image": record.id, "class": subject.class_names[class_index], "step": step}
                    | {"share": share_inside(torch.from_numpy(saliency), inside, counted), "area": area}
                )
    numbers: dict[str, float] = {}
    if rows:
        shares = [float(np.nanmean([row["share"] for row in rows if row["step"] == step])) for step in steps]
        numbers = {f"share of saliency on the object, step {t}": share for t, share in zip(steps, shares, strict=True)}
        numbers["change of the share, first to last"] = shares[-1] - shares[0]
        numbers["share of the pixels that are object"] = float(np.mean([row["area"] for row in rows]))
    return Analysis(
        "fig4",
        "Saliency of manipulated images",
        "Gradient of the class's score by the pixels of the image after t steps, relative to its largest value; white "
        "outline: the object. The share is the part of the saliency that lies on the object.",
        rows,
        numbers,
        paper={"change of the share, first to last": "above 0 (the object stands out more clearly)"},
        facts=subject.described(),
        draw=lambda figure: draw(figure, subject, pictures, steps),
        size=(2.2 * (len(steps) + 1), 1.9 * max(1, len(pictures))),
    )


def climbed(subject: Subject, record: Record, steps: Sequence[int]) -> Arrays:
    """The saliency of each of an image's classes after some of its steps: Float[k s H W] as half precision."""
    classes = torch.tensor(record.classes, device=subject.mapper.device)
    images = subject.input_of(record).expand(len(classes), -1, -1, -1)
    found: list[Tensor] = []

    def keep(step: ClimbStep) -> None:
        if step.step in steps:
            found.append(gradient_saliency(subject.mapper, step.images[:, 0], classes).cpu())

    climb(subject.mapper, images, classes, subject.climb, on_step=keep)
    return {"saliency": torch.stack(found, dim=1).half().numpy()}


def draw(
    figure: Figure, subject: Subject, pictures: Sequence[tuple[Record, int, np.ndarray]], steps: Sequence[int]
) -> None:
    """A row for each image: itself, and its saliency after each of the steps."""
    panels = figure.subplots(len(pictures), len(steps) + 1, squeeze=False)
    for line, (record, class_index, saliency) in zip(panels, pictures, strict=True):
        show(line[0], subject.picture(record), subject.class_names[class_index])
        for axes, step, one in zip(line[1:], steps, saliency, strict=True):
            # Few pixels reach the maximum: brighter below it.
            axes.imshow(one**0.5, cmap="inferno", vmin=0, vmax=1)
            axes.axis("off")
            axes.set_title(f"t = {step}", fontsize=8)
            if record.mask is not None:
                contour(axes, read_mask(record) == class_index + 1, one.shape)
