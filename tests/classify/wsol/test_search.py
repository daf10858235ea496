"""The ranges of the random search."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from advcam.classify.wsol.settings import METHODS, WSOLSettings
from advcam.errors import SettingsError

draw_settings = runpy.run_path(str(Path(__file__).parents[3] / "benchmarks/wsol_search.py"))["draw_settings"]


@pytest.mark.parametrize("method", METHODS)
def test_every_trial_can_be_trained_and_all_differ(method: str) -> None:
    drawn = [draw_settings(WSOLSettings(method=method), trial) for trial in range(200)]
    assert len({settings for settings, _ in drawn}) == 200
    assert {stride for _, stride in drawn} == {8, 16}
    rates = np.log10([settings.lr for settings, _ in drawn])
    assert -5 <= rates.min() < -4.5
    assert -0.5 < rates.max() <= 0
    assert np.mean(rates) == pytest.approx(-2.5, abs=0.3)


def test_only_what_belongs_to_the_method_is_drawn() -> None:
    base = WSOLSettings(method="acol")
    settings, _ = draw_settings(base, 0)
    changed = {name for name in vars(base) if getattr(base, name) != getattr(settings, name)}
    assert changed == {"lr", "acol_threshold"}


def test_nothing_to_search() -> None:
    with pytest.raises(SettingsError, match="nothing to search"):
        draw_settings(WSOLSettings(), 0)
