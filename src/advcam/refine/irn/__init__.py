"""IRN: class maps spread to object boundaries along affinities that an edge map gives (Ahn et al., CVPR 2019)."""

from advcam.refine.irn.clustering import Detections, detect, find_centroids, instance_maps, instance_masks
from advcam.refine.irn.labels import reduced_labels
from advcam.refine.irn.losses import IRNLoss, irn_loss, pair_displacements
from advcam.refine.irn.paths import path_affinities, path_cells
from advcam.refine.irn.propagation import image_scores, propagate

__all__ = [
    "Detections",
    "IRNLoss",
    "detect",
    "find_centroids",
    "image_scores",
    "instance_maps",
    "instance_masks",
    "irn_loss",
    "pair_displacements",
    "path_affinities",
    "path_cells",
    "propagate",
    "reduced_labels",
]
