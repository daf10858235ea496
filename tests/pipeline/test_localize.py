"""Boxes of a run: the files, what swept means, and what is refused."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import entry

from advcam.attribute.result import LocalizationMaps
from advcam.errors import DataError, RunError
from advcam.localize.settings import LocalizeSettings
from advcam.pipeline.graph import run_stages
from advcam.pipeline.stages import BY_VERB, in_run

LISTS = {"train": ("a", "b"), "test": ("c",)}


@pytest.fixture
def boxed(config, tmp_path: Path):
    """Three images in the layout of the WSOL protocol, and a run whose maps are known: 1.0 where the box is."""
    data = tmp_path / "boxed"
    data.mkdir()
    (data / "classes.txt").write_text("bar\ndisc\n")
    true = {"a": (8, 4, 40, 28), "b": (16, 8, 48, 40), "c": (4, 4, 24, 44)}
    for split, names in LISTS.items():
        (data / split).mkdir()
        (data / split / "image_ids.txt").write_text("\n".join(f"{name}.png" for name in names))
        (data / split / "class_labels.txt").write_text("\n".join(f"{name}.png,1" for name in names))
        lines = [f"{name}.png,{','.join(map(str, true[name]))}" for name in names]
        (data / split / "localization.txt").write_text("\n".join(lines))
    mine = replace(
        config,
        data=str(data),
        splits=replace(config.splits, maps=("train", "test"), tune="train"),
        attribute=replace(config.attribute, method="cam", scales=(1.0,)),
    )
    for name in true:
        Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(data / f"{name}.png")
    run_stages(mine, ("classify", "attribute"))
    for name, (x0, y0, x1, y1) in true.items():
        maps = np.full((1, 12, 16), 0.3, np.float16)
        maps[0, y0 // 4 : y1 // 4, x0 // 4 : x1 // 4] = 1.0
        # A wider plateau at 0.5 on one image only makes low thresholds wrong there.
        maps[0, :, :2] = 0.5
        LocalizationMaps(np.array([1]), maps, (48, 64), np.array([0.5])).save(Path(mine.out) / f"cam/maps/{name}.npz")
    return mine


def rows(config) -> list[dict[str, str]]:
    with (Path(config.out) / "boxes.csv").open() as lines:
        return list(csv.DictReader(lines))


def test_table_coco_and_overlays(boxed):
    run_stages(boxed, ("localize",))
    found = rows(boxed)
    assert [(row["image"], row["class"], row["score"]) for row in found] == [
        ("a", "disc", "0.5000"), ("b", "disc", "0.5000"), ("c", "disc", "0.5000"),
    ]  # fmt: skip
    corners = [int(found[0][name]) for name in ("x0", "y0", "x1", "y1")]
    assert np.abs(np.array(corners) - (8, 4, 40, 28)).max() <= 2
    coco = json.loads((Path(boxed.out) / "boxes.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == ["a.png", "b.png", "c.png"]
    assert coco["categories"] == [{"id": 1, "name": "bar"}, {"id": 2, "name": "disc"}]
    x, y, width, height = coco["annotations"][0]["bbox"]
    assert [x, y, x + width, y + height] == corners
    with Image.open(Path(boxed.out) / "box_overlays/a.jpg") as overlay:
        assert overlay.size == (64, 48)


def test_swept_says_where_it_was_chosen_and_evaluate_measures(boxed):
    swept = replace(boxed, localize=LocalizeSettings(threshold="swept", overlays=False))
    run_stages(swept, ("localize", "evaluate"))
    assert not (Path(boxed.out) / "box_overlays").exists()
    made = entry(boxed, "boxes").result
    assert made["source"] == {"method": "sweep", "split": "train", "image_count": 2}
    assert 0.3 <= made["threshold"] < 1
    own, other = json.loads((Path(boxed.out) / "metrics.json").read_text())["boxes"]
    assert (own["split"], own["f1"], own["threshold_chosen_on_this_split"]) == ("train", 1.0, True)
    assert (other["split"], other["f1"], other["threshold_chosen_on_this_split"]) == ("test", 1.0, False)
    assert (other["images"], other["found"], other["truth"]) == (1, 1, 1)


def test_other_settings_are_refused(boxed):
    run_stages(boxed, ("localize",))
    with pytest.raises(RunError, match=r"boxes made otherwise \(chosen 'auto' there, 0\.9 now"):
        run_stages(replace(boxed, localize=LocalizeSettings(threshold=0.9)), ("localize",))


def test_boxes_need_maps_and_sweeping_needs_boxes(config):
    with pytest.raises(RunError, match="no whole set of maps yet"):
        run_stages(config, ("localize",))
    run_stages(config, ("classify", "attribute"))
    with pytest.raises(DataError, match=r"has no boxes for all: take localize\.threshold auto"):
        run_stages(replace(config, localize=LocalizeSettings(threshold="swept")), ("localize",))


def test_run_makes_boxes_when_asked(config):
    assert BY_VERB["localize"] not in in_run(config)
    assert BY_VERB["localize"] in in_run(replace(config, localize=LocalizeSettings(in_run=True)))
