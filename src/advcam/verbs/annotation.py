"""The verbs that take masks to people and back: export, review, import, app."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from advcam.data.images import read_image
from advcam.data.transforms import normalize, resize_long_side
from advcam.errors import ModelError, SettingsError
from advcam.export import read
from advcam.export.face import FOLDER
from advcam.export.source import REVIEW, RunView, annotated, open_view
from advcam.export.write import write
from advcam.io.lock import locked
from advcam.io.progress import say
from advcam.io.share import Part
from advcam.models.checkpoint import load_classifier
from advcam.models.weights import finite
from advcam.report.wording import counted
from advcam.review.coming_back import take
from advcam.review.queue import queue
from advcam.review.table import by_image, read_table, renewed, write_table
from advcam.verbs.settings import AppVerb, ExportVerb, ImportVerb, ReviewVerb

# Longer side of an image that the classifier looks at once more, in pixels.
LOOKED = 384


def export(asked: ExportVerb) -> None:
    """Write the masks, objects or boxes of a run, or predictions, for an annotation tool."""
    view = open_view(asked.out, asked.images)
    folder = Path(asked.out) / FOLDER / asked.format if asked.to is None else Path(asked.to)
    pictures = {"auto": None, "copy": True, "reference": False}[asked.pictures]
    found = annotated(view, asked.what)
    if asked.part is not None:
        part = Part.parse(asked.part)
        folder /= part.name
        found = replace(found, ids=tuple(found.ids[place] for place in part.of(len(found))))
    path = write(found, folder, asked.format, pictures=pictures)
    say(f"export: {asked.what} of {counted(len(found), 'image')} as {asked.format}: {path}")


def review(asked: ReviewVerb) -> None:
    """Write ``review.csv``: the masks to look at first. Decisions that are there are kept."""
    root = Path(asked.out)
    view = open_view(root)
    with locked(root):
        entries = renewed(read_table(root / REVIEW), queue(view, looking(view) if asked.look else None))
        write_table(root / REVIEW, entries)
    first = list(by_image(entry for entry in entries if not entry.decision))[:3]
    say(f"review: {root / REVIEW} lists {counted(len(entries), 'mask')}; look first at {', '.join(first) or 'nothing'}")


def looking(view: RunView) -> Callable[[str], Mapping[int, float]] | None:
    """The classifier's probabilities of all classes for an image; None where the run has no classifier of them."""
    folder = view.root / "classifier"
    if not (folder / "config.json").is_file():
        return None
    classifier, names = load_classifier(folder)
    if names != view.class_names:
        return None

    def look(image_id: str) -> dict[int, float]:
        image = read_image(view.images[image_id])
        image = resize_long_side(image, LOOKED) if max(image.shape[:2]) > LOOKED else image
        pixels = torch.from_numpy(normalize(image, classifier.mean, classifier.std))[None]
        with torch.no_grad():
            return dict(enumerate(finite(classifier(pixels)[0], "the classifier's scores").sigmoid().tolist()))

    return look


def take_back(asked: ImportVerb) -> None:
    """Keep the masks and labels that were corrected in an annotation tool."""
    root = Path(asked.out)
    view = open_view(root)
    with locked(root):
        taken = take(view, read(asked.corrected, view.class_names), unchanged=asked.unchanged)
    labels = counted(len(taken.labels), "image")
    say(f"import: {counted(len(taken.masks), 'corrected mask')} and the labels of {labels}")
    if taken.same:
        say(f"import: {counted(taken.same, 'mask')} came back as they went out; --unchanged true takes them as right")
    if taken.untouched:
        say(f"import: {counted(taken.untouched, 'image')} that nobody annotated are left out")
    if taken.unknown:
        say(f"import: {counted(len(taken.unknown), 'name')} are no images of the run (the first: {taken.unknown[0]!r})")


def app(asked: AppVerb) -> None:
    """Answer on 127.0.0.1 until Ctrl-C.

    Raises:
        SettingsError: the extra ``app`` is not installed, or the port is taken.
    """
    try:
        from advcam.app import server
    except ImportError as error:
        raise SettingsError(f"the page needs the package {error.name}: pip install 'advcam[app]'") from None
    from advcam.app.explain import Explainer
    from advcam.review.desk import Desk

    root = None if asked.out is None else Path(asked.out)
    view = None if root is None else open_view(root)
    folder = asked.classifier or (None if root is None else str(root / "classifier"))
    explainer = None
    try:
        if folder is not None:
            explainer = Explainer.of_folder(folder, asked.device)
        else:
            explainer = Explainer.of_library(asked.architecture, asked.device)
    except ModelError:
        if root is None or asked.classifier is not None:
            raise
        say(f"app: {root} has no classifier yet, so there is nothing to explain with")
    desk = Desk(view) if view is not None and (view.root / REVIEW).is_file() else None
    if view is not None and desk is None:
        say(f"app: {view.root} has no queue: run `advcam review --out {view.root}` for the tab that reviews")
    say(f"app: http://{server.HOST}:{asked.port} until Ctrl-C")
    server.serve(server.build(explainer, desk, root, len(view.images) if view else 0), root, asked.port)
