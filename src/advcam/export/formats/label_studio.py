"""Label Studio's tasks with predictions: brushes, boxes and the labels of the image, the doubtful ones first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlparse
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import numpy as np

from advcam.data.masks import voc_palette
from advcam.data.text import read_text
from advcam.errors import DataError
from advcam.export.contours import paint
from advcam.export.item import Annotated, Corrections, Item
from advcam.export.layers import Layers, class_number, named, numbering
from advcam.export.pictures import Pictures
from advcam.export.runs import brush_runs, from_brush
from advcam.io.files import writing

FILE, CONFIG = "tasks.json", "label_config.xml"
BRUSH, BOX, CLASSES, IMAGE = "mask", "box", "classes", "image"
VERSION = "advcam"


def write(found: Annotated, out: Path, pictures: Pictures) -> Path:
    """Write ``tasks.json`` and ``label_config.xml``, with ``images/`` where pictures are copied; returns the tasks.

    In Label Studio: paste the configuration into the project's labelling interface, serve the folder of the pictures
    as local storage (its path is ``LOCAL_FILES_DOCUMENT_ROOT``), import the tasks. A prediction's ``score`` is 1 less
    the doubt, so *Order by prediction score* shows first what should be looked at first.
    """
    with writing(out / CONFIG) as temporary:
        temporary.write_text(configuration(found.class_names), encoding="utf-8", newline="\n")
    with writing(out / FILE) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write("[")
        for number, item in enumerate(found):
            pictures.place(item, out / "images")
            file.write(",\n" if number else "\n")
            json.dump(task(item, found.class_names), file, ensure_ascii=False)
        file.write("\n]\n")
    return out / FILE


def configuration(class_names: Sequence[str]) -> str:
    """The labelling interface: a brush and a box for each class in the colour of the masks, and the image's labels."""
    palette = voc_palette()
    labels = "".join(
        f'    <Label value={quoteattr(name)} background="#{bytes(palette[number % 256].tolist()).hex()}"/>\n'
        for number, name in enumerate(class_names, 1)
    )
    choices = "".join(f"    <Choice value={quoteattr(name)}/>\n" for name in class_names)
    return (
        f'<View>\n  <Image name="{IMAGE}" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="{BRUSH}" toName="{IMAGE}">\n{labels}  </BrushLabels>\n'
        f'  <RectangleLabels name="{BOX}" toName="{IMAGE}">\n{labels}  </RectangleLabels>\n'
        f'  <Choices name="{CLASSES}" toName="{IMAGE}" choice="multiple">\n{choices}  </Choices>\n</View>\n'
    )


def task(item: Item, class_names: Sequence[str]) -> dict[str, Any]:
    """One task: the picture, the image's id, and what was found as a prediction."""
    result = list(_regions(item, class_names))
    scores = [shape.score for shape in item.shapes if shape.score is not None]
    score = 1 - item.doubt if item.doubt is not None else sum(scores) / len(scores) if scores else None
    prediction: dict[str, Any] = {"model_version": VERSION, "result": result}
    if score is not None:
        prediction["score"] = round(score, 4)
    return {
        "data": {
            "image": f"/data/local-files/?d={quote(item.name)}",
            "advcam_id": item.id,
            "advcam_size": list(item.size),
        },
        "predictions": [prediction],
    }


def _regions(item: Item, class_names: Sequence[str]) -> Iterator[dict[str, Any]]:
    height, width = item.size
    whole = {"to_name": IMAGE, "original_width": width, "original_height": height, "image_rotation": 0}
    for number, (shape, corners) in enumerate(item.drawn):
        name = class_names[shape.class_index]
        scored = {} if shape.score is None else {"score": round(shape.score, 4)}
        value: dict[str, Any]
        if shape.mask is not None:
            value = {"format": "rle", "rle": brush_runs(shape.mask), "brushlabels": [name]}
            head = {"id": f"m{number}", "from_name": BRUSH, "type": "brushlabels"}
        else:
            x0, y0, x1, y1 = corners
            value = {"x": 100 * x0 / width, "y": 100 * y0 / height, "rotation": 0, "rectanglelabels": [name]}
            value |= {"width": 100 * (x1 - x0) / width, "height": 100 * (y1 - y0) / height}
            head = {"id": f"b{number}", "from_name": BOX, "type": "rectanglelabels"}
        yield {**head, **whole, "value": value, **scored}
    if item.classes:
        chosen = [class_names[index] for index in item.classes]
        yield {
            **{"id": "classes", "from_name": CLASSES, "to_name": IMAGE, "type": "choices"},
            "value": {"choices": chosen},
        }


