"""Step and lambda chosen from labels alone."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import pytest
import torch

from advcam import ClimbSettings, climb
from advcam.analyse.calibration import HELD, NEAR, TARGET, calibrate, growths
from advcam.analyse.subject import Subject
from advcam.errors import DataError, SettingsError


def test_other_cells_double_and_the_discriminative_ones_stay(subject: Subject) -> None:
    sample = (subject.climbable, [subject.picture(r) for r in subject.records], [r.classes for r in subject.records])
    start = replace(subject.climb, step_size=0.5, reg_weight=10.0)
    found = calibrate(*sample, start, (1.0,))
    free = replace(start, step_size=found.step_size, reg_weight=0.0, suppress_others=False)
    grown = torch.cat([one.others[-1] for one in growths(*sample, free, (1.0,))]).median()
    assert abs(float(grown) - TARGET) < NEAR
    assert float(grown) == found.others
    held = replace(start, step_size=found.step_size, reg_weight=found.reg_weight)
    assert found.deviation == fmean(one.deviation for one in growths(*sample, held, (1.0,))) <= HELD
    assert calibrate(*sample, replace(start, reg_weight=0.0), (1.0,)).reg_weight == 0
    with pytest.raises(DataError, match="sees no class"):
        calibrate(subject.climbable, [], [], start, (1.0,))
    with pytest.raises(SettingsError, match=r"climb\.calibrate is of a run"):
        climb(subject.mapper, torch.zeros(1, 3, 32, 48), [0], ClimbSettings(calibrate=3))
