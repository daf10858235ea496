"""PSA: class maps spread over cells with like features, which a network learns from them (Ahn and Kwak, CVPR 2018)."""

from advcam.refine.psa.labels import AffinityLabels, affinity_labels, label_scores
from advcam.refine.psa.network import AffinityNet
from advcam.refine.psa.propagation import (
    affinities,
    affinity_loss,
    image_scores,
    pair_affinities,
    propagate,
    walk_scores,
)
from advcam.refine.psa_settings import PSASettings

__all__ = [
    "AffinityLabels",
    "AffinityNet",
    "PSASettings",
    "affinities",
    "affinity_labels",
    "affinity_loss",
    "image_scores",
    "label_scores",
    "pair_affinities",
    "propagate",
    "walk_scores",
]
