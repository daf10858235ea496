"""The stage that writes a saliency map for every image, from a folder or from a detector, which it may train first;
and those maps as the stages after it read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from PIL import Image
from torch import Tensor

from advcam.data.images import read_image
from advcam.data.record import Record
from advcam.errors import DataError, RunError, SettingsError, shortened
from advcam.io.files import contents_digest, writing
from advcam.io.keys import key_of
from advcam.io.progress import progress, say
from advcam.models.stored import CONFIG_NAME, WEIGHTS_NAME
from advcam.pipeline.classify import check_weights
from advcam.pipeline.config import RunConfig
from advcam.pipeline.keys import Artifact, Steps, learnt_of, making
from advcam.pipeline.parts import Batch, Outcome, Plan, Wanted, in_turn, pass_over, readable
from advcam.pipeline.run import Run, spread
from advcam.pipeline.through import work_through
from advcam.saliency.folder import FolderMaps, read_map
from advcam.saliency.opencv import CLASSES, OpenCVDetector
from advcam.saliency.pairs import find_pairs
from advcam.saliency.settings import NETWORKS
from advcam.saliency.source import SaliencySource
from advcam.saliency.threshold import salient
from advcam.training.settings import numbers_depend_on

NAME, DETECTOR = "saliency", "detector"
GPU_BATCH = 16


def asked(run: Run) -> bool:
    """Whether the run has saliency maps at all."""
    return run.config.saliency.source != "none"


def own_detector(run: Run) -> bool:
    """Whether the run trains its detector itself."""
    return run.config.saliency.source in NETWORKS and run.config.saliency.weights is None


def facts(run: Run) -> dict[str, Any]:
    """What the saliency maps depend on, but for the images and, of a folder, their maps."""
    config = run.config.saliency
    found: dict[str, Any] = {"source": config.source}
    if own_detector(run):
        found["weights"] = run.content(DETECTOR, "saliency")
    elif config.source in NETWORKS:
        found["weights"] = weights_digest(Path(str(config.weights)))
    return found


def weights_digest(path: Path) -> str:
    """The content of a detector, whatever its place."""
    if path.is_dir():
        return contents_digest({name: path / name for name in (WEIGHTS_NAME, CONFIG_NAME)})
    return contents_digest({"": path})


def folder_maps(run: Run) -> FolderMaps:
    """The maps of a folder that the settings name; DataError where some are missing or cannot be used."""
    config = run.config.saliency
    if NAME not in run.opened:
        with progress("saliency: looking through the maps", len(run.wanted)) as advance:
            run.opened[NAME] = FolderMaps.open(
                str(config.folder), run.wanted, without=config.missing == "without", advance=advance
            )
    return run.opened[NAME]


def keys(run: Run, records: Sequence[Record] | None = None) -> dict[str, str]:
    """The key of each image's saliency map, of the wanted ones unless told; none for those that have no map."""
    static, pictures = key_of(facts(run)), run.pictures(run.wanted if records is None else records)
    if run.config.saliency.source != "folder":
        return {image: key_of([static, picture]) for image, picture in pictures.items()}
    files = {image: path for image, path in folder_maps(run).files.items() if image in pictures}
    given = run.fingerprints.of({f"saliency:{image}": path for image, path in files.items()})
    return {image: key_of([static, pictures[image], given[f"saliency:{image}"]]) for image in files}


def saliency(run: Run) -> None:
    """Write ``saliency`` of every wanted image, as ``saliency.source`` says; nothing where it says none."""
    if not asked(run):
        return
    climbed = run.config.attribute.method != "cam" and run.config.climb.reg_weight > 0
    if not climbed and not run.config.refine.ambiguity:
        say("saliency: nothing will use these maps: no map is regularized while it grows, nor is refine.ambiguity set")
    if own_detector(run):
        train_detector(run)
    with making(run, NAME, facts(run), [NAME]) as made:
        if run.config.saliency.source == "folder" and (missing := folder_maps(run).missing):
            say(f"saliency: {len(missing)} images have no map and will be climbed without: {shortened(missing)}")
        config = run.config.saliency
        size = (
            1 if config.source not in NETWORKS else config.batch_size or (1 if run.device.type == "cpu" else GPU_BATCH)
        )
        # Over all images of the run, whichever are wanted: a map must not depend on what else was asked for.
        plan = Plan(run.records, partial(in_turn, count=size))
        build = partial(SaliencyWork, given=folder_maps(run) if config.source == "folder" else None)
        wanted = Wanted(NAME, partial(keys, run))
        done = work_through(run, [wanted], plan, run.wanted, build, "saliency")
        without = sorted({record.id for record in run.wanted if run.ledger(NAME).key(record.id) is None})
        made.entry.result = {
            "images": len(run.wanted),
            "of": len(run.records),
            "made": done.made,
            "device": str(run.device),
            "source": config.source,
            "folder": config.folder,
            "missing": without,
        }


