"""The paper's figures and tables as functions that return numbers, and plots of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from advcam.analyse.result import Analysis

# Name, where it lives, and what it shows. Imported on first use.
ANALYSES = {
    "fig2": ("advcam.analyse.amplification", "how much each step raises discriminative and other cells"),
    "fig11": ("advcam.analyse.ablations", "seed mIoU and noise over the steps, and over lambda, tau and the step size"),
}


def analysis(name: str) -> Callable[..., Analysis]:
    """The function of a figure or table; it takes a ``Subject``.

    >>> analysis("fig2").__name__
    'fig2'
    """
    from advcam.errors import SettingsError

    if name not in ANALYSES:
        raise SettingsError(f"there is no analysis {name!r}: take one of {', '.join(ANALYSES)}")
    return getattr(import_module(ANALYSES[name][0]), name)
