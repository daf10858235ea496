"""The paper's numbers beside a run's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from advcam.analyse.paper import paper
from advcam.analyse.paper_rows import paper_rows
from advcam.analyse.result import Analysis

METRICS = {
    "results": [
        {"masks": "cam seed", "split": "train", "images": 30, "miou": 0.40},
        {"masks": "advcam seed", "split": "val", "images": 9, "miou": 0.41},
        {"masks": "advcam seed", "split": "train", "images": 30, "miou": 0.45},
        {"masks": "advcam + irn + crf", "split": "train", "images": 30, "miou": 0.55},
    ],
    "wsol": [
        {"masks": "advcam", "split": "test", "images": 7, "top1_loc": 50.0, "max_box_acc_v2_mean": 60.0}
        | {"max_box_acc_v2": {"30": 90.0, "50": 60.0, "70": 30.0}},
    ],
}


def rows(found: Analysis, table: str) -> dict[tuple[Any, Any], Any]:
    wanted = [row for row in found.rows if row["table"] == table and row["data"] != "imagenet"]
    return {(row["row"], row["column"]): row["measured"] for row in wanted}


def test_a_run_stands_in_the_rows_that_are_its_own() -> None:
    settings = {"refine": {"method": "irn"}, "saliency": {"source": "none"}}
    found = paper(METRICS, settings, classes=20, recipes=("voc12_table1_cam_psa",))
    one = rows(found, "table1")
    assert one["AdvCAM, IRN", "Seed"] == 45.0
    assert one["AdvCAM, IRN", "Mask"] == 55.00000000000001
    assert one["AdvCAM, PSA", "Mask"] is None
    assert one["AdvCAM-Sal", "Seed"] is None
    assert set(rows(found, "table2").values()) == {None}
    missing = {
        (row["row"], row["column"]): row["missing"] for row in found.rows if row["table"] in ("table1", "table3")
    }
    assert missing["PSA (CAM)", "Mask"] == "advcam run voc12_table1_cam_psa"
    assert missing["AdvCAM-Sal", "Seed"] == "a run with advcam seed, saliency.source set"
    assert missing["AdvCAM", "test"] == "labels of test: the data set's evaluation server"


def test_other_data_are_said_to_be_other_data(tmp_path: Path) -> None:
    settings = {"wsol": {"method": "cutmix"}, "backbone": {"architecture": "wsol/resnet50"}}
    made = {
        "name": "table11",
        "paper": {"miou, sum": 55.6},
        "numbers": {"miou, sum": 40.0, "noise, sum": 0.3},
        "facts": {},
    }
    found = paper(METRICS, settings, [made], classes=4)
    assert rows(found, "table7")["CutMix + Ours", "mean"] == 60.0
    assert rows(found, "table7")["CAM + Ours", "mean"] is None
    assert rows(found, "table11") == {("miou, sum", None): 40.0}
    assert {row["same_data"] for row in found.rows if row["measured"] is not None} == {False}
    assert [row["missing"] for row in found.rows if row["table"] == "fig2"] == ["advcam analyse fig2"]
    assert found.write(tmp_path)[-1].stat().st_size > 1000


def test_gains_that_the_paper_prints_follow_from_its_rows() -> None:
    by_row = {(row.table, row.data, row.row, row.column): row.value for row in paper_rows()}
    assert len(by_row) == len(list(paper_rows()))
    gains = {
        name: by_row["table12", "voc12", f"{name} + climbing", "Seed"] - by_row["table12", "voc12", name, "Seed"]
        for name in ("Grad-CAM++", "Chang et al.", "SEAM", "IRN")
    }
    assert {name: round(gain, 1) for name, gain in gains.items()} == {
        "Grad-CAM++": 3.0,
        "Chang et al.": 2.8,
        "SEAM": 3.2,
        "IRN": 6.8,
    }
