"""The stage that writes a saliency map for every image, from a folder or from a detector, which it may train first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from advcam.data.files import writing
from advcam.data.images import is_whole_picture, read_image
from advcam.data.record import Record
from advcam.errors import DataError
from advcam.pipeline.detector import trained
from advcam.pipeline.planning import Behind, ahead
from advcam.pipeline.progress import progress, say
from advcam.pipeline.run import Run
from advcam.saliency.checkpoint import load_detector
from advcam.saliency.detector import U2NetDetector
from advcam.saliency.folder import FolderMaps, few
from advcam.saliency.opencv import OpenCVDetector
from advcam.saliency.settings import NETWORKS
from advcam.saliency.source import SaliencySource
from advcam.saliency.u2net import U2Net

GPU_BATCH = 16


def saliency(run: Run) -> None:
    """Write ``saliency`` of every wanted image, as ``saliency.source`` says; nothing where it says none."""
    config = run.config.saliency
    if config.source == "none":
        return
    climbed = run.config.attribute.method == "advcam" and run.config.climb.reg_weight > 0
    if not climbed and not run.config.refine.ambiguity:
        say("saliency: nothing will use these maps: no map is regularized while it grows, nor is refine.ambiguity set")
    source, origin = open_source(run)
    with run.stage("saliency", origin, ("saliency",)) as entry:
        done = {record.id for record in run.wanted if has_saliency(run, record)}
        without = set(source.missing) if isinstance(source, FolderMaps) else set()
        todo = {record.id for record in run.wanted} - done - without
        entry |= {"images": len(run.wanted), "made": len(todo), "device": str(run.device)}
        if done:
            say(f"saliency: {len(done)} of {len(run.wanted)} maps are there already and kept")
        if without:
            say(f"saliency: {len(without)} images have no map and will be climbed without: {few(sorted(without))}")
        batches = [batch for batch in batches_of(run.records, source.batch_size) if todo & {one.id for one in batch}]
        with progress("saliency", len(todo)) as advance, Behind() as behind:
            for loaded in ahead(batches, partial(load, run)):
                run.leave_out(None, loaded.problems)
                found = zip(loaded.records, maps_of(run, source, loaded), strict=True)
                wanted = {record.id: one for record, one in found if record.id in todo}
                without |= {image_id for image_id, one in wanted.items() if one is None}
                behind(partial(save, run, wanted))
                advance(len(wanted))
        entry["missing"] = sorted(without)


@dataclass(frozen=True)
class Loaded:
    """Pictures of one batch, and the files that could not be read."""

    records: list[Record]
    images: list[UInt8[np.ndarray, "_ _ 3"]]
    problems: list[str]


def batches_of(records: Sequence[Record], size: int) -> list[Sequence[Record]]:
    """Batches over all images of the run, whichever are wanted: a map must not depend on what else was asked for."""
    return [records[start : start + size] for start in range(0, len(records), size)]


def load(run: Run, batch: Sequence[Record]) -> Loaded:
    """Decode the pictures of a batch."""
    records, images, problems = [], [], []
    for record in batch:
        try:
            images.append(read_image(record.image))
            records.append(record)
        except DataError as error:
            if not run.config.skip_bad:
                raise
            problems.append(str(error))
    return Loaded(records, images, problems)


def maps_of(run: Run, source: SaliencySource, loaded: Loaded) -> list[Float32[np.ndarray, "_ _"] | None]:
    """The maps of a batch; with ``skip_bad`` a map whose file is damaged counts as missing."""
    try:
        return source([record.id for record in loaded.records], loaded.images)
    except DataError as error:
        if not run.config.skip_bad:
            raise
        run.leave_out(None, [str(error)])
        return [None] * len(loaded.records)


def open_source(run: Run) -> tuple[SaliencySource, dict[str, Any]]:
    """The source that the settings name, and what its maps depend on.

    Raises:
        DataError: a folder lacks maps.
        ModelError: weights that do not fit.
        SettingsError: a network has neither weights nor data to train on.
    """
    config = run.config.saliency
    if config.source == "folder":
        assert config.folder is not None
        with progress("saliency: looking through the maps", len(run.wanted)) as advance:
            found = FolderMaps.open(config.folder, run.wanted, without=config.missing == "without", advance=advance)
        return found, {"source": config.source, "folder": config.folder, "files": found.digest}
    if config.source not in NETWORKS:
        return OpenCVDetector(config.source), {"source": config.source}
    weights = config.weights or trained(run)
    network, size = load_detector(weights, config.source)
    batch_size = config.batch_size or (1 if run.device.type == "cpu" else GPU_BATCH)
    facts = {"source": config.source, "weights": fingerprint(network), "size": size}
    return U2NetDetector(network, size=size, device=run.device, batch_size=batch_size), facts


def has_saliency(run: Run, record: Record) -> bool:
    """True where the image's map is whole."""
    return is_whole_picture(run.folder.saliency(record.id))


def save(run: Run, maps: dict[str, Float32[np.ndarray, "_ _"] | None]) -> None:
    """Write maps, by the ids of their images, as 8-bit grey PNGs."""
    for image_id, found in maps.items():
        if found is not None:
            with writing(run.folder.saliency(image_id)) as temporary:
                Image.fromarray(np.rint(found * 255).astype(np.uint8)).save(temporary, "PNG")


def fingerprint(network: U2Net) -> str:
    """What tells one trained detector from another: a hash over its weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