def read(path: Path, class_names: Sequence[str] | None) -> Corrections:
    """The masks of a JSON export: each task's last annotation, else its prediction. Boxes are no masks.

    Raises:
        DataError: the file is not such an export, or names a class that is not known.
    """
    file = path if path.is_file() else path / FILE
    try:
        tasks = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: this is not JSON ({error}): export the project as JSON again") from error
    whole = isinstance(tasks, list) and all(isinstance(t, dict) and isinstance(t.get("data"), dict) for t in tasks)
    if not whole:
        raise DataError(f"{file}: this is no list of tasks: export the project as JSON, not as JSON-MIN")
    listed = [name for one in tasks for region in _result(one) for name in _names(region)]
    names = numbering(class_names, _configured(file.with_name(CONFIG)) or sorted(set(listed)))
    drawn: dict[str, Layers] = {}
    tagged: dict[str, tuple[int, ...]] = {}
    untouched: set[str] = set()
    for one in tasks:
        key = _id(one["data"], file)
        where = f"{file}: {key}"
        regions = _result(one)
        chosen = [name for region in regions if region.get("type") == "choices" for name in _names(region)]
        tagged[key] = tuple(sorted({class_number(name, names, where) for name in chosen}))
        shapes = [region for region in regions if region.get("type") in ("brushlabels", "polygonlabels")]
        size = _size(one["data"], regions)
        if size is None:
            continue
        own = drawn[key] = Layers(where, size)
        if not _annotated(one):
            untouched.add(key)
        for region in shapes:
            for name in _names(region):
                draw = partial(_draw, region, own.size)
                own.shapes.append((class_number(name, names, where), draw))
    return Corrections("label-studio", names, drawn, tagged, frozenset(untouched))


def _result(one: dict[str, Any]) -> list[dict[str, Any]]:
    """The regions of a task's last annotation that was not cancelled, else of its last prediction."""
    found = _annotated(one) or [p for p in one.get("predictions") or () if isinstance(p, dict)]
    return [region for region in (found[-1].get("result") or ()) if isinstance(region, dict)] if found else []


def _annotated(one: dict[str, Any]) -> list[dict[str, Any]]:
    return [a for a in one.get("annotations") or () if isinstance(a, dict) and not a.get("was_cancelled")]


def _size(data: dict[str, Any], regions: list[dict[str, Any]]) -> tuple[int, int] | None:
    """Height and width, from a region or from what our own tasks say; None where nothing says it."""
    for region in regions:
        if region.get("original_height") and region.get("original_width"):
            return int(region["original_height"]), int(region["original_width"])
    match data.get("advcam_size"):
        case [int(height), int(width)]:
            return height, width
    return None


def _names(region: dict[str, Any]) -> list[str]:
    value = region.get("value") or {}
    return [str(name) for key in ("brushlabels", "polygonlabels", "choices") for name in value.get(key) or ()]


def _configured(file: Path) -> list[str]:
    """The class names of the configuration beside the tasks, in their order, where it is there."""
    try:
        text = file.read_text(encoding="utf-8")
        found = [] if "<!" in text else [e.get("value") or "" for e in ElementTree.fromstring(text).iter("Choice")]
    except (OSError, ElementTree.ParseError, UnicodeDecodeError):
        return []
    return found


def _draw(region: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    value = region["value"]
    if region["type"] == "polygonlabels":
        points = np.asarray(value["points"], np.float64) * np.array([size[1], size[0]]) / 100
        return paint([points], size)
    return from_brush(value["rle"], *size) > 127


def _id(data: dict[str, Any], file: Path) -> str:
    """The image's id: our own, else what the picture's address says."""
    if isinstance(data.get("advcam_id"), str):
        return named(data["advcam_id"] + ".png", str(file))
    address = urlparse(str(data.get("image") or ""))
    local = parse_qs(address.query).get("d")
    return named(local[0] if local else unquote(address.path).lstrip("/"), str(file))
