"""What ``advcam analyse`` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from advcam.errors import SettingsError


@dataclass(frozen=True)
class AnalyseVerb:
    """Which figure or table is measured, on what."""

    figure: str = ""
    """Its name: fig2 to fig16, table9 to table13, several with commas, "all", or "paper" for a run's numbers beside
    the paper's."""
    out: str = "runs/run"
    """The run folder: its data, classifier and climb are analysed. Results go to ``analysis`` in it. Another folder,
    with ``data`` and ``classifier``, where there is no run."""
    data: str | None = None
    """The data set; the run's unless told."""
    classifier: str | None = None
    """A classifier's folder; the run's unless told."""
    split: str | None = None
    """The list of images; the first that the run has mapped unless told."""
    images: int | None = 20
    """How many images, spread evenly over the list; null takes all of them."""
    scales: tuple[float, ...] | None = None
    """Scales of the images; the run's unless told, 1 where there is no run."""
    max_side: int | None = None
    """Images with a longer side, in pixels, are reduced to it; the run's unless told."""
    square: int | None = None
    """Bring every image to a square of so many pixels, as localization does; the run's unless told."""
    steps: int | None = None
    """T, number of climbing steps; the run's unless told."""
    step_size: float | None = None
    """xi, in the units that the climb is given in; the run's unless told."""
    reg_weight: float | None = None
    """lambda, likewise."""
    mask_threshold: float | None = None
    """tau; the run's unless told."""
    adapt: bool | None = None
    """Bring step_size and reg_weight from the authors' units to the network's; the run's choice unless told."""
    saliency: str | None = None
    """A folder of salient-object maps, for fig11 and table9; the run's where it has them."""
    panels: str = "abcde"
    """Of fig11."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network runs; "auto" takes a GPU where there is one."""

    def __post_init__(self) -> None:
        if self.images is not None and self.images < 1:
            raise SettingsError(f"images must be at least 1, or null for all of them, not {self.images}")
        if not self.panels or set(self.panels) - set("abcde"):
            raise SettingsError(f"panels must be letters of abcde, not {self.panels!r}")
