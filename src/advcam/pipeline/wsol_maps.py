"""The attribute stage of a localization run: every image as one square view, its class's raw maps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from advcam.attribute.grid import stored
from advcam.attribute.inputs import to_input
from advcam.attribute.maps.cam import CAM
from advcam.attribute.memory import batch_pixels, free_memory
from advcam.attribute.result import LocalizationMaps
from advcam.attribute.settings import ClimbSettings, adapted
from advcam.attribute.wsol import ScoreMapFile, ScoreMaps, score_maps
from advcam.classify.wsol.build import load_method
from advcam.classify.wsol.method import LocalizationMethod
from advcam.classify.wsol.task import check_single_class, square
from advcam.data.images import read_image
from advcam.data.record import Record
from advcam.errors import DataError, RunError
from advcam.models.fold import fold_batch_norm
from advcam.models.mapper import ClassMapper
from advcam.models.precision import in_precision
from advcam.pipeline.engine import fingerprint
from advcam.pipeline.flags import write_flags
from advcam.pipeline.planning import ahead
from advcam.pipeline.progress import progress, say
from advcam.pipeline.run import Run

OUTPUTS = ("score_maps", "maps", "cam", "flagged.csv", "metrics.json")


def attribute_for_localization(run: Run) -> None:
    """Write ``score_maps`` of every wanted image and, for boxes and the report, ``maps`` and ``cam``."""
    config = run.config.attribute
    if not run.leads:
        return
    if run.manifest.stages.get("classify", {}).get("status") != "done":
        raise RunError(f"{run.folder.root} has no trained classifier yet: run `advcam classify` with the same --out")
    for images in run.mapped_sets.values():
        check_single_class(images)
    loaded, _ = load_method(run.folder.classifier, run.class_names)
    network = cast(LocalizationMethod, loaded.to(run.device).to(memory_format=torch.channels_last))
    classifier = network.classifier
    mapper = in_precision(fold_batch_norm(classifier.mapper()), config.precision)
    climb: ClimbSettings | None = None
    if config.method == "advcam":
        climb = run.config.climb
        if climb == ClimbSettings.released():
            say("attribute: climb has its defaults for segmentation; see recipe voc12_wsol_mobilenet for localization")
        if config.adapt:
            climb = adapted(climb, CAM(mapper, signed=climb.signed).units)
    side = run.config.wsol.crop
    settings = {
        "method": config.method,
        "side": side,
        "precision": config.precision,
        "climb": None if climb is None else asdict(climb),
        "classifier": fingerprint(classifier),
    }
    with run.stage("attribute", settings, OUTPUTS, keep=("batch",)) as entry:
        # Rounding depends on the batch: what was settled when the folder was begun holds to its end.
        pixels = config.batch_pixels or batch_pixels(mapper, free_memory(run.device))
        batch = entry.get("batch") or max(1, pixels // (side * side))
        missing = {record.id for record in run.wanted if not has_maps(run, record)}
        kept = len(run.wanted) - len(missing)
        entry |= {"images": len(run.wanted), "made": len(missing), "device": str(run.device), "batch": batch}
        if kept:
            say(f"attribute: {kept} of {len(run.wanted)} images are there already and kept")
        # Batches are planned over all images, whatever is there already, since rounding depends on the batch.
        units = [run.records[start : start + batch] for start in range(0, len(run.records), batch)]
        todo = [unit for unit in units if any(record.id in missing for record in unit)]
        loader = Loader(run, mapper, side)
        with progress("attribute", len(run.wanted), kept) as advance:
            for unit in ahead(todo, loader.load):
                run.leave_out(None, unit.problems)
                if unit.records:
                    classes = torch.tensor([record.classes[0] for record in unit.records], device=run.device)
                    found = score_maps(network, mapper, unit.images.to(run.device), classes, climb)
                    save_unit(run, unit, found, missing)
                advance(sum(record.id in missing for record in unit.records))
        entry["flagged"] = write_flags(run)


@dataclass(frozen=True)
class LoadedUnit:
    """Images that share a batch."""

    records: list[Record]
    sizes: list[tuple[int, int]]
    images: Float[Tensor, "n 3 s s"]
    problems: list[str]


@dataclass(frozen=True)
class Loader:
    """Decodes images and makes squares of them."""

    run: Run
    mapper: ClassMapper
    side: int

    def load(self, unit: tuple[Record, ...]) -> LoadedUnit:
        """The images of a unit; one that cannot be read is an error or left out."""
        records, sizes, inputs, problems = [], [], [], []
        for record in unit:
            try:
                image = read_image(record.image)
            except DataError as error:
                if not self.run.config.skip_bad:
                    raise
                problems.append(str(error))
                continue
            records.append(record)
            sizes.append(image.shape[:2])
            inputs.append(to_input(np.ascontiguousarray(square(image, self.side)), self.mapper))
        images = torch.stack(inputs) if inputs else torch.zeros(0, 3, self.side, self.side)
        return LoadedUnit(records, sizes, images, problems)


def has_maps(run: Run, record: Record) -> bool:
    """True where the image's files are whole; the raw maps are written last."""
    path = run.folder.score_maps(record.id)
    if not path.exists() or not all(run.folder.has_maps(record, kind) for kind in ("maps", "cam")):
        return False
    try:
        return ScoreMapFile.load(path).label == record.classes[0]
    except RunError:
        return False


def save_unit(run: Run, unit: LoadedUnit, found: ScoreMaps, missing: set[str]) -> None:
    """Keep what was asked for and not there yet."""
    probabilities = found.logits.softmax(dim=1)
    predicted = found.logits.argmax(dim=1).tolist()
    for index, (record, size) in enumerate(zip(unit.records, unit.sizes, strict=True)):
        if record.id not in missing:
            continue
        label = record.classes[0]
        probability = float(probabilities[index, label])
        raw = {"cam": found.cam[index].float().cpu(), "maps": found.maps[index].float().cpu()}
        for kind, score_map in raw.items():
            kept = stored([score_map[None]], size).numpy().astype(np.float16)
            own = LocalizationMaps(np.array([label]), kept, size, np.array([probability], dtype=np.float32))
            own.save(run.folder.maps(record.id, kind))
        file = ScoreMapFile(label, predicted[index], probability, raw["cam"].numpy(), raw["maps"].numpy(), size)
        file.save(run.folder.score_maps(record.id))
