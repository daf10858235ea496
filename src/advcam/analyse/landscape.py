"""The loss around an image, along the climb, along an attack, and along random directions (Fig. 3).

Shape suffixes: N images, A steps along the direction, B along the random one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from advcam.analyse.kept import Arrays, kept
from advcam.analyse.plot import colour
from advcam.analyse.result import Analysis
from advcam.analyse.subject import Subject
from advcam.models import ClassMapper

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Points along each of the two directions, and how many of the climb's steps the farthest one is away.
POINTS, REACH = 7, 10.0


@dataclass(frozen=True)
class Landscape:
    """Classification loss at ``x + a n + b r``: a from 0 along the direction, b from one side to the other of x."""

    losses: Float[Tensor, "A B"]

    @property
    def slope(self) -> float:
        """Mean change between neighbours in either direction: 0 on a plain."""
        along, across = (self.losses.diff(dim=dim).abs().mean() for dim in (0, 1))
        return float((along + across) / 2)

    @property
    def curvature(self) -> float:
        """Mean size of the second difference along the direction: 0 on a slope as on a plain."""
        return float(self.losses.diff(n=2, dim=0).abs().mean())


def landscapes(
    mapper: ClassMapper,
    image: Float[Tensor, "1 3 H W"],
    labels: Float[Tensor, "1 K"],
    reach: float,
    points: int = POINTS,
    seed: int = 0,
) -> tuple[Landscape, Landscape]:
    """The landscapes of one image along the climb and along the attack (section 4.2.2, after Moosavi-Dezfooli).

    The normal vector is the gradient of the loss, its largest entry 1, as the released climb scales it; climbing goes
    against it and the attack with it. The random vector has entries of both signs and the same length.

    Args:
        mapper: the classifier.
        image: in the network's input space.
        labels: 1 for the image's classes, else 0; the loss is the mean binary cross-entropy of the sigmoids.
        reach: distance of the farthest point along the direction, in units of the input.
        points: in each direction.
        seed: of the random vector.
    """
    with mapper.frozen():
        x = image.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(binary_cross_entropy_with_logits(mapper(x), labels), x)
        normal = gradient / gradient.abs().max().clamp(min=1e-12)
        generator = torch.Generator().manual_seed(seed)
        signs = torch.randint(0, 2, image.shape, generator=generator).to(image) * 2 - 1
        random = signs * normal.norm() / signs.norm()
        along, across = (torch.linspace(low, reach, points).tolist() for low in (0.0, -reach))
        found = []
        for sign in (-1.0, 1.0):
            rows = []
            for a in along:
                moved = torch.cat([image + sign * a * normal + b * random for b in across])
                with torch.no_grad():
                    logits = mapper(moved)
                target = labels.expand_as(logits)
                rows.append(binary_cross_entropy_with_logits(logits, target, reduction="none").mean(dim=1))
            found.append(Landscape(torch.stack(rows).cpu()))
    return found[0], found[1]


def fig3(subject: Subject, *, reach: float = REACH) -> Analysis:
    """Fig. 3: mean loss landscape of the images, and how flat it is on either side.

    Args:
        subject: images and classifier, at the first of its scales.
        reach: how many of the climb's steps the farthest point is away.
    """
    distance = reach * subject.climb.step_size
    rows: list[dict[str, Any]] = []
    surfaces: dict[str, list[Landscape]] = {"climb": [], "attack": []}
    for record in subject.progress(subject.records, "fig3"):

        def make(record: Any = record) -> Arrays:
            image = subject.input_of(record)
            labels = torch.zeros(1, len(subject.class_names), device=image.device, dtype=image.dtype)
            labels[0, list(record.classes)] = 1
            climb, attack = landscapes(subject.mapper, image, labels, distance)
            return {"climb": climb.losses.numpy(), "attack": attack.losses.numpy()}

        arrays = kept(subject, "landscape", (distance, POINTS, subject.scales[0]), record, make)
        for kind, found in surfaces.items():
            found.append(Landscape(torch.from_numpy(arrays[kind])))
            losses = {"loss at x": found[-1].losses[0, POINTS // 2], "loss at the end": found[-1].losses[-1].mean()}
            flatness = {"slope": found[-1].slope, "curvature": found[-1].curvature}
            rows.append(
                {"image": record.id, "side": kind, **flatness, **{name: float(one) for name, one in losses.items()}}
            )
    numbers = {
        f"{name}, {kind}": float(np.mean([row[name] for row in rows if row["side"] == kind]))
        for kind in surfaces
        for name in ("slope", "curvature", "loss at the end")
    }
    numbers["slope of the attack against the climb"] = numbers["slope, attack"] / max(numbers["slope, climb"], 1e-12)
    means = {kind: torch.stack([one.losses for one in found]).mean(dim=0) for kind, found in surfaces.items()}
    return Analysis(
        "fig3",
        "Loss landscape along the climb and along an attack",
        "Mean classification loss at x + a n + b r, with n the loss's normal vector (climbing: against it) and r a "
        "random vector of the same length; the star is the image. Flatness: mean change between neighbours (slope).",
        rows,
        numbers,
        paper={"slope of the attack against the climb": "above 1 (the climb's side is flatter)"},
        facts=subject.described(),
        draw=lambda figure: draw(figure, means, distance),
        size=(9.0, 4.2),
    )


def draw(figure: Figure, means: dict[str, Tensor], distance: float) -> None:
    """Both surfaces on one scale of heights."""
    a, b = np.meshgrid(np.linspace(0, distance, POINTS), np.linspace(-distance, distance, POINTS), indexing="ij")
    top = max(float(surface.max()) for surface in means.values())
    for index, (kind, surface) in enumerate(means.items()):
        axes: Any = figure.add_subplot(1, 2, index + 1, projection="3d")
        axes.plot_surface(a, b, surface.numpy(), cmap="cividis", vmin=0, vmax=top, linewidth=0.3, edgecolor="#555555")
        start = float(surface[0, POINTS // 2])
        axes.scatter(
            [0], [0], [start], marker="*", s=160, color=colour(4), edgecolor="black", depthshade=False, zorder=9
        )
        axes.set_zlim(0, top)
        axes.set(xlabel="a, along n", ylabel="b, along r", zlabel="loss")
        axes.set_title(f"({'ab'[index]}) adversarial {kind}", fontsize=10)
        axes.view_init(elev=24, azim=-58)
        axes.computed_zorder = False
        axes.locator_params(axis="x", nbins=4)
        axes.locator_params(axis="y", nbins=4)
        axes.set_box_aspect(None, zoom=0.82)
