"""Fig. 2: ratios of cells, overshoot, and how wide the plain map is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from advcam.analyse.amplification import Bands, fig2, growth, own_threshold
from advcam.analyse.subject import Subject


def test_ratios_by_region_and_what_overshoots() -> None:
    first = torch.tensor([[1.0, 0.5, 0.4, 0.05]])
    maps = torch.stack([first, 2 * first, first * torch.tensor([0.8, 0.8, 3.0, 9.0]), 1.1 * first])
    found = growth(maps)
    assert found is not None
    assert found.discriminative.shape == (4, 2)
    torch.testing.assert_close(found.others[:, 0], torch.tensor([1.0, 2.0, 3.0, 1.1]))
    torch.testing.assert_close(found.level, torch.tensor([1.0, 2.0, 0.8, 1.1]))
    assert found.reversals == 1.0
    assert found.deviation == pytest.approx(1.0)
    assert found.swing == pytest.approx((1 + 0.6 + 0.375) / 3, rel=1e-5)
    assert growth(torch.zeros(3, 2, 2)) is None


def test_otsu_lies_between_two_heights() -> None:
    values = torch.cat([torch.full((50,), 0.2), torch.full((20,), 0.9), torch.ones(1)])[None]
    assert 0.2 < own_threshold(values) < 0.9


def test_bands_count_cells_by_the_plain_map() -> None:
    bands = Bands.none()
    bands.update(torch.tensor([[2.0, 0.5, 0.5, 0.1]]), torch.tensor([[1.0, 0.5, 0.0, 1.0]]))
    assert bands.cells.tolist() == [0, 2, 0, 0, 1]
    assert bands.share[1] == 0.25
    assert bands.share[4] == 1.0


def test_fig2_writes_numbers_and_a_plot(subject: Subject, tmp_path: Path) -> None:
    found = fig2(subject)
    paths = found.write(tmp_path)
    assert [path.name for path in paths] == ["fig2.csv", "fig2.json", "fig2.png", "fig2.svg"]
    written = json.loads(paths[1].read_text())
    assert written["facts"]["climb"]["steps"] == 4
    assert written["numbers"]["pairs, with, scale 1"] == 4
    assert len(paths[0].read_text().splitlines()) == 1 + 2 * 2 * 4
    first = [row for row in found.rows if row["step"] == 0]
    assert {row["median"] for row in first} == {1.0}
    before = paths[3].read_bytes()
    fig2(subject).write(tmp_path)
    assert paths[3].read_bytes() == before
