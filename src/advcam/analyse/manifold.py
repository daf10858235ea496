"""Where a climb leads among the features of other images (Fig. 16).

Shape suffixes: N images, T steps, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from advcam.analyse.kept import Arrays, kept
from advcam.analyse.plot import colour, dress
from advcam.analyse.result import Analysis
from advcam.analyse.subject import Subject
from advcam.attribute.climb import ClimbStep, climb
from advcam.data import Record
from advcam.errors import DataError, SettingsError
from advcam.models import ClassMapper

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("image", "climb")


def pooled_features(mapper: ClassMapper, images: Float[Tensor, "n 3 H W"]) -> Float[Tensor, "n C"]:
    """The feature maps before the head, averaged over their cells."""
    with mapper.frozen(), torch.no_grad():
        return mapper.features(images).mean(dim=(2, 3))


def drift(features: Float[np.ndarray, "n C"], trajectory: Float[np.ndarray, "t C"]) -> tuple[float, float]:
    """Distance of a trajectory's beginning and of its end to the nearest image of its class, as a part of the
    median distance between nearest images: up to about 1 it has not left the class's features.

    >>> drift(np.array([[0.0], [1.0], [2.0]]), np.array([[0.5], [4.0]]))
    (0.5, 2.0)
    """
    between = np.linalg.norm(features[:, None] - features[None], axis=2)
    np.fill_diagonal(between, np.inf)
    unit = float(np.median(between.min(axis=1)))
    nearest = np.linalg.norm(trajectory[[0, -1], None] - features[None], axis=2).min(axis=1) / max(unit, 1e-12)
    return float(nearest[0]), float(nearest[1])


def fig16(subject: Subject, *, classes: Sequence[str] | None = None, seed: int = 0) -> Analysis:
    """Fig. 16: features of the images of two classes and the trajectory of one climb of each, reduced by t-SNE.

    Images of a single class that the classifier recognises take part; the one that is climbed is the one with the
    median score of its class. At the first of the subject's scales. Needs scikit-learn: ``advcam[analyse]``.

    Args:
        subject: the sample must hold images of both classes alone.
        classes: two names; the paper's "bird" and "cat" where they are classes, else the two with the most images.
        seed: of t-SNE.

    Raises:
        DataError: fewer than three images of one of the classes.
        SettingsError: scikit-learn is missing.
    """
    single = [record for record in subject.records if len(record.classes) == 1]
    names = tuple(classes) if classes else two_classes(subject, single)
    pair = [subject.class_names.index(name) for name in names]
    found: dict[int, list[tuple[Record, np.ndarray, float]]] = {index: [] for index in pair}
    wanted = [record for record in single if record.classes[0] in pair]
    for record in subject.progress(wanted, "fig16"):
        arrays = kept(subject, "features", subject.scales[0], record, partial(own_features, subject, record))
        if int(arrays["scores"].argmax()) == record.classes[0]:
            score = float(arrays["scores"][record.classes[0]])
            found[record.classes[0]].append((record, arrays["features"], score))
    for index, own in found.items():
        if len(own) < 3:
            name = subject.class_names[index]
            what = f"three images that hold {name} alone and are recognised"
            raise DataError(f"fig16 needs {what}, and has {len(own)}: take more images")
    rows: list[dict[str, Any]] = []
    numbers: dict[str, Any] = {}
    points: list[np.ndarray] = []
    for place, (index, own) in enumerate(found.items()):
        name, other = subject.class_names[index], pair[1 - place]
        record = sorted(own, key=lambda one: one[2])[len(own) // 2][0]
        path = kept(subject, "trajectory", subject.scales[0], record, partial(trajectory, subject, record))
        features = np.stack([one[1] for one in own])
        others = np.stack([one[1] for one in own if one[0] is not record])
        begin, end = drift(others, path["features"])
        margin = path["scores"][:, index] - path["scores"][:, other]
        numbers |= {
            f"{name}: images": len(own),
            f"{name}: distance to its class at the beginning": begin,
            f"{name}: distance to its class at the end": end,
            f"{name}: margin to the other class at the beginning": float(margin[0]),
            f"{name}: margin to the other class at the end": float(margin[-1]),
        }
        points += [features, path["features"]]
        rows += [{"class": name, "kind": "image", "image": one[0].id, "step": None} for one in own]
        rows += [{"class": name, "kind": "climb", "image": record.id, "step": t} for t in range(len(margin))]
    plane = reduced(np.concatenate(points), seed)
    rows = [row | {"x": float(x), "y": float(y)} for row, (x, y) in zip(rows, plane, strict=True)]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        dress(axes, "first t-SNE coordinate", "second t-SNE coordinate")
        for place, name in enumerate(names):
            own = {kind: [row for row in rows if (row["class"], row["kind"]) == (name, kind)] for kind in KINDS}
            (x, y), (path_x, path_y) = ([[row[side] for row in own[kind]] for side in "xy"] for kind in KINDS)
            look: dict[str, Any] = {"color": colour(place)}
            axes.scatter(x, y, s=22, alpha=0.45, label=name, marker="os"[place], linewidths=0, **look)
            axes.plot(path_x, path_y, linewidth=1.2, marker=".", markersize=4, **look)
            star: dict[str, Any] = {
                "marker": "*",
                "edgecolor": "black",
                "zorder": 3,
                "label": f"{name}, x⁰ of the climb",
            }
            axes.scatter(path_x[:1], path_y[:1], s=130, **star, **look)
        axes.legend(frameon=False, fontsize=8)

    return Analysis(
        "fig16",
        "Trajectory of the climb among the features",
        "Pooled features of images of two classes and of one image of each while it is climbed (star: the image "
        "itself), reduced by t-SNE. Distances are to the nearest image of the class, in the median distance between "
        "nearest images.",
        rows,
        numbers,
        paper={f"{name}: distance to its class at the end": "about 1: it stays among its class" for name in names},
        facts=subject.described(),
        draw=draw,
        size=(6.4, 5.2),
    )


def two_classes(subject: Subject, single: Sequence[Record]) -> tuple[str, ...]:
    """The paper's two classes, else those with the most images of one class."""
    if {"bird", "cat"} <= set(subject.class_names):
        return "bird", "cat"
    counts = np.bincount([record.classes[0] for record in single], minlength=len(subject.class_names))
    return tuple(subject.class_names[index] for index in np.argsort(-counts, kind="stable")[:2])


