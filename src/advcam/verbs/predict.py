"""What is done with a trained segmentation network: new images are labelled, or it is handed on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from advcam.data.classes import BACKGROUND
from advcam.data.ids import image_id
from advcam.data.images import IMAGE_SUFFIXES, image_size, open_picture, read_image
from advcam.data.listing import list_images
from advcam.data.masks import resized_labels, voc_palette, write_mask
from advcam.data.record import Record
from advcam.data.transforms import resize_long_side
from advcam.errors import DataError, RunError, SettingsError
from advcam.io.files import read_json, read_table, remove, remove_leftovers, write_json, write_table, writing
from advcam.io.keys import differences, key_of, plain
from advcam.io.ledger import Fingerprints, Ledger, Line, of_parts
from advcam.io.progress import progress, say
from advcam.io.share import Mark, Part
from advcam.models.stored import CONFIG_NAME, WEIGHTS_NAME
from advcam.pipeline.engines import go_through, one_core_each
from advcam.pipeline.parts import Outcome, Plan
from advcam.pipeline.predictions import LabelWork, batches_of, on_device
from advcam.pipeline.run import KEYS, choose_device, spread
from advcam.report.overlays import mask_overlay
from advcam.segment.checkpoint import find_folder, fingerprint, load
from advcam.segment.settings import InferenceSettings
from advcam.verbs.settings import ExportVerb, PredictVerb

SETTINGS_FILE, AREAS_FILE, LEFT_OUT_FILE = "predict.json", "areas.csv", "left_out.csv"
AREA_COLUMNS = ("image", "class", "label", "pixels", "fraction")
MASKS, OVERLAYS = "masks", "overlays"
# A longer side than this, in pixels, is reduced in an overlay.
OVERLAY_SIDE = 1280
ONNX_NAME = "model.onnx"


def predict(asked: PredictVerb) -> None:
    """Write masks, overlays and a table of areas for the images of a folder.

    What is there already, made by the same network with the same settings from the same pictures, is kept.

    Raises:
        SettingsError: no network is named.
        DataError: there is no image, or none that can be read.
        ModelError: there is no such network.
        RunError: the folder holds something else, or predictions made otherwise and not ``overwrite``.
    """
    if asked.model is None:
        raise SettingsError("no network is named: give --model RUN, a run folder whose stage segment is done")
    device = choose_device(asked.device)
    segmenter = on_device(load(asked.model), device)
    inference = InferenceSettings(**{field.name: getattr(asked, field.name) for field in fields(InferenceSettings)})
    settings = {"network": fingerprint(asked.model), "classes": segmenter.class_names, **asdict(inference)}
    part = None if asked.part is None else Part.parse(asked.part)
    out = Predictions(Path(asked.out), segmenter.class_names, asked.overlays, key_of(settings), part)
    every = images_of(Path(asked.images), out)
    out.prepare(settings, asked.overwrite)
    # The batches are planned over all of them: rounding depends on the batch.
    records = [Record(name, path, ()) for name, path in every.items()]
    plan = Plan(records, lambda block: batches_of(segmenter, inference, sized(block, out)))
    batches = plan.of() if part is None else list(plan.of(part))
    names = set(spread(list(every), asked.limit))
    if part is not None:
        names &= {record.id for batch in batches for record in batch.records}
    files = {name: path for name, path in every.items() if name in names}
    missing = out.missing(files)
    if len(missing) < len(files):
        say(f"predict: {len(files) - len(missing)} of {len(files)} images are there already and kept")
    ready = [segmenter]

    def work() -> LabelWork:
        network = ready.pop() if ready else on_device(load(str(asked.model)), device)
        return LabelWork(network, inference, MASKS, out.read, out.write)

    reduced = False
    try:
        with progress("predict", len(files), len(files) - len(missing)) as advance, one_core_each() as cores:
            mine = (batch for batch in batches if any(record.id in missing for record in batch.records))
            for batch, outcome in go_through(work, mine, missing, cores, on_gpu=device.type == "cuda"):
                out.note(outcome)
                advance(sum(record.id in missing for record in batch.records))
                reduced |= not inference.window and max(batch.size or (0,)) > inference.max_side
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"what is done is kept in {asked.out}") from None
    finally:
        out.fingerprints.keep()
        if part is None:
            out.write_areas(every)
    if reduced:
        say(f"predict: images longer than {inference.max_side} pixels are reduced: --window keeps their own size")
    if part is not None:
        Mark(str(part), len(missing), problems=list(out.left_out.values())).write(of_parts(out.ledger.path))
        say(f"predict: part {part} is done; after all of them the same command without --part writes {AREAS_FILE}")
        return
    left_out = {name: reason for name, reason in out.left_out.items() if name in files or name not in every}
    total = len(files) + sum(name not in every for name in left_out)
    if len(left_out) == total:
        reason = next(iter(left_out.values()))
        raise DataError(f"none of the {total} images can be read (first: {reason})", asked.images)
    # Those that this command did not look at stay as they are listed.
    listed = {n: reason for n, reason in out.listed().items() if n in every and n not in files} | left_out
    if listed:
        write_table(out.root / LEFT_OUT_FILE, [("image", "reason"), *listed.items()])
    else:
        (out.root / LEFT_OUT_FILE).unlink(missing_ok=True)
    if left_out:
        say(f"predict: {len(left_out)} of {total} cannot be read: {out.root / LEFT_OUT_FILE} lists them")
    say(f"predict: masks, {'overlays ' if asked.overlays else ''}and {AREAS_FILE} are in {asked.out}")


def sized(records: Iterable[Record], out: Predictions) -> Iterator[tuple[Record, tuple[int, int]]]:
    """Images with their sizes; those whose header cannot be read are noted."""
    for record in records:
        try:
            yield record, out.fingerprints.shape(record.id, record.image, image_size)
        except DataError as error:
            out.note_unreadable(record.id, error)


def images_of(path: Path, out: Predictions) -> dict[str, Path]:
    """The images of a folder and its sub-folders, or the one that is named, by id; those without a sound name go to
    the list of what cannot be read. Masks beside the images are none."""
    if path.is_file():
        return {image_id(path.name): path}
    if not path.is_dir():
        raise DataError("there is no such folder of images: correct the path", path)
    inside = out.root.resolve().is_relative_to(path.resolve())
    own = (out.root.resolve().relative_to(path.resolve()).as_posix(),) if inside else ()
    listing = list_images(path, without=(*own, MASKS))
    for problem in listing.problems:
        out.left_out[problem.file] = problem.message
    files: dict[str, Path] = {}
    for name, names in listing.ids.items():
        files[name] = path / names[0]
        for other in names[1:]:
            out.left_out[other] = f"{path / other}: {names[0]} has the same name but for its ending: rename one of them"
    if not files:
        raise DataError(f"there is no image ({', '.join(IMAGE_SUFFIXES[:6])}, ...) in this folder", path)
    return files


@dataclass(frozen=True)
class Predictions:
    """A folder of predictions.

    Args:
        root: the folder.
        class_names: without the background.
        overlays: whether pictures are written beside the masks.
        key: of the network and the settings.
        part: the images that this is about, where it is not all.
    """

    root: Path
    class_names: tuple[str, ...]
    overlays: bool
    key: str
    part: Part | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    """Images that cannot be read, and why."""
    keys: dict[str, str] = field(default_factory=dict)
    """The key that the mask of each image must have."""

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.root / KEYS / "masks.jsonl", None if self.part is None else self.part.name)

    @cached_property
    def fingerprints(self) -> Fingerprints:
        return Fingerprints(self.root / KEYS / "files.jsonl", None if self.part is None else self.part.name)

    def prepare(self, settings: Mapping[str, Any], overwrite: bool) -> None:
        """Note what the predictions are made with.

        Raises:
            RunError: the folder holds something else, or predictions made otherwise and not ``overwrite``.
        """
        path = self.root / SETTINGS_FILE
        if path.exists():
            changed = differences(read_json(path, dict[str, Any]), plain(settings))
            if changed and (not overwrite or self.part is not None):
                raise RunError(
                    f"{self.root} holds predictions made otherwise ({'; '.join(changed[:3])}): choose another --out, "
                    "or give --overwrite to replace them (not with --part)"
                )
            if changed:
                say(f"predict: replacing predictions made otherwise ({'; '.join(changed[:3])})")
                for name in (MASKS, OVERLAYS, AREAS_FILE, LEFT_OUT_FILE):
                    remove(self.root / name)
        elif self.root.is_dir() and any(not entry.name.startswith(".") for entry in self.root.iterdir()):
            raise RunError(f"{self.root} holds other files and no {SETTINGS_FILE}: choose an empty --out")
        if self.part is None and self.root.is_dir():
            remove_leftovers(self.root)
        if self.part is None or not path.exists():
            write_json(path, plain(settings))
        if self.part is None:
            self.ledger.gather()
            remove(of_parts(self.ledger.path))

    def listed(self) -> dict[str, str]:
        """The images that were left out, and why, as the table has them."""
        try:
            return {row["image"]: row["reason"] for row in read_table(self.root / LEFT_OUT_FILE, ("image", "reason"))}
        except (OSError, ValueError):
            return {}

    def mask(self, image: str) -> Path:
        return self.root / MASKS / f"{image}.png"

    def overlay(self, image: str) -> Path:
        return self.root / OVERLAYS / f"{image}.jpg"

    def missing(self, files: Mapping[str, Path]) -> dict[str, frozenset[str]]:
        """The images that have no mask of this network, these settings and this picture."""
        found = self.fingerprints.of(files)
        self.fingerprints.keep()
        self.keys.update({name: key_of([self.key, found[name]]) for name in files})
        return {
            name: frozenset({MASKS})
            for name in files
            if not self.ledger.fresh(name, self.keys[name], self.mask(name))
            or (self.overlays and not self.overlay(name).exists())
        }

    def note(self, outcome: Outcome) -> None:
        """Remember what was written."""
        self.ledger.note([Line(name, self.keys[name], path.stat().st_size) for _, name, path in outcome.files])

    def write(self, name: str, image: UInt8[np.ndarray, "H W 3"], labels: UInt8[np.ndarray, "H W"]) -> Path:
        """Write an image's files, its mask last, so that where it is the other one is."""
        if self.overlays:
            if max(image.shape) > OVERLAY_SIDE:
                image = resize_long_side(image, OVERLAY_SIDE)
            small = resized_labels(labels, image.shape[:2])
            drawn = mask_overlay(image, small, voc_palette(), hatch_ignored=False)
            with writing(self.overlay(name)) as temporary:
                Image.fromarray(drawn).save(temporary, "JPEG", quality=90)
        write_mask(self.mask(name), labels)
        return self.mask(name)

    def read(self, record: Record) -> UInt8[np.ndarray, "H W 3"] | None:
        """An image; None, which is noted, where it cannot be read."""
        try:
            return read_image(record.image)
        except DataError as error:
            self.note_unreadable(record.id, error)
            return None

    def note_unreadable(self, name: str, error: DataError) -> None:
        # The images are not those of a run, which knows that option.
        self.left_out[name] = str(error).replace(", or leave it out with skip_bad", "")

    def write_areas(self, files: Mapping[str, Path]) -> None:
        """The table of the classes' areas, a row per image and label that is in it, of the masks that are there."""
        names = (BACKGROUND, *self.class_names)
        rows: list[tuple[Any, ...]] = [AREA_COLUMNS]
        for name in files:
            # One that this command did not look at counts as it was made.
            if self.ledger.fresh(name, self.keys.get(name, self.ledger.key(name)), self.mask(name)):
                with open_picture(self.mask(name)) as opened:
                    counts = opened.histogram()[: len(names)]
                total = sum(counts)
                rows += [
                    (name, names[label], label, count, f"{count / total:.6f}")
                    for label, count in enumerate(counts)
                    if count
                ]
        write_table(self.root / AREAS_FILE, rows)


def export(asked: ExportVerb) -> None:
    """Write ``model.onnx``, or the two files that ``advcam.segment.load`` reads.

    Raises:
        SettingsError: no network is named.
        ModelError: there is no such network, or the packages for ONNX are not installed.
        RunError: the folder cannot be written, or is the network's own.
    """
    if asked.model is None:
        raise SettingsError("no network is named: give --model RUN, a run folder whose stage segment is done")
    source, out = find_folder(asked.model), Path(asked.out)
    segmenter = load(source)
    if asked.format == "onnx":
        from advcam.segment.onnx import export_onnx

        difference = export_onnx(segmenter, out / ONNX_NAME)
        say(f"export: {out / ONNX_NAME}, which differs from torch by at most {difference:.1e} of the largest logit")
        return
    if source.resolve() == out.resolve():
        raise RunError(f"{out} is where the network is already: choose another --out")
    for name in (WEIGHTS_NAME, CONFIG_NAME):
        with writing(out / name) as temporary:
            temporary.write_bytes((source / name).read_bytes())
    say(f'export: {out}, which advcam.segment.load("{out}") reads')
