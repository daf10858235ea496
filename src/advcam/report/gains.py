"""What each stage from the seed to the mask adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from advcam.report.figures import Figure, name_of_masks


@dataclass(frozen=True)
class Step:
    """One stage of a chain."""

    name: str
    """ "seed", "+ CRF", "+ IRN", ..."""
    miou: float | None
    gain: float | None
    """In [-1, 1], over the stage before that it builds on; None for the seed."""
    text: str
    """Its threshold and where that was chosen."""


@dataclass(frozen=True)
class Chain:
    """The stages of one kind of maps on one split."""

    method: str
    split: str
    images: int
    steps: tuple[Step, ...]


def chains(figures: Sequence[Figure]) -> list[Chain]:
    """One chain for each kind of maps and split that has masks beside its seed.

    The seed is the one whose threshold was chosen as that of the masks by the CRF, which start from it. A stage's
    gain is over the one before in the order of the figures: the CRF over the seed, IRN or PSA over the CRF.
    """
    found = []
    for split, images in dict.fromkeys((figure.split, figure.images) for figure in figures):
        here = [figure for figure in figures if figure.split == split]
        for method in dict.fromkeys(figure.method for figure in here if figure.is_seed):
            masks = [figure for figure in here if figure.method == method and not figure.is_seed]
            seeds = [figure for figure in here if figure.method == method and figure.is_seed]
            if masks:
                same = [seed for seed in seeds if seed.source == masks[0].source]
                found.append(Chain(name_of_masks(method), split, images, steps_of([(same or seeds)[0], *masks])))
    return found


def steps_of(figures: Sequence[Figure]) -> tuple[Step, ...]:
    """Figures as steps, each held against the one before."""
    steps: list[Step] = []
    for figure in figures:
        before = steps[-1].miou if steps else None
        gain = None if before is None or figure.miou is None else figure.miou - before
        name = "seed" if figure.is_seed else figure.name.split(" ", 1)[1]
        threshold = "" if figure.threshold is None else f"threshold {figure.threshold:.2f}, {figure.source}"
        steps.append(Step(name, figure.miou, gain, threshold))
    return tuple(steps)
