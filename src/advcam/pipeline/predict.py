"""The verb that lets a trained network label the images of a folder."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, fields
from pathlib import Path

from advcam.data.ids import image_id
from advcam.data.images import IMAGE_SUFFIXES
from advcam.data.listing import list_images
from advcam.errors import DataError, SettingsError
from advcam.pipeline.labelling import Labeller, ready
from advcam.pipeline.predictions import AREAS_FILE, LEFT_OUT_FILE, Predictions
from advcam.pipeline.progress import progress, say
from advcam.pipeline.run import choose_device
from advcam.pipeline.settings import PredictVerb
from advcam.segment.checkpoint import fingerprint, load
from advcam.segment.inference_settings import InferenceSettings

# Threads that draw and write while the network works on.
WRITERS = 2


def predict(asked: PredictVerb) -> None:
    """Write masks, overlays and a table of areas for the images of a folder.

    What is there already, made by the same network with the same settings, is kept.

    Raises:
        SettingsError: no network is named.
        DataError: there is no image, or none that can be read.
        ModelError: there is no such network.
        RunError: the folder holds something else, or predictions made otherwise and not ``overwrite``.
    """
    if asked.model is None:
        raise SettingsError("no network is named: give --model RUN, a run folder whose stage segment is done")
    segmenter = ready(load(asked.model), choose_device(asked.device))
    out = Predictions(Path(asked.out), segmenter.class_names, asked.overlays)
    every = files = images_of(Path(asked.images), out)
    if asked.limit is not None and asked.limit < len(files):
        names = list(files)
        files = {name: files[name] for name in names[:: -(-len(names) // asked.limit)]}
    inference = InferenceSettings(**{field.name: getattr(asked, field.name) for field in fields(InferenceSettings)})
    settings = {"network": fingerprint(asked.model), "classes": segmenter.class_names, **asdict(inference)}
    out.prepare(settings, asked.overwrite)
    done = {name for name, path in files.items() if out.has(name, path)}
    if done:
        say(f"predict: {len(done)} of {len(files)} images are there already and kept")

    def note(image_id: str, error: DataError) -> None:
        # Of those that only fill a batch nothing is said.
        if image_id in files:
            out.note_unreadable(image_id, error)

    labeller = Labeller(segmenter, inference, note)
    try:
        with out.table() as table, progress("predict", len(files), len(done)) as advance:
            for name in files:
                if name in done:
                    table.add(name, out.counts(name))
            for name, counts in label(every, files.keys() - done, labeller, out):
                table.add(name, counts)
                advance()
            advance(len(out.left_out))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"what is done is kept in {asked.out}") from None
    if not out.left_out:
        (out.root / LEFT_OUT_FILE).unlink(missing_ok=True)
    elif len(out.left_out) == len(files):
        reason = next(iter(out.left_out.values()))
        raise DataError(f"{asked.images}: none of the {len(files)} images can be read (first: {reason})")
    else:
        say(f"predict: {len(out.left_out)} of {len(files)} cannot be read: {out.list_unreadable()} lists them")
    say(f"predict: masks, {'overlays ' if asked.overlays else ''}and {AREAS_FILE} are in {asked.out}")


def images_of(path: Path, out: Predictions) -> dict[str, Path]:
    """The images of a folder and its sub-folders, or the one that is named, by id; those without a sound name go to
    the list of what cannot be read."""
    if path.is_file():
        return {image_id(path.name): path}
    if not path.is_dir():
        raise DataError(f"{path}: there is no such folder of images: correct the path")
    inside = out.root.resolve().is_relative_to(path.resolve())
    own = (out.root.resolve().relative_to(path.resolve()).as_posix(),) if inside else ()
    listing = list_images(path, without=own)
    for problem in listing.problems:
        out.left_out[problem.file] = problem.message
    files: dict[str, Path] = {}
    for name, names in listing.ids.items():
        files[name] = path / names[0]
        for other in names[1:]:
            out.left_out[other] = f"{path / other}: {names[0]} has the same name but for its ending: rename one of them"
    if not files:
        raise DataError(f"{path}: there is no image ({', '.join(IMAGE_SUFFIXES[:6])}, ...) in this folder")
    return files


def label(
    files: dict[str, Path], wanted: Set[str], labeller: Labeller, out: Predictions
) -> Iterator[tuple[str, list[int]]]:
    """Label the images and write those that are wanted; gives each one's id and its pixels by label once its files are
    there. The batches are planned over all of them."""
    waiting: deque[Future[tuple[str, list[int]]]] = deque()
    with ThreadPoolExecutor(WRITERS) as pool:
        try:
            for batch in labeller.label(labeller.units(files.items()), files.__getitem__, wanted):
                waiting.extend(pool.submit(out.write, found) for found in batch)
                while len(waiting) > 2 * WRITERS or (waiting and waiting[0].done()):
                    yield waiting.popleft().result()
        finally:
            # Also after Ctrl-C: what the threads have begun is finished, and counted.
            yield from (future.result() for future in waiting)
