"""The list of all images, and what trainings left."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from advcam.report.page import Page, render
from advcam.report.tiles import SIDE, Tile, as_data, image_iou, small_picture
from advcam.report.training import POINTS, training_section


def test_the_iou_of_an_image_is_that_of_its_classes() -> None:
    mask = np.array([[1, 1, 2, 0]], np.uint8)
    truth = np.array([[1, 255, 0, 3]], np.uint8)
    assert image_iou(mask, truth) == 1 / 3
    assert image_iou(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8)) is None


def test_no_name_ends_the_data_of_the_tiles(tmp_path: Path) -> None:
    file = tmp_path / "large.jpg"
    Image.new("RGB", (1600, 800), (200, 30, 30)).save(file)
    address = small_picture(file)
    assert address.startswith("data:image/jpeg;base64,")
    assert len(address) < 4000
    tiles = [Tile("</script><b>", "val", ("<i>",), address, 0.25, 0.5, ("stray 0.90",), flagged=True)]
    text = render(Page(title="t", summary="s", made="now", claim="c", tiles=tiles))
    start = text.index('id="tile-data">') + len('id="tile-data">')
    (row,) = json.loads(text[start : text.index("</script>", start)])
    assert row["name"] == "</script><b>"
    assert (row["iou"], row["doubt"], row["reasons"], row["flagged"]) == (0.25, 0.5, ["stray 0.90"], True)
    assert text.index("most doubtful first") < text.index("as they come")
    assert "<option>&lt;i&gt;</option>" in text
    assert str(as_data([])) == "[]"
    assert SIDE == 160


def test_a_training_is_shown_by_its_curves_and_last_pictures(tmp_path: Path) -> None:
    assert training_section("DeepLab", tmp_path) is None
    rows = "".join(f"{update},0.1,{1 / update}\n" for update in range(1, 1001))
    (tmp_path / "log.csv").write_text("update,lr,loss\n" + rows)
    (tmp_path / "validation.csv").write_text("update,miou,AP/cat\n500,0.5,0.1\n1000,0.75,0.2\n")
    (tmp_path / "samples").mkdir()
    for name in ("000500_a", "001000_a", "001000_b"):
        Image.new("RGB", (40, 20)).save(tmp_path / "samples" / f"{name}.png")
    found = training_section("DeepLab", tmp_path)
    assert found is not None
    assert [title for title, _ in found.charts] == ["loss", "score on validation images"]
    assert str(found.charts[0][1]).count("target") == POINTS
    assert "75.0" in str(found.charts[1][1])
    assert "AP/cat" not in str(found.charts[1][1])
    assert [sample.description for sample in found.samples] == ["a after update 1000", "b after update 1000"]
