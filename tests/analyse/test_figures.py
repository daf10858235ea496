"""Every figure and table on three small pictures: numbers that hold, and files that are written."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from advcam.analyse import analysis
from advcam.analyse.gallery import Pair, largest_gains, largest_losses
from advcam.analyse.growth import coverage
from advcam.analyse.landscape import landscapes
from advcam.analyse.manifold import drift, own_features
from advcam.analyse.result import Analysis
from advcam.analyse.sizes import object_sizes, size_groups
from advcam.analyse.subject import Subject
from advcam.data import Box, read_mask
from advcam.errors import DataError
from advcam.models import ClassMapper


def written(found: Analysis, folder: Path) -> dict:
    """The JSON of an analysis, after all of its files were written and its plot has something in it."""
    paths = found.write(folder)
    if found.draw is not None:
        with Image.open(folder / f"{found.name}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 5
        assert paths[-1].read_text().startswith("<?xml")
    assert len(paths[0].read_text().splitlines()) == 1 + len(found.rows)
    return json.loads(paths[1].read_text())


def test_a_linear_score_has_a_flat_landscape_where_the_loss_is_low() -> None:
    mapper = ClassMapper(torch.nn.Conv2d(3, 4, 1), 3 * torch.randn(2, 4))
    climb, attack = landscapes(mapper, torch.randn(1, 3, 8, 8), torch.tensor([[1.0, 0.0]]), 2.0)
    assert climb.losses[0, 3] == pytest.approx(attack.losses[0, 3].item())
    assert climb.losses[-1].mean() < climb.losses[0].mean() < attack.losses[-1].mean()
    assert climb.slope < attack.slope


def test_fig3(subject: Subject, tmp_path: Path) -> None:
    numbers = written(analysis("fig3")(replace(subject, cache=tmp_path / "kept")), tmp_path)["numbers"]
    assert numbers["loss at the end, climb"] < numbers["loss at the end, attack"]
    assert len(list((tmp_path / "kept").rglob("*.npz"))) == 3


def test_fig4(subject: Subject, tmp_path: Path) -> None:
    found = analysis("fig4")(subject, steps=(0, 2, 9))
    numbers = written(found, tmp_path)["numbers"]
    assert {row["step"] for row in found.rows} == {0, 2, 3}
    assert 0 < numbers["share of saliency on the object, step 3"] < 1
    mask = read_mask(subject.records[0])
    assert next(row["area"] for row in found.rows if row["image"] == "0") == pytest.approx((mask == 1).mean())


def test_coverage_is_nothing_where_there_is_nothing() -> None:
    own, ground, other = coverage(torch.tensor([[0.5, 1.0]]), np.array([[1, 255]], np.uint8), 0)
    assert own == 0.5
    assert math.isnan(ground)
    assert math.isnan(other)


def test_fig5_has_the_images_of_several_classes(subject: Subject, tmp_path: Path) -> None:
    found = analysis("fig5")(subject)
    written(found, tmp_path)
    assert [(row["image"], row["class"]) for row in found.rows if row["map"] == "CAM"] == [("2", "bar"), ("2", "disc")]
    with pytest.raises(DataError, match="several classes"):
        analysis("fig5")(replace(subject, records=subject.records[:2]))


@pytest.mark.parametrize("name", ["fig6", "fig12"])
def test_growth_begins_at_the_same_map(name: str, subject: Subject, tmp_path: Path) -> None:
    found = analysis(name)(subject)
    written(found, tmp_path)
    first = [row["on the object"] for row in found.rows if row["step"] == 0]
    last = [row["on the object"] for row in found.rows if row["step"] == 3]
    assert first[0] == first[1]
    assert last[0] != last[1]


def test_rules_of_the_galleries() -> None:
    pairs = [
        Pair(str(i), 0, 0.5, 0.5 + gain, size)
        for i, (gain, size) in enumerate([(0.1, 0.1), (0.3, 0.2), (-0.2, 0.3), (0.2, 0.8), (0.0, 0.9), (0.4, 0.7)])
    ]
    assert [pair.image for pair in largest_gains(pairs, 4)] == ["1", "0", "5", "3"]
    assert [pair.image for pair in largest_losses(pairs, 2)] == ["2"]
    assert [pair.image for pair in largest_losses(pairs[3:], 2)] == ["4"]


@pytest.mark.parametrize("name", ["fig7", "fig13", "fig15"])
def test_galleries_and_scores(name: str, subject: Subject, tmp_path: Path) -> None:
    written(analysis(name)(subject), tmp_path)


def test_masks_of_a_run(subject: Subject, tmp_path: Path) -> None:
    for record in subject.records:
        Image.fromarray(read_mask(record)).save(tmp_path / f"{record.id}.png")
    numbers = written(analysis("fig8")(subject, {"truth itself": tmp_path}), tmp_path)["numbers"]
    assert numbers == {"mean of the images' mIoU, truth itself": 100.0}
    with pytest.raises(DataError, match="no image has one"):
        analysis("fig9")(subject, {"nothing": tmp_path / "nowhere"})


def with_boxes(subject: Subject) -> Subject:
    boxes = ((Box(0, 33, 0, 40, 32),), (Box(1, 5, 9, 20, 24),))
    records = [replace(r, mask=None, boxes=own) for r, own in zip(subject.records[:2], boxes, strict=True)]
    return replace(subject, records=tuple(records), square=32)


@pytest.mark.parametrize("name", ["fig10", "fig13"])
def test_box_galleries(name: str, subject: Subject, tmp_path: Path) -> None:
    found = analysis(name)(with_boxes(subject))
    written(found, tmp_path)
    assert [row["image"] for row in found.rows] == ["0", "1"]


def test_table10(subject: Subject, tmp_path: Path) -> None:
    found = analysis("table10")(with_boxes(subject))
    written(found, tmp_path)
    assert [row["maps"] for row in found.rows] == ["no climb", "climb", "climb, regularizer"]
    assert all(0 <= row["top1_loc"] <= row["top1_cls"] for row in found.rows)
    with pytest.raises(DataError, match="no image has one class and a box"):
        analysis("table10")(subject)


def test_sizes_of_classes(subject: Subject, tmp_path: Path) -> None:
    bar = (read_mask(subject.records[0]) == 1).mean()
    sizes = object_sizes(subject)
    assert sizes[0] == pytest.approx((bar + (read_mask(subject.records[2]) == 1).mean()) / 2)
    assert size_groups(sizes)["largest"] == [2 if sizes[1] > sizes[0] else 1]
    found = analysis("fig14")(subject)
    written(found, tmp_path)
    assert [row["object size"] for row in found.rows] == sorted(sizes)


def test_table13_has_a_row_for_each_t_and_tau(subject: Subject, tmp_path: Path) -> None:
    found = analysis("table13")(subject, steps=(2, 3), mask_thresholds=(0.5, 0.4))
    written(found, tmp_path)
    assert [row["maps"] for row in found.rows] == ["CAM", "T 2, tau 0.5", "T 3, tau 0.5", "T 3, tau 0.4"]


def test_tables_9_and_11_agree_on_the_sum(subject: Subject, tmp_path: Path) -> None:
    nine, eleven = (written(analysis(name)(subject), tmp_path) for name in ("table9", "table11"))
    assert nine["rows"][1]["miou"] == eleven["rows"][1]["miou"]
    assert eleven["rows"][0]["miou"] != eleven["rows"][1]["miou"]
    assert eleven["paper"]["miou, last"] == 54.0


def test_table12_climbs_other_maps_of_the_network(subject: Subject, tmp_path: Path) -> None:
    found = written(analysis("table12")(subject), tmp_path)
    nine = analysis("table9")(subject).rows
    seeds = {(row["map"], row["seeds"]): row["miou"] for row in found["rows"]}
    assert seeds["cam", "climbed"] == pytest.approx(nine[1]["miou"], rel=1e-4)
    assert len(set(seeds.values())) == 6
    assert subject.with_map("layercam").climb.unit_channels == 1


def test_the_trajectory_among_the_features(subject: Subject, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    assert drift(np.array([[0.0], [1.0], [3.0]]), np.array([[1.0], [5.0]])) == (0.0, 2.0)
    with pytest.raises(DataError, match="three images that hold"):
        analysis("fig16")(subject)
    many = tuple(replace(r, id=f"{r.id}-{i}") for i in range(8) for r in subject.records[:2])
    sure = Subject(telling_apart(subject), subject.class_names, many, subject.climb)
    found = analysis("fig16")(sure)
    written(found, tmp_path)
    assert found.numbers["bar: images"] == 8
    margins = [found.numbers[f"bar: margin to the other class at the {end}"] for end in ("beginning", "end")]
    assert margins[0] < margins[1]


def telling_apart(subject: Subject) -> ClassMapper:
    """A classifier whose boundary lies halfway between the first two pictures."""
    first, second = (torch.from_numpy(own_features(subject, r)["features"]) for r in subject.records[:2])
    bias = (second @ second - first @ first) / 2
    weight, both = torch.stack([first - second, second - first]), torch.stack([bias, -bias])
    return ClassMapper(subject.mapper.features, weight, both)
