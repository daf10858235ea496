"""What a card of the report shows between the maps and the mask: the seed, the masks of the stages, the edges."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from advcam.attribute.result import LocalizationMaps
from advcam.data.record import Record
from advcam.pipeline.refiner import CRF_MASKS_OF, full_maps
from advcam.pipeline.run import Run
from advcam.pipeline.scoring import read_prediction
from advcam.refine.seeds import seed_labels
from advcam.report.pictures import reduce_labels

_KIND, _EDGES = "maps", "edges"


def step_masks(run: Run, record: Record, size: tuple[int, int]) -> dict[str, UInt8[np.ndarray, "h w"]]:
    """The masks before the last one, by their captions, in their order."""
    sets = run.manifest.stages.get("refine", {}).get("settings", {}).get("sets", {})
    own = [made for made in sets.values() if made["maps"] == _KIND and made["method"] == "crf"]
    found = {}
    if own and own[0]["threshold"] is not None:
        result = LocalizationMaps.load(run.folder.maps(record.id, _KIND))
        threshold = own[0]["threshold"]["value"]
        found["seed"] = seed_labels(full_maps(result, size), torch.from_numpy(result.classes), threshold).numpy()
    if run.folder.mask(record.id, CRF_MASKS_OF[_KIND]).exists():
        found["seed + CRF"] = reduce_labels(read_prediction(run, record, CRF_MASKS_OF[_KIND]), size)
    return found


def edge_picture(run: Run, record: Record, size: tuple[int, int]) -> UInt8[np.ndarray, "h w"] | None:
    """IRN's edges, 255 where they are certain; None where there are none."""
    path = run.folder.maps(record.id, _EDGES)
    if not path.exists():
        return None
    # Reading edges takes what IRN is made of, which a report without them does not load.
    from advcam.refine.irn.inference import EdgeMap

    edge = (EdgeMap.load(path).edge.astype(np.float32) * 255).round().astype(np.uint8)
    return np.asarray(Image.fromarray(edge).resize((size[1], size[0]), Image.Resampling.BILINEAR))