@dataclass(frozen=True)
class SaliencyWork:
    """Batches of pictures through a source of saliency maps."""

    run: Run
    given: FolderMaps | None = None
    threaded: bool = False

    @cached_property
    def source(self) -> SaliencySource:
        config = self.run.config.saliency
        if self.given is not None:
            return self.given
        if config.source not in NETWORKS:
            return OpenCVDetector(config.source)
        from advcam.saliency.checkpoint import load_detector
        from advcam.saliency.detector import U2NetDetector

        network, size = load_detector(config.weights or self.run.folder.root / DETECTOR, config.source)
        batch = config.batch_size or (1 if self.run.device.type == "cpu" else GPU_BATCH)
        return U2NetDetector(network, size=size, device=self.run.device, batch_size=batch)

    def load(self, batch: Batch) -> tuple[list[Record], list[UInt8[np.ndarray, "_ _ 3"]], list[str]]:
        return readable(batch.records, lambda record: read_image(record.image), self.run.config.skip_bad)

    def make(self, batch: Batch, loaded: Any) -> tuple[list[Record], list[Any], list[str]]:
        records, images, problems = loaded
        try:
            return records, list(self.source([record.id for record in records], images)), problems
        except DataError as error:
            # With ``skip_bad`` a map whose file is damaged counts as missing.
            problems.append(pass_over(error, self.run.config.skip_bad))
            return records, [None] * len(records), problems

    def save(self, batch: Batch, made: Any, missing: Any) -> Outcome:
        records, maps, problems = made
        outcome = Outcome(problems=problems)
        for record, found in zip(records, maps, strict=True):
            if found is not None and record.id in missing:
                path = self.run.folder.file(NAME, record.id)
                write_map(path, found)
                outcome.files.append((NAME, record.id, path))
        return outcome


def write_map(path: Path, found: Float32[np.ndarray, "_ _"]) -> None:
    """Write a saliency map as 8-bit grey PNG."""
    with writing(path) as temporary:
        Image.fromarray(np.rint(found * 255).astype(np.uint8)).save(temporary, "PNG")


# -- the run's own detector ------------------------------------------------------------------------------------------


def detector_facts(run: Run) -> dict[str, Any]:
    """What the run's own detector depends on."""
    pairs, held = pairs_of(run)
    files = {f"pair:{one.record.id}": one.record.image for one in [*pairs, *held]}
    masks = {
        f"pair-mask:{one.record.id}": one.record.mask for one in [*pairs, *held] if isinstance(one.record.mask, Path)
    }
    seen = run.fingerprints.of(files | masks)
    return {
        **{name: value for name, value in numbers_depend_on(run.config.detector).items() if name not in _PLACES},
        "source": run.config.saliency.source,
        "learnt": learnt_of(
            run,
            DETECTOR,
            {
                one.record.id: [seen[f"pair:{one.record.id}"], seen.get(f"pair-mask:{one.record.id}"), role]
                for role, part in (("train", pairs), ("held out", held))
                for one in part
            },
        ),
    }


_PLACES = ("data", "masks")


def pairs_of(run: Run) -> tuple[Any, Any]:
    """The pairs that the detector is trained on, and those held out."""
    config = run.config.detector
    if config.data is None:
        raise SettingsError(
            f"saliency.source {run.config.saliency.source} needs a trained network: give its weights with "
            "--saliency.weights FILE, or images with masks to train it on with --detector.data"
        )
    pairs, held = find_pairs(config, {one.id for one in run.records})
    return list(spread(pairs, run.config.limit)), list(spread(held, run.config.limit))


def train_detector(run: Run) -> None:
    """Train the run's own detector on the pairs of ``detector.data``, unless it is there."""
    from advcam.saliency.checkpoint import save_detector
    from advcam.saliency.pairs import check_pairs
    from advcam.saliency.train import DetectorTask
    from advcam.saliency.u2net import PLANS, U2Net
    from advcam.training import FitProgress, fit

    source, config = run.config.saliency.source, run.config.detector
    folder = run.folder.root / DETECTOR
    found = detector_facts(run)
    with making(run, DETECTOR, found, [DETECTOR]) as made:
        if made.fresh:
            return
        run.for_one("the detector's training")
        pairs, held = pairs_of(run)
        say(f"saliency: training {source} on {len(pairs)} masks of images that this run does not map")
        check_pairs([*pairs, *held])
        torch.manual_seed(config.seed)
        network = U2Net(PLANS[source])
        task = DetectorTask(network, config, pairs, held)
        origin = {"data": f"{len(pairs)} pairs of {config.data}", "network": source}
        with FitProgress("saliency") as shown:
            result = fit(task, folder, origin=origin, device=run.config.device, on_event=shown)
        save_detector(folder, network, source, config.size, origin["data"])
        made.entry.result = {
            "updates": result.updates,
            "seconds": round(result.seconds, 1),
            "pairs": len(pairs),
            "held_out": result.kept,
        }
        made.entry.content = run.network_content(folder)


