"""The verbs review, export and import on a run folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_folder import IDS, box_mask, corrected_ids

import advcam
from advcam.cli import BAD_USAGE, DONE, main
from advcam.data.masks import write_mask
from advcam.review.table import read_table


def test_review_out_and_back(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(run)
    assert main(["review", "--out", out]) == DONE
    assert read_table(run / "review.csv")[0].image == "sub/3"
    assert main(["export", "--out", out, "--format", "png"]) == DONE
    folder = run / "export" / "png"
    assert set(advcam.export.read(folder)) == set(IDS)
    write_mask(folder / "masks" / "sub/3.png", box_mask(3, 20))
    assert main(["import", str(folder), "--out", out]) == DONE
    assert corrected_ids(run) == ["sub/3"]
    # A new queue keeps what was decided.
    assert main(["review", "--out", out]) == DONE
    assert {entry.image: entry.decision for entry in read_table(run / "review.csv")}["sub/3"] == "corrected"
    said = capsys.readouterr().err
    assert "1 corrected mask" in said
    assert "7 masks came back as they went out" in said


def test_mistakes_are_told_in_a_sentence(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["review", "--out", str(tmp_path / "nothing")]) == BAD_USAGE
    assert main(["export", "--out", str(run), "--format", "coco", "--what", "instances"]) == BAD_USAGE
    assert main(["import", str(tmp_path / "none.json"), "--out", str(run)]) == BAD_USAGE
    assert main(["export", "--out", str(run), "--format", "svg"]) == BAD_USAGE
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("advcam: ")]
    assert len(lines) == 4
    assert "advcam instances" in lines[1]
