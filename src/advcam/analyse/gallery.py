"""Results and failures to look at, chosen by a rule and never by hand (Figs. 7 to 10 and 13)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import UInt8

from advcam.analyse.climbs import all_steps, fused, maps_of
from advcam.analyse.localization import best_box
from advcam.analyse.pictures import box, show, show_maps
from advcam.analyse.result import Analysis
from advcam.analyse.seeds import seed_curve
from advcam.analyse.subject import Subject
from advcam.data import image_size, read_mask, voc_palette
from advcam.data.images import open_picture
from advcam.errors import DataError
from advcam.evaluate import BoxAccSettings, BoxAccuracy
from advcam.evaluate.validation import true_corners

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 8


@dataclass(frozen=True)
class Pair:
    """One image and class: how well the plain map and the climbed one fit, in [0, 1], and how large the object is."""

    image: str
    class_index: int
    cam: float
    advcam: float
    size: float

    @property
    def gain(self) -> float:
        return self.advcam - self.cam


def largest_gains(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """Half of them from the smaller half of the objects, half from the larger: of each the largest gains (Fig. 7)."""
    ranked = sorted(pairs, key=lambda pair: pair.size)
    half = len(ranked) // 2
    parts = (ranked[:half], ranked[half:])
    wanted = (count // 2, count - count // 2)
    return [
        pair
        for part, some in zip(parts, wanted, strict=True)
        for pair in sorted(part, key=lambda pair: -pair.gain)[:some]
    ]


def largest_losses(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """Those that climbing harms most (Fig. 13); where it harms none, the one that gains least."""
    ranked = sorted(pairs, key=lambda pair: pair.gain)
    return [pair for pair in ranked if pair.gain < 0][:count] or ranked[:1]


Rule = Callable[[Sequence[Pair], int], list[Pair]]


def fig7(subject: Subject, *, shown: int = SHOWN) -> Analysis:
    """Fig. 7: the plain and the climbed map of the pairs that gain most, half small objects and half large ones.

    Raises:
        DataError: an image has no ground truth.
    """
    title = "Maps of the pairs that gain most"
    return map_gallery(subject, "fig7", title, largest_gains, shown)


def fig13(subject: Subject, *, shown: int = SHOWN) -> Analysis:
    """Fig. 13: the pairs that climbing harms most; by boxes where the images have boxes and no masks.

    Raises:
        DataError: an image has neither.
    """
    kind = map_gallery if subject.has_masks else box_gallery
    return kind(subject, "fig13", "Failures: the pairs that climbing harms most", largest_losses, shown)


def fig10(subject: Subject, *, shown: int = SHOWN) -> Analysis:
    """Fig. 10: boxes of the plain and of the climbed map, of the images that gain most.

    Raises:
        DataError: an image has no box of its class.
    """
    return box_gallery(subject, "fig10", "Boxes of the images that gain most", largest_gains, shown)


def map_gallery(subject: Subject, name: str, title: str, rule: Rule, shown: int) -> Analysis:
    """Maps of the pairs that a rule chooses by the overlap of their seeds with the objects."""
    subject.need_masks(name)
    steps = (0, subject.climb.maps - 1)
    curve = seed_curve(subject, name, steps)
    levels = [sweep.best_threshold for sweep in curve.sweeps]
    pairs = []
    for record, scales in all_steps(subject, name):
        mask = read_mask(record)
        maps = fused(scales, image_size(record.image), steps)
        for place, index in enumerate(record.classes):
            inside, counted = mask == index + 1, mask != 255
            if inside.any():
                overlaps = [
                    iou(found[place].numpy() > level, inside, counted)
                    for found, level in zip(maps, levels, strict=True)
                ]
                pairs.append(Pair(record.id, index, overlaps[0], overlaps[1], float(inside.sum() / counted.sum())))
    chosen = rule(pairs, shown)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(3, max(1, len(chosen)), squeeze=False)
        for column, pair in enumerate(chosen):
            (record,) = (record for record in subject.records if record.id == pair.image)
            maps = maps_of(subject, record, steps)[:, record.classes.index(pair.class_index)]
            show(panels[0, column], subject.picture(record), subject.class_names[pair.class_index])
            titles = (f"CAM, IoU {100 * pair.cam:.0f}", f"AdvCAM, IoU {100 * pair.advcam:.0f}")
            show_maps(panels[1:, column], subject, record, pair.class_index, maps, titles)

    return finished(
        subject, name, title, pairs, chosen, draw, "overlap of the seed with the object, at the best threshold"
    )


def box_gallery(subject: Subject, name: str, title: str, rule: Rule, shown: int) -> Analysis:
    """Boxes of the images that a rule chooses by the overlap of their boxes with the true one."""
    subject = subject.with_boxes(name)
    steps = (0, subject.climb.maps - 1)
    accuracies = [BoxAccuracy(BoxAccSettings((50,))) for _ in steps]
    found = {}
    for record, scales in all_steps(subject, name):
        size = image_size(record.image)
        found[record.id] = raw = [one[0] for one in fused(scales, size, steps)]
        for accuracy, one in zip(accuracies, raw, strict=True):
            accuracy.update(one, true_corners(record), size, name=record.id)
    levels = [accuracy.compute().thresholds[50] for accuracy in accuracies]
    boxes = {}
    pairs = []
    for record in subject.records:
        truth, (height, width) = true_corners(record), image_size(record.image)
        own = [
            best_box(one, truth, (height, width), level) for one, level in zip(found[record.id], levels, strict=True)
        ]
        boxes[record.id] = own
        area = max((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in truth) / (height * width)
        pairs.append(Pair(record.id, record.classes[0], own[0].iou, own[1].iou, area))
    found.clear()
    chosen = rule(pairs, shown)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(2, max(1, len(chosen)), squeeze=False)
        for column, pair in enumerate(chosen):
            (record,) = (record for record in subject.records if record.id == pair.image)
            picture, (height, width) = subject.picture(record), image_size(record.image)
            factor = np.array([picture.shape[1], picture.shape[0]] * 2)
            maps = maps_of(subject, record, steps)[:, 0]
            for line, (heat, label, own) in enumerate(zip(maps, ("CAM", "AdvCAM"), boxes[pair.image], strict=True)):
                axes = panels[line, column]
                show(axes, picture, f"{label}, IoU {100 * own.iou:.0f}", heat.numpy())
                for corners in true_corners(record):
                    box(axes, (np.array(corners) / [width, height, width, height] * factor).tolist(), "#56B4E9")
                box(axes, (np.array(own.box) * factor).tolist(), "#009E73", linestyle="--")

    what = "overlap of the box that fits best, at the threshold that is best for 50 %; solid: true box, dashed: found"
    return finished(subject, name, title, pairs, chosen, draw, what)


def finished(
    subject: Subject,
    name: str,
    title: str,
    pairs: Sequence[Pair],
    chosen: Sequence[Pair],
    draw: Callable[[Figure], None],
    what: str,
) -> Analysis:
    rows: list[dict[str, Any]] = [
        {"image": pair.image, "class": subject.class_names[pair.class_index], "object size": pair.size}
        | {"cam": 100 * pair.cam, "advcam": 100 * pair.advcam, "gain": 100 * pair.gain, "shown": pair in chosen}
        for pair in pairs
    ]
    gains = [row["gain"] for row in rows]
    numbers = {
        "pairs": len(rows),
        "part that gains": float(np.mean([gain > 0 for gain in gains])),
        "part that loses": float(np.mean([gain < 0 for gain in gains])),
        "mean gain": float(np.mean(gains)),
    }
    return Analysis(
        name,
        title,
        f"{len(chosen)} of {len(pairs)} pairs of image and class, chosen by rule; {sum(gain < 0 for gain in gains)} of "
        f"all lose by climbing. IoU: {what}.",
        rows,
        numbers,
        facts=subject.described(),
        draw=draw,
        size=(1.7 * max(3, len(chosen)), 4.6),
    )


def iou(found: np.ndarray, inside: np.ndarray, counted: np.ndarray) -> float:
    """Intersection over union of two regions among the pixels that count."""
    union = float(((found | inside) & counted).sum())
    return float((found & inside & counted).sum()) / union if union else 0.0


def fig8(subject: Subject, folders: Mapping[str, Path], *, shown: int = SHOWN, name: str = "fig8") -> Analysis:
    """Figs. 8 and 9: masks of several kinds beside the truth, at even distances from the best to the worst image.

    Args:
        subject: its images need masks.
        folders: a name for each kind, and the folder with its indexed PNG by image id; those that have none of the
            images are left out. The last one ranks the images, by the mean IoU of the labels in their truth or mask.
        shown: images in the plot.
        name: of the figure.

    Raises:
        DataError: an image has no ground truth, or no image has all kinds.
    """
    from advcam.evaluate import segmentation

    subject.need_masks(name)
    labels = len(subject.class_names) + 1
    rows: list[dict[str, Any]] = []
    every = folders
    # A network may have labelled other images than those that are looked at.
    folders = {k: f for k, f in folders.items() if any((f / f"{record.id}.png").exists() for record in subject.records)}
    for record in subject.progress(subject.records if folders else (), name):
        paths = {kind: folder / f"{record.id}.png" for kind, folder in folders.items()}
        if all(path.exists() for path in paths.values()):
            truth = torch.from_numpy(read_mask(record))
            scores = {
                kind: 100 * segmentation([torch.from_numpy(indices(path))], [truth], labels).miou
                for kind, path in paths.items()
            }
            rows.append({"image": record.id, **scores})
    if not rows:
        raise DataError(f"{name} compares masks, and no image has one in each of {', '.join(map(str, every.values()))}")
    ranked = sorted(rows, key=lambda row: -row[list(folders)[-1]])
    count = min(shown, len(ranked))
    chosen = [ranked[round(index * (len(ranked) - 1) / max(1, count - 1))] for index in range(count)]

    def draw(figure: Figure) -> None:
        panels = figure.subplots(2 + len(folders), len(chosen), squeeze=False)
        for column, row in enumerate(chosen):
            (record,) = (record for record in subject.records if record.id == row["image"])
            show(panels[0, column], subject.picture(record))
            show(panels[1, column], voc_palette()[read_mask(record)], "truth")
            for line, (kind, folder) in enumerate(folders.items(), 2):
                title = f"{kind}, {row[kind]:.0f}"
                show(panels[line, column], voc_palette()[indices(folder / f"{record.id}.png")], title)

    return Analysis(
        name,
        "Masks beside the truth",
        f"{count} of {len(rows)} images at even distances from the best to the worst; mIoU of the image's own labels.",
        rows,
        {f"mean of the images' mIoU, {kind}": float(np.mean([row[kind] for row in rows])) for kind in folders},
        facts=subject.described(),
        draw=draw,
        size=(1.7 * max(3, len(chosen)), 1.5 * (2 + len(folders))),
    )


def fig9(subject: Subject, folders: Mapping[str, Path], *, shown: int = SHOWN) -> Analysis:
    """Fig. 9, which is Fig. 8 on MS COCO."""
    return fig8(subject, folders, shown=shown, name="fig9")


def indices(path: Path) -> UInt8[np.ndarray, "H W"]:
    with open_picture(path) as image:
        return np.array(image)
