"""The paper's figures and tables as functions that return numbers, and plots of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from advcam.analyse.result import Analysis

if TYPE_CHECKING:
    from collections.abc import Callable

# Name, where it lives, and what it shows. Imported on first use.
ANALYSES = {
    "fig2": ("advcam.analyse.amplification", "how much each step raises discriminative and other cells"),
    "fig3": ("advcam.analyse.landscape", "the loss along the climb, along an attack and along random directions"),
    "fig4": ("advcam.analyse.focus", "gradient saliency of manipulated images"),
    "fig5": ("advcam.analyse.suppression", "maps with and without suppression of other classes"),
    "fig6": ("advcam.analyse.growth", "maps with and without restriction, and the restricting mask"),
    "fig7": ("advcam.analyse.gallery", "maps of the pairs that gain most"),
    "fig8": ("advcam.analyse.gallery", "masks of a run beside the truth"),
    "fig9": ("advcam.analyse.gallery", "masks of a run beside the truth (the paper's are of MS COCO)"),
    "fig10": ("advcam.analyse.gallery", "boxes of the images that gain most"),
    "fig11": ("advcam.analyse.ablations", "seed mIoU and noise over the steps, and over lambda, tau and the step size"),
    "fig12": ("advcam.analyse.growth", "maps over all steps, with and without regularization"),
    "fig13": ("advcam.analyse.gallery", "failures: the pairs that climbing harms most"),
    "fig14": ("advcam.analyse.sizes", "gain by class and object size"),
    "fig15": ("advcam.analyse.distribution", "sorted scores of the plain and the climbed map"),
    "fig16": ("advcam.analyse.manifold", "the climb's trajectory among the features, by t-SNE"),
    "table9": ("advcam.analyse.tables", "precision, recall and F1 of the seeds"),
    "table10": ("advcam.analyse.boxes", "boxes without a climb, with it, and with the regularizer"),
    "table11": ("advcam.analyse.tables", "the sum of the maps against the last one"),
    "table12": ("advcam.analyse.tables", "other maps of the network, plain and climbed"),
    "table13": ("advcam.analyse.sizes", "small and large classes over T and tau"),
}


__all__ = ["ANALYSES", "Analysis", "analysis"]


def analysis(name: str) -> Callable[..., Analysis]:
    """The function of a figure or table; it takes a ``Subject``.

    >>> analysis("fig2").__name__
    'fig2'
    """
    from advcam.errors import SettingsError

    if name not in ANALYSES:
        raise SettingsError(f"there is no analysis {name!r}: take one of {', '.join(ANALYSES)}")
    return getattr(import_module(ANALYSES[name][0]), name)
