"""The stage that turns localization maps into masks."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from advcam.attribute.multiscale import enlarge
from advcam.attribute.result import LocalizationMaps
from advcam.data.files import writing
from advcam.data.images import read_image
from advcam.data.masks import voc_palette, write_mask
from advcam.data.record import Record
from advcam.errors import RunError
from advcam.pipeline.attribute import reduce
from advcam.pipeline.progress import progress, say
from advcam.pipeline.run import Run
from advcam.pipeline.thresholds import ChosenThreshold, choose
from advcam.refine.crf import dense_crf
from advcam.refine.seeds import confident_labels, dataset_labels, local_seed
from advcam.refine.unary import unary_from_labels, unary_from_scores
from advcam.report.overlays import mask_overlay

# Kinds of maps and of the masks made from them.
MASKS_OF = {"maps": "masks", "cam": "cam_masks"}


def refine(run: Run) -> None:
    """Write ``masks`` and, with ``refine.baseline``, ``cam_masks``."""
    config = run.config.refine
    stage = run.manifest.stages.get("attribute", {})
    if stage.get("status") != "done":
        raise RunError(f"{run.folder.root} has no whole set of maps yet: run `advcam attribute` with the same --out")
    kinds = ("maps", "cam") if config.baseline else ("maps",)
    thresholds = {kind: choose(run, kind) for kind in kinds}
    settings = {
        **asdict(config),
        "threshold": {MASKS_OF[kind]: asdict(chosen) for kind, chosen in thresholds.items()},
        "confident": [run.config.seed.confident_foreground, run.config.seed.confident_background],
        "crf": asdict(run.config.crf) if config.method == "crf" else None,
        "maps": stage["settings"],
    }
    for kind, chosen in thresholds.items():
        say(f"refine: background threshold {chosen.value:.2f} for {MASKS_OF[kind]}, {chosen.source()}")
    with run.stage("refine", settings, ("masks", "cam_masks", "overlays", "metrics.json")) as entry:
        jobs = [(record, kind) for record in run.wanted for kind in kinds if run.folder.maps(record.id, kind).exists()]
        todo = [job for job in jobs if not run.folder.has_mask(job[0], MASKS_OF[job[1]], job[1])]
        entry |= {"images": len(run.wanted), "made": len(todo)}
        without = len(run.wanted) * len(kinds) - len(jobs)
        if without:
            say(
                f"refine: {without // len(kinds)} images have no maps yet and get no mask: run `advcam attribute` first"
            )
        if len(todo) < len(jobs):
            say(f"refine: {len(jobs) - len(todo)} of {len(jobs)} masks are there already and kept")
        maker = MaskMaker(run, thresholds)
        with progress("refine", len(jobs), len(jobs) - len(todo)) as advance:
            for _ in in_threads(maker, todo, torch.get_num_threads()):
                advance()


@dataclass(frozen=True)
class MaskMaker:
    """Makes and writes the mask of one image."""

    run: Run
    thresholds: dict[str, ChosenThreshold]

    def __call__(self, job: tuple[Record, str]) -> None:
        record, kind = job
        result = LocalizationMaps.load(self.run.folder.maps(record.id, kind))
        image = reduce(read_image(record.image), self.run.config.refine.max_side)
        maps = full_maps(result, image.shape[:2])
        classes = torch.from_numpy(result.classes)
        if self.run.config.refine.rule == "confident":
            seed = self.run.config.seed
            strict, generous = (
                self.local_labels(image, maps, threshold)
                for threshold in (seed.confident_foreground, seed.confident_background)
            )
            mask = confident_labels(strict, generous, classes).numpy()
        else:
            mask = dataset_labels(self.local_labels(image, maps, self.thresholds[kind].value), classes).numpy()
        if mask.shape != result.image_size:
            height, width = result.image_size
            mask = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
        if self.run.config.refine.overlays and kind == "maps":
            self.write_overlay(record, image, mask)
        write_mask(self.run.folder.mask(record.id, MASKS_OF[kind]), mask)

    def write_overlay(self, record: Record, image: UInt8[np.ndarray, "h w 3"], mask: UInt8[np.ndarray, "H W"]) -> None:
        """The picture with its mask over it, at the size at which it was refined."""
        height, width = image.shape[:2]
        small = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
        with writing(self.run.folder.overlay(record.id)) as temporary:
            Image.fromarray(mask_overlay(image, small, voc_palette())).save(temporary, "JPEG", quality=90)

    def local_labels(
        self, image: UInt8[np.ndarray, "H W 3"], maps: Float[Tensor, "k H W"], threshold: float
    ) -> UInt8[Tensor, "H W"]:
        """Labels 0 to k of one image at one threshold, refined as the settings say."""
        labels = local_seed(maps, threshold)
        # An image without a class, or whose maps are all zero, has nothing to refine.
        if self.run.config.refine.method == "none" or not maps.any():
            return labels
        if self.run.config.refine.unary == "labels":
            unary = unary_from_labels(labels, len(maps) + 1)
        else:
            unary = unary_from_scores(torch.cat([torch.full_like(maps[:1], threshold), maps]))
        return dense_crf(torch.from_numpy(image), unary, self.run.config.crf).argmax(dim=0).to(torch.uint8)


def full_maps(result: LocalizationMaps, size: tuple[int, int]) -> Float[Tensor, "k H W"]:
    """Stored maps at the size of the picture, or at another one where a large picture was reduced."""
    maps = torch.from_numpy(result.maps).float()
    if size == result.image_size:
        return enlarge(maps, size)
    return torch.nn.functional.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def in_threads(work: MaskMaker, jobs: list[tuple[Record, str]], threads: int) -> Iterator[None]:
    """Work on the jobs in threads, a few ahead of what is consumed; the first error stops the rest."""
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        waiting = []
        try:
            for job in jobs:
                waiting.append(pool.submit(work, job))
                if len(waiting) > 2 * threads:
                    yield waiting.pop(0).result()
            for future in waiting:
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