def own_features(subject: Subject, record: Record) -> Arrays:
    image = subject.input_of(record)
    with subject.mapper.frozen(), torch.no_grad():
        scores = subject.mapper(image)
    return {"features": pooled_features(subject.mapper, image)[0].cpu().numpy(), "scores": scores[0].cpu().numpy()}


def trajectory(subject: Subject, record: Record) -> Arrays:
    """Pooled features and scores of an image at every step of its climb."""
    features, scores = [], []

    def keep(step: ClimbStep) -> None:
        features.append(pooled_features(subject.mapper, step.images[:, 0])[0].cpu())
        with torch.no_grad():
            scores.append(subject.mapper(step.images[:, 0])[0].cpu())

    target = torch.tensor(record.classes, device=subject.mapper.device)
    climb(subject.mapper, subject.input_of(record), target, subject.climb, on_step=keep)
    return {"features": torch.stack(features).numpy(), "scores": torch.stack(scores).numpy()}


def reduced(features: Float[np.ndarray, "n C"], seed: int) -> Float[np.ndarray, "n 2"]:
    """Two coordinates by t-SNE, the same ones for the same seed."""
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise SettingsError("fig16 needs scikit-learn: pip install 'advcam[analyse]'") from None
    perplexity = min(30.0, (len(features) - 1) / 3)
    tsne = TSNE(n_components=2, perplexity=perplexity, init="pca", random_state=seed)
    return tsne.fit_transform(features.astype(np.float64)).astype(np.float64)
