"""Fig. 11: one command, five panels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from advcam.analyse import analysis
from advcam.analyse.ablations import fig11
from advcam.analyse.seeds import marks, seed_curve
from advcam.analyse.subject import Subject
from advcam.errors import DataError, SettingsError


def test_five_panels(subject: Subject, tmp_path: Path) -> None:
    found = fig11(subject, weight_factors=(0.0, 1.0), mask_thresholds=(0.5,), step_factors=(0.5, 1.0))
    found.write(tmp_path)
    by_panel = {panel: [row for row in found.rows if row["panel"] == panel] for panel in ("a, b", "c", "d", "e")}
    assert {panel: len(rows) for panel, rows in by_panel.items()} == {"a, b": 16, "c": 8, "d": 4, "e": 8}
    # One setting, four times: both parts, lambda, tau and xi as they are.
    both = [row["miou"] for row in by_panel["a, b"] if row["setting"] == "both"]
    for panel, value in (("c", 1.0), ("d", 0.5), ("e", 0.08)):
        assert [row["miou"] for row in by_panel[panel] if row["value"] == pytest.approx(value)] == both
    assert found.numbers["mIoU of CAM"] == both[0]
    assert found.numbers["best mIoU, both"] == max(both)


def test_without_ground_truth_it_says_so(subject: Subject) -> None:
    bare = replace(subject, records=tuple(replace(record, mask=None) for record in subject.records))
    with pytest.raises(DataError, match="3 images have none"):
        seed_curve(bare, "fig11")


def test_the_saliency_curve_differs(subject: Subject) -> None:
    import torch

    def salient(record: object) -> torch.Tensor:
        maps = torch.zeros(32, 48)
        maps[:, 24:] = 1
        return maps

    held = fig11(replace(subject, saliency=salient), panels="ab")
    by_name = {row["setting"]: row["miou"] for row in held.rows if row["step"] == 3}
    assert list(by_name) == ["neither", "suppression", "restriction", "both", "both, saliency"]
    assert by_name["both, saliency"] != by_name["both"]


def test_steps_and_names() -> None:
    assert marks(27)[-3:] == (16, 20, 26)
    with pytest.raises(SettingsError, match="there is no analysis 'fig99'"):
        analysis("fig99")
