"""``advcam analyse``: on a run, and on a classifier and a data set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from advcam.cli import main


def test_without_a_run(
    small_data: Path, small_classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, classifier = str(small_data), str(small_classifier)
    words = ["analyse", "fig2,table9", "--data", data, "--classifier", classifier, "--out", str(tmp_path)]
    assert main([*words, "--steps", "2", "--images", "3", "--device", "cpu"]) == 0
    found = json.loads((tmp_path / "analysis/fig2.json").read_text())
    assert found["facts"]["climb"]["steps"] == 2
    assert found["facts"]["images"] == 3
    assert (tmp_path / "analysis/table9.csv").read_text().startswith("maps,")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "analysis/climbs").rglob("*.npz")}
    assert len(kept) == 6  # with and without regularization; table9 climbs nothing anew
    assert main([*words, "--steps", "2", "--images", "3", "--device", "cpu"]) == 0
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "analysis/climbs").rglob("*.npz")}
    capsys.readouterr()
    assert main(["analyse", "fig99", "--data", data, "--classifier", classifier, "--out", str(tmp_path)]) == 2
    assert "there is no analysis 'fig99'" in capsys.readouterr().err
    assert main(["analyse", "fig2", "--out", str(tmp_path)]) == 2
    assert "no run folder, so" in capsys.readouterr().err


def test_a_run_beside_the_paper(small_data: Path, small_classifier: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    words = ["--data", str(small_data), "--out", out, "--device", "cpu"]
    assert main(["classify", *words, "--classifier", str(small_classifier)]) == 0
    assert main(["attribute", "--out", out, "--attribute.scales", "[1.0]", "--climb.steps", "2"]) == 0
    assert main(["evaluate", "--out", out]) == 0
    assert main(["analyse", "table11,paper", "--out", out, "--device", "cpu"]) == 0
    rows = json.loads((tmp_path / "run/analysis/paper.json").read_text())["rows"]
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    seeds = {entry["masks"]: 100 * entry["miou"] for entry in reversed(metrics["results"])}
    (row,) = (r for r in rows if (r["table"], r["row"], r["column"]) == ("table1", "AdvCAM, IRN", "Seed"))
    assert (row["paper"], row["images"], row["same_data"]) == (55.6, 6, False)
    assert row["measured"] == pytest.approx(seeds["advcam seed"], rel=1e-5)
    assert [r["row"] for r in rows if r["table"] == "table11"][:2] == ["miou, last", "precision, last"]
    (row,) = (r for r in rows if (r["table"], r["row"], r["column"]) == ("table1", "AdvCAM-Sal", "Mask"))
    assert row["missing"].startswith("advcam run voc12_table1_advcam_sal_irn")


def test_a_run_keeps_the_step_and_lambda_that_were_chosen_for_it(
    small_data: Path, small_classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "run")
    words = ["--data", str(small_data), "--out", out, "--device", "cpu"]
    assert main(["classify", *words, "--classifier", str(small_classifier)]) == 0
    own = ["attribute", "--out", out, "--attribute.scales", "[1.0]", "--climb.steps", "2"]
    assert main([*own, "--climb.calibrate", "2"]) == 0
    entry = yaml.safe_load((tmp_path / "run/run.yaml").read_text())["artifacts"]["advcam/maps"]
    chosen = entry["settled"]["calibrated"]
    assert chosen["images"] == 2
    assert entry["result"]["climb"]["step_size"] == chosen["step_size"]
    assert entry["facts"]["climb"]["calibrate"] == 2
    capsys.readouterr()
    assert main(["status", "--out", out]) == 0
    assert "chosen on 2 images by their labels" in capsys.readouterr().out
    assert main(["analyse", "fig2", "--out", out, "--images", "1", "--device", "cpu"]) == 0
    assert main([*own, "--climb.calibrate", "1"]) == 2
    assert "calibrate" in capsys.readouterr().err