# -- the maps as later stages read them ------------------------------------------------------------------------------


def saliency_facts(run: Run) -> dict[str, Any] | None:
    """What results made with the run's saliency depend on, but for the images; None where there is none.

    Raises:
        RunError: maps are asked for and not all there yet.
    """
    config = run.config.saliency
    if not asked(run):
        return None
    entry = run.record.done(NAME)
    known = set(entry.result.get("missing", ())) if entry else set()
    ledger = run.ledger(NAME)
    lacking = [
        one.id
        for one in run.wanted
        if one.id not in known
        and (ledger.key(one.id) is None or (run.part is None and not run.folder.file(NAME, one.id).exists()))
    ]
    if entry is None or lacking:
        named = f" of {shortened(lacking)}" if lacking and entry else ""
        raise RunError(
            f"{run.folder.root} has no saliency maps{named} yet: run `advcam saliency` with the same --out, or give "
            "--saliency.source none"
        )
    return {"rule": config.rule} | ({"threshold": config.threshold} if config.rule == "fixed" else {})


def saliency_keys(run: Run) -> dict[str, str | None]:
    """The key of each image's saliency map; nothing where the run has none."""
    return {one.id: run.ledger(NAME).key(one.id) for one in run.wanted} if asked(run) else {}


def salient_region(run: Run, record: Record, size: tuple[int, int]) -> Bool[np.ndarray, "H W"] | None:
    """Where the run's saliency map of an image sees an object, by ``saliency.rule``, at a height and width.

    None where the image has no map, as ``saliency.missing`` allows, and where its map shows no object at all: such a
    map says nothing of an image whose label says that there is one.
    """
    path = run.folder.file(NAME, record.id)
    if not path.exists():
        return None
    found = salient(read_map(path, size), run.config.saliency.rule, run.config.saliency.threshold)
    return found if found.any() else None


def held_regions(regions: list[Bool[np.ndarray, "_ _"] | None], size: tuple[int, int]) -> Float[Tensor, "p H W"] | None:
    """The saliency that the engine takes, for pictures of one size; None where no picture has any.

    A picture without a region is salient everywhere: nothing of its maps is held.
    """
    if all(region is None for region in regions):
        return None
    full = np.ones(size, bool)
    return torch.from_numpy(np.stack([full if region is None else region for region in regions])).float()


def settled(run: Run, record: Record, mask: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """A finished mask, with ``refine.ambiguity`` without the pixels on which label and saliency disagree."""
    from advcam.refine.seeds import without_ambiguous

    if not run.config.refine.ambiguity:
        return mask
    region = salient_region(run, record, (mask.shape[0], mask.shape[1]))
    return mask if region is None else without_ambiguous(mask, region)


def reduced_saliency(run: Run, record: Record, size: tuple[int, int]) -> UInt8[np.ndarray, "h w"] | None:
    """The run's saliency map of an image at a smaller size, to look at; None where there is none."""
    path = run.folder.file(NAME, record.id)
    return np.rint(read_map(path, size) * 255).astype(np.uint8) if path.exists() else None


def artifacts(config: RunConfig) -> Iterator[Artifact]:
    source = config.saliency.source
    if source != "none":
        if source in NETWORKS and config.saliency.weights is None:
            yield Artifact(DETECTOR, (), detector_facts, (DETECTOR,))
        yield Artifact(NAME, (DETECTOR,), facts, (NAME,), keys)


def check(config: RunConfig) -> None:
    """The source is there, with its weights and its package."""
    asked = config.saliency
    check_weights("saliency.weights", None, asked.weights)
    if asked.source == "folder" and not Path(asked.folder or "").is_dir():
        raise SettingsError(f"saliency.folder is {asked.folder}, but there is no such folder: correct it")
    if asked.source in CLASSES:
        # Says which package is missing.
        OpenCVDetector(asked.source)


def check_data(run: Run) -> None:
    """The maps of a folder lie over their images, or there are images with masks to train a detector on."""
    if run.config.saliency.source == "folder":
        folder_maps(run)
    elif own_detector(run):
        pairs_of(run)


STEPS = Steps(saliency, artifacts, check, check_data)
