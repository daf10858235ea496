"""The climbs that figures are made of: what is kept is what was climbed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import advcam
from advcam.analyse import climbs
from advcam.analyse.climbs import all_steps, climb_steps, fused, object_shares
from advcam.analyse.subject import Subject
from advcam.attribute.inputs import to_input
from advcam.data import read_image


def test_steps_add_up_to_the_climb(mapper: advcam.ClassMapper) -> None:
    images, settings = torch.randn(2, 3, 32, 48), advcam.ClimbSettings(steps=5)
    maps, scores = climb_steps(mapper, images, [0, 1], settings)
    torch.testing.assert_close(maps.sum(dim=1), advcam.climb(mapper, images, torch.tensor([0, 1]), settings))
    assert scores.shape == (2, 5, 2)
    assert scores[0, -1, 0] > scores[0, 0, 0]


def test_localization_maps_are_the_library_s(subject: Subject) -> None:
    subject = replace(subject, scales=(0.5, 1.0))
    for record, scales in all_steps(subject):
        picture = read_image(record.image)
        expected = advcam.localization_maps(subject.mapper, picture, record.classes, subject.climb, subject.scales)
        torch.testing.assert_close(fused(scales, picture.shape[:2], [3])[0], expected, rtol=0, atol=2e-3)


def test_what_is_kept_is_read_again_and_not_climbed_again(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = {record.id: scales[0].maps for record, scales in all_steps(subject)}
    cached = replace(subject, cache=tmp_path)
    first = list(all_steps(replace(cached, records=subject.records[:1])))
    assert len(list(tmp_path.rglob("*.npz"))) == 1
    torch.testing.assert_close(first[0][1][0].maps, alone["0"], rtol=1e-3, atol=1e-3)
    climbed: list[int] = []
    whole = climbs.climb_steps
    monkeypatch.setattr(
        climbs, "climb_steps", lambda mapper, images, *rest: climbed.append(len(images)) or whole(mapper, images, *rest)
    )
    for record, scales in all_steps(cached):
        largest = alone[record.id].abs().max()
        torch.testing.assert_close(scales[0].maps / largest, alone[record.id] / largest, rtol=0, atol=1e-3)
    assert climbed == [3]  # the other two images together, one of them with two classes
    list(all_steps(cached.with_climb(step_size=0.01)))
    assert climbed == [3, 4]


def test_the_part_of_a_cell_that_is_object(subject: Subject) -> None:
    mask = torch.zeros(8, 8, dtype=torch.uint8).numpy()
    mask[:4, :2], mask[:4, 4:] = 2, 255
    shares = object_shares(mask, 1, (2, 2))
    assert shares[0, 0] == 0.5
    assert shares[0, 1].isnan()
    assert shares[1].tolist() == [0, 0]


def test_climbed_pictures_are_the_network_s_input(subject: Subject) -> None:
    record = subject.records[0]
    (_, (steps,)), *_ = all_steps(subject)
    view = to_input(read_image(record.image), subject.mapper)[None]
    expected = advcam.climb(subject.mapper, view, torch.tensor(record.classes), replace(subject.climb, steps=1))
    torch.testing.assert_close(steps.maps[:, 0], expected)
