"""A run folder out into tools, in the order of the doubt, and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from run_folder import IDS, NAMES, SIZE, box_mask, corrected_ids

import advcam
from advcam.data import open_dataset
from advcam.data.masks import read_mask, write_mask
from advcam.errors import DataError, RunError, SettingsError
from advcam.export.corrected import Corrected
from advcam.export.source import annotated, open_view
from advcam.export.write import write
from advcam.review.coming_back import take
from advcam.review.queue import queue
from advcam.review.table import Entry, by_image, read_table, renewed, write_table
from advcam.review.truth import corrected_files, rejected, to_learn_from, with_corrections


@pytest.mark.parametrize("name", ["coco", "cvat", "label_studio", "yolo"])
def test_a_run_goes_out_and_comes_back_the_same(name: str, run: Path) -> None:
    path = getattr(advcam.export, name)(run)
    assert path.is_relative_to(run / "export")
    found = advcam.export.read(path)
    assert found.class_names == NAMES
    assert {key: mask.tolist() for key, mask in found.items()} == {
        key: box_mask(number).tolist() for number, key in enumerate(IDS)
    }


def test_the_odd_image_is_first_in_the_queue_and_in_label_studio(run: Path) -> None:
    entries = queue(open_view(run), lambda image_id: {1: 0.97} if image_id == "0" else {0: 0.5})
    write_table(run / "review.csv", renewed([], entries))
    ordered = read_table(run / "review.csv")
    assert list(by_image(ordered))[:2] == ["sub/3", "0"]
    (odd,) = (entry for entry in ordered if entry.image == "sub/3")
    assert odd.doubt == pytest.approx(max(e.doubt for e in ordered if e.image != "0"))
    assert odd.reasons == ("unsure 0.70", "unstable 1.00")
    # The classifier sees a dog in an image that has no such label.
    assert ordered[1] == Entry("0", "dog", 0.97, ("unlabelled 0.97",))
    tasks = json.loads(advcam.export.label_studio(run).read_text())
    scores = {task["data"]["advcam_id"]: task["predictions"][0]["score"] for task in tasks}
    assert min(scores, key=lambda key: scores[key]) == "sub/3"


def test_a_run_is_found_from_another_folder(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = yaml.safe_load((run / "run.yaml").read_text())
    content["settings"]["data"], content["place"] = "photos", str(tmp_path)
    (run / "run.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.chdir(run)
    assert set(open_view(run).images) == set(IDS)


def test_boxes_of_a_run(run: Path) -> None:
    with pytest.raises(RunError, match="localize"):
        advcam.export.coco(run, what="boxes")
    (run / "boxes.csv").write_text("image,class,score,x0,y0,x1,y1\nsub/1,dog,0.75,3,2,13,12\n")
    content = json.loads(advcam.export.coco(run, what="boxes").read_text())
    assert [(a["bbox"], a["category_id"], a["score"]) for a in content["annotations"]] == [([3, 2, 10, 10], 2, 0.75)]


def test_predictions_go_out_with_their_pictures(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "predictions"
    write_mask(out / "masks" / "sub/1.png", box_mask(1))
    (out / "predict.json").write_text(json.dumps({"classes": NAMES}))
    with pytest.raises(SettingsError, match="images"):
        open_view(out)
    found = annotated(open_view(out, tmp_path / "photos"))
    assert found.ids == ("sub/1",)
    path = write(found, tmp_path / "coco", "coco", pictures=True)
    assert (path.parents[1] / "images/sub/1.png").is_file()
    with pytest.raises(RunError, match="neither"):
        open_view(tmp_path)


def test_only_what_was_changed_comes_back(run: Path) -> None:
    view = open_view(run)
    write_table(run / "review.csv", [Entry(name, NAMES[0], 0.5) for name in IDS])
    path = write(annotated(view), run / "out", "png")
    write_mask(path / "masks" / "sub/3.png", box_mask(3, 20))
    write_mask(path / "masks" / "elsewhere.png", box_mask(3))
    taken = take(view, advcam.export.read(path, NAMES))
    assert (taken.masks, taken.labels, taken.same, taken.unknown) == (["sub/3"], [], 7, ["elsewhere"])
    assert corrected_ids(run) == ["sub/3"]
    assert {e.image for e in read_table(run / "review.csv") if e.decision == "corrected"} == {"sub/3"}
    # The run's own mask is as it was; what is exported next is the corrected one.
    assert (view.mask("sub/3") == box_mask(3)).all()
    assert (advcam.export.read(advcam.export.coco(run))["sub/3"] == box_mask(3, 20)).all()
    assert take(view, advcam.export.read(path, NAMES)).masks == []
    assert len(take(view, advcam.export.read(path, NAMES), unchanged=True).masks) == 8


def test_labels_come_back_too_and_what_nobody_annotated_does_not(run: Path) -> None:
    view = open_view(run)
    path = write(annotated(view), run / "out", "labelstudio")
    tasks = json.loads(path.read_text())
    regions = tasks[0]["predictions"][0]["result"]
    for region in regions:
        if region["type"] == "choices":
            region["value"]["choices"] = ["cat", "dog"]
    tasks[0]["annotations"] = [{"result": regions}]
    path.write_text(json.dumps(tasks))
    taken = take(view, advcam.export.read(path, NAMES))
    assert (taken.masks, taken.labels, taken.untouched) == ([], [tasks[0]["data"]["advcam_id"]], 7)
    assert open_view(run).labels[taken.labels[0]] == (0, 1)


def test_nothing_is_kept_of_an_export_that_does_not_fit(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_mask(other / "masks" / "0.png", np.ones((5, 5), np.uint8))
    write_mask(other / "masks" / "2.png", box_mask(2, 20))
    with pytest.raises(DataError, match="5 x 5 pixels and the image 32 x 24"):
        take(open_view(run), advcam.export.read(other, NAMES))
    (other / "masks" / "2.png").rename(other / "masks" / "none.png")
    (other / "masks" / "0.png").unlink()
    with pytest.raises(DataError, match="none of the 1 images"):
        take(open_view(run), advcam.export.read(other, NAMES))
    assert corrected_ids(run) == []


def test_corrections_are_the_truth_and_what_is_learnt_from(run: Path) -> None:
    images = open_dataset(run.parent / "photos", None)
    assert with_corrections(images, run) is images
    kept = Corrected(run)
    kept.keep("2", box_mask(2, 20))
    kept.relabel({"4": ["cat", "dog"]})
    write_table(run / "review.csv", [Entry("6", "cat", 0.9, (), "rejected"), Entry("2", "cat", 0.9, (), "corrected")])
    found = {record.id: record for record in with_corrections(images, run).records}
    assert (read_mask(found["2"], SIZE) == box_mask(2, 20)).all()
    assert found["4"].classes == (0, 1)
    assert found["0"].mask is None
    learnt = {record.id: record.mask for record in to_learn_from(images, images.records, run).records}
    assert set(learnt) == set(IDS) - {"6"}
    assert learnt["2"] == kept.mask("2")
    assert corrected_files(images.records, run) == {"2": kept.mask("2")}
    assert rejected(run) == ["6"]
