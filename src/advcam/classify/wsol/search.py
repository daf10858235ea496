"""Random search over a method's hyper-parameters, with the benchmark's ranges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from advcam.classify.wsol.settings import WSOLSettings
from advcam.errors import SettingsError

TRIALS = 30
"""The benchmark's number of trials."""


def draw_settings(base: WSOLSettings, trial: int, seed: int = 0) -> tuple[WSOLSettings, int]:
    """The settings of one trial, and its output stride: a function of the seed and the trial alone.

    Ranges (Choe et al. 2020): learning rate log-uniform in [1e-5, 1]; cells of 16 or 8 pixels; HaS rate and area
    uniform in [0, 1], the area as the side of a square relative to the image's; ACoL's threshold, ADL's rate and
    threshold uniform in [0, 1]; SPG's thresholds uniform with each low one below its high one; CutMix's rate uniform
    in [0, 1], its beta ``1 / U - 1/2`` with U uniform in (0, 2].

    Args:
        base: everything that is not drawn.
        trial: number of the trial.
        seed: of all trials together.

    Raises:
        SettingsError: the method is "none".

    >>> first, again = (draw_settings(WSOLSettings(method="adl"), trial=3) for _ in range(2))
    >>> first == again, 1e-5 <= first[0].lr <= 1, first[1] in (8, 16)
    (True, True, True)
    """
    if base.method == "none":
        raise SettingsError("wsol.method is none, so there is nothing to search: name a method")
    generator = np.random.default_rng((seed, trial))
    drawn: dict[str, Any] = {"lr": float(10 ** generator.uniform(-5, 0))}
    stride = int(generator.choice((8, 16)))
    match base.method:
        case "has":
            area = generator.uniform()
            drawn |= {"has_rate": float(generator.uniform()), "has_grid": round(float(np.sqrt(area)) * base.crop)}
        case "acol":
            drawn["acol_threshold"] = float(generator.uniform())
        case "spg":
            pairs = np.sort(generator.uniform(size=(3, 2)), axis=1)[:, ::-1]
            drawn["spg_thresholds"] = tuple(float(value) for value in pairs.ravel())
        case "adl":
            drawn |= {"adl_rate": float(generator.uniform()), "adl_threshold": float(generator.uniform())}
        case "cutmix":
            beta = 1 / (2 - generator.uniform(0, 2)) - 0.5
            drawn |= {"cutmix_rate": float(generator.uniform()), "cutmix_beta": max(float(beta), 1e-3)}
    return replace(base, **drawn), stride
