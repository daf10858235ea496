"""A whole run on a small data set: what it leaves behind, and that nothing is lost or mixed up."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from advcam.attribute.result import LocalizationMaps
from advcam.errors import DataError, RunError
from advcam.io.keys import plain
from advcam.pipeline.graph import run_stages
from advcam.pipeline.mapping import Mapping
from advcam.pipeline.record import RunRecord

STAGES = ("classify", "attribute", "refine", "evaluate")


def outputs(config) -> dict[str, bytes]:
    """The bytes of all maps and masks."""
    root = Path(config.out)
    kinds = ("advcam/maps", "cam/maps", "advcam/masks", "cam/masks")
    return {str(path.relative_to(root)): path.read_bytes() for kind in kinds for path in (root / kind).rglob("*.*")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, dict[str, bytes]]:
    return {}


def whole(config, undisturbed) -> dict[str, bytes]:
    """The outputs of an undisturbed run, made once."""
    if "outputs" not in undisturbed:
        quiet = replace(config, out=config.out + " whole")
        run_stages(quiet, STAGES)
        undisturbed["outputs"] = outputs(quiet)
    return undisturbed["outputs"]


def test_what_a_run_leaves_behind(config):
    run_stages(config, STAGES)
    root = Path(config.out)
    names = {f"{folder}/picture {index}" for index in range(6) for folder in [("even", "odd")[index % 2]]}
    for kind, suffix in (("advcam/maps", "npz"), ("cam/maps", "npz"), ("advcam/masks", "png"), ("cam/masks", "png")):
        found = {str(path.relative_to(root / kind).with_suffix("")) for path in (root / kind).rglob(f"*.{suffix}")}
        assert found == names
    maps = LocalizationMaps.load(root / "advcam/maps/even/picture 2.npz")
    assert maps.classes.tolist() == [0, 1]
    assert maps.maps.shape == (2, 12, 16)
    assert maps.maps.dtype == np.float16
    assert maps.image_size == (48, 64)
    with Image.open(root / "advcam/overlays/even/picture 2.jpg") as overlay:
        assert overlay.size == (64, 48)
        assert overlay.mode == "RGB"
    assert len(list((root / "advcam/overlays").rglob("*.jpg"))) == 6
    with Image.open(root / "advcam/masks/even/picture 2.png") as mask:
        assert mask.mode == "P"
        assert mask.size == (64, 48)
        assert mask.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
        assert set(np.unique(mask)) <= {0, 1, 2}
    record = RunRecord(root)
    made = ("classifier", "advcam/maps", "cam/maps", "advcam/masks", "cam/masks", "metrics")
    assert {name: entry.status for name, entry in record.artifacts.items()} == dict.fromkeys(made, "done")
    assert record.content.versions["torch"]
    assert record.content.settings == config
    widths = [LocalizationMaps.load(root / "cam/maps" / f"{name}.npz").width for name in sorted(names)]
    result = record.artifacts["advcam/maps"].result
    assert result["width"] == pytest.approx(np.nanmean(widths), abs=1e-4)
    with (root / "flagged.csv").open() as lines:
        assert {"image", "class", "probability", "reason"} == set(csv.DictReader(lines).fieldnames)
    assert not [path for path in root.rglob("*") if path.name.startswith(".")]


def test_every_figure_says_where_it_comes_from(config):
    run_stages(config, STAGES)
    metrics = json.loads((Path(config.out) / "metrics.json").read_text())
    by_name = {(result["masks"], result["threshold_method"]): result for result in metrics["results"]}
    assert set(by_name) == {
        ("cam seed", "sweep"),
        ("cam seed", "fixed"),
        ("advcam seed", "sweep"),
        ("advcam seed", "fixed"),
        ("cam + crf", "fixed"),
        ("advcam + crf", "fixed"),
    }
    for result in metrics["results"]:
        assert result["images"] == 6
        assert result["split"] == "all"
        assert 0 <= result["miou"] <= 1
    swept = by_name["advcam seed", "sweep"]
    assert swept["threshold_chosen_on_this_split"] is True
    assert swept["miou"] >= by_name["advcam seed", "fixed"]["miou"]
    assert swept["miou"] == pytest.approx(max(metrics["curves"][1]["miou"]))


def test_done_images_are_kept_and_the_rest_is_equal_byte_for_byte(config, undisturbed, monkeypatch):
    wanted = whole(config, undisturbed)
    saved = []
    save = Mapping.save

    def interrupted(*arguments):
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(save(*arguments))
        return saved[-1]

    monkeypatch.setattr(Mapping, "save", interrupted)
    with pytest.raises(KeyboardInterrupt, match="is kept in"):
        run_stages(config, STAGES)
    assert RunRecord(Path(config.out)).artifacts["advcam/maps"].status == "interrupted"
    kept = {name: (Path(config.out) / name).stat().st_mtime_ns for name in outputs(config)}
    assert 0 < len(kept) < len(wanted)
    monkeypatch.setattr(Mapping, "save", save)
    run_stages(config, STAGES)
    assert outputs(config) == wanted
    assert all((Path(config.out) / name).stat().st_mtime_ns == then for name, then in kept.items())


def test_limit_and_whole_run_agree_byte_for_byte(config, undisturbed):
    run_stages(replace(config, limit=2), STAGES)
    few = outputs(config)
    assert len(few) == 4 * 2
    run_stages(config, STAGES)
    assert outputs(config) == whole(config, undisturbed)
    assert few.items() <= outputs(config).items()


def test_killed_and_started_again(config, undisturbed):
    wanted = whole(config, undisturbed)
    file = Path(config.out).with_suffix(".yaml")
    file.write_text(yaml.safe_dump(plain(config)))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "advcam", "run", str(file)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    # The later one of a batch.
    noted = Path(config.out) / "keys/cam/maps.jsonl"
    until = time.monotonic() + 600
    while not (noted.exists() and noted.stat().st_size) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(outputs(config)) < len(wanted)
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "are there already and kept" in again.stderr
    assert outputs(config) == wanted
    assert not list(Path(config.out).rglob(".*"))


def test_other_settings_are_refused_by_name_and_replaced_when_asked(config):
    run_stages(config, STAGES)
    before = outputs(config)
    other = replace(config, climb=replace(config.climb, steps=4))
    with pytest.raises(RunError, match=r"climb\.steps 3 there, 4 now.*--overwrite"):
        run_stages(other, STAGES)
    assert outputs(config) == before
    assert RunRecord(Path(config.out)).content.settings.climb.steps == 3
    run_stages(replace(other, overwrite=True), STAGES)
    after = outputs(config)
    assert after.keys() == before.keys()
    assert after["advcam/maps/even/picture 2.npz"] != before["advcam/maps/even/picture 2.npz"]
    assert after["cam/maps/even/picture 2.npz"] == before["cam/maps/even/picture 2.npz"]


def test_a_damaged_map_is_made_again(config, undisturbed):
    run_stages(config, STAGES)
    path = Path(config.out) / "advcam/maps/even/picture 2.npz"
    path.write_bytes(path.read_bytes()[:100])
    run_stages(config, STAGES)
    assert outputs(config) == whole(config, undisturbed)


def test_corrected_labels_are_mapped_again(config, small_data, tmp_path):
    data = shutil.copytree(small_data, tmp_path / "data")
    mine = replace(config, data=str(data))
    run_stages(mine, STAGES)
    labels = data / "labels.csv"
    labels.write_text(labels.read_text().replace("picture 0.png,disc", "picture 0.png,bar;disc"))
    run_stages(mine, STAGES)
    assert LocalizationMaps.load(Path(config.out) / "advcam/maps/even/picture 0.npz").classes.tolist() == [0, 1]


def test_a_broken_image_stops_the_run_or_is_left_out(config, small_data, tmp_path):
    data = shutil.copytree(small_data, tmp_path / "data")
    broken = data / "odd/picture 3.png"
    broken.write_bytes(broken.read_bytes()[:200])
    mine = replace(config, data=str(data))
    with pytest.raises(DataError, match=r"picture 3\.png"):
        run_stages(mine, STAGES)
    run_stages(replace(mine, skip_bad=True), STAGES)
    left_out = RunRecord(Path(config.out)).content.left_out["all"]
    assert ["picture 3.png" in sentence for sentence in left_out] == [True]
    assert len(list((Path(config.out) / "advcam/masks").rglob("*.png"))) == 5


def test_a_folder_of_something_else_is_left_alone(config):
    Path(config.out).mkdir()
    (Path(config.out) / "thesis.txt").write_text("precious")
    with pytest.raises(RunError, match="holds other files"):
        run_stages(config, STAGES)
    assert [path.name for path in Path(config.out).iterdir()] == ["thesis.txt"]


def test_a_file_in_the_way_of_the_run_folder(config, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match=r"cannot be written.*choose another folder"):
        run_stages(replace(config, out=str(tmp_path / "file" / "run")), STAGES)


def test_a_full_disk_is_said_and_what_is_done_is_kept(config, undisturbed, monkeypatch):
    wanted = whole(config, undisturbed)
    save, saved = np.savez_compressed, []

    def full(*arguments, **arrays):
        saved.append(arguments)
        if len(saved) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*arguments, **arrays)

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(RunError, match="the disk is full"):
        run_stages(config, STAGES)
    assert not list(Path(config.out).rglob(".*"))
    monkeypatch.setattr(np, "savez_compressed", save)
    run_stages(config, STAGES)
    assert outputs(config) == wanted
