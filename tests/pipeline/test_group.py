"""Several processes that share the maps of one run: the same bytes as one, one manifest, one sentence for a mistake."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
import yaml

from advcam.errors import DataError, RunError, SettingsError
from advcam.pipeline.group import Group, Report, process_count, raise_first, reported
from advcam.pipeline.manifest import plain
from advcam.pipeline.planning import Behind, Unit, shares
from advcam.pipeline.verbs import run_stages


def maps_of(out: str) -> dict[str, bytes]:
    root = Path(out)
    return {
        str(path.relative_to(root)): path.read_bytes()
        for kind in ("maps", "cam")
        for path in (root / kind).rglob("*.npz")
    }


@pytest.fixture(scope="module")
def known() -> dict[str, bytes]:
    return {}


@pytest.fixture
def by_one(config, known) -> dict[str, bytes]:
    """The maps of one process, made once."""
    if not known:
        alone = replace(config, out=config.out + " alone")
        run_stages(alone, ("classify", "attribute"))
        known |= maps_of(alone.out)
    return known


def stage_of(config) -> dict:
    return json.loads((Path(config.out) / "manifest.json").read_text())["stages"]["attribute"]


def test_two_processes_make_the_bytes_of_one(config, by_one):
    threads = torch.get_num_threads()
    run_stages(config, ("classify",))
    run_stages(replace(config, processes=2, limit=2), ("attribute",))
    assert 0 < len(maps_of(config.out)) < len(by_one)
    run_stages(replace(config, processes=2), ("attribute",))
    assert maps_of(config.out) == by_one
    stage = stage_of(config)
    assert (stage["status"], stage["images"], stage["processes"]) == ("done", 6, 2)
    assert not [path for path in Path(config.out).rglob("*") if path.name.startswith(".")]
    assert torch.get_num_threads() == threads


def test_under_torchrun(config, by_one):
    run_stages(config, ("classify",))
    file = Path(config.out).with_suffix(".yaml")
    file.write_text(yaml.safe_dump(plain(config)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "advcam", "attribute", "--config", str(file)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr.count("attribute: 6/6") == 1
    assert maps_of(config.out) == by_one
    assert stage_of(config)["processes"] == 2


def test_a_damaged_image_in_another_process_is_one_sentence(config, small_data, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(small_data, data)
    for image in data.glob("odd/*.png"):
        # The header is whole, the pixels are not.
        image.write_bytes(image.read_bytes()[:200])
    run_stages(replace(config, data=str(small_data)), ("classify",))
    broken = replace(config, data=str(data), processes=2)
    with pytest.raises(DataError, match=r"odd/picture \d\.png: the image is truncated or damaged"):
        run_stages(broken, ("attribute",))
    assert stage_of(config)["status"] == "failed"


def test_units_are_divided_by_their_cost():
    units = [Unit((8, 8), (str(index),)) for index in range(7)]
    costs = [9, 1, 1, 4, 4, 1, 8]
    parts = shares(units, costs, 3)
    assert sorted(unit.ids for part in parts for unit in part) == [unit.ids for unit in units]
    loads = [sum(costs[int(unit.ids[0])] for unit in part) for part in parts]
    assert max(loads) - min(loads) <= 1
    assert all(part == sorted(part, key=lambda unit: int(unit.ids[0])) for part in parts)
    assert shares([], [], 2) == [[], []]


def test_what_runs_behind_keeps_its_order_and_its_errors():
    done: list[int] = []
    with Behind() as behind:
        for index in range(5):
            behind(lambda index=index: done.append(index))
    assert done == list(range(5))
    with pytest.raises(ZeroDivisionError), Behind() as behind:
        behind(lambda: 1 / 0)


def test_reports_of_mistakes_and_faults():
    def mistaken():
        raise SettingsError("say it so")

    assert reported(lambda: ["left out"]) == Report(["left out"])
    with pytest.raises(SettingsError, match="say it so"):
        raise_first([Report(), reported(mistaken)])
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        raise_first([reported(lambda: [str(1 / 0)])])


def test_a_process_that_was_killed_is_noticed():
    class Killed(BaseProcess):
        exitcode = -9

    Group().look_after_helpers()
    with pytest.raises(RunError, match=r"ended with code -9.*the same command goes on"):
        Group(0, 2, None, (object.__new__(Killed),)).look_after_helpers()


def test_number_of_processes(monkeypatch):
    assert process_count(None, torch.device("cpu")) == 1
    assert process_count(3, torch.device("cpu")) == 3
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert process_count(None, torch.device("cuda")) == 4
    assert process_count(2, torch.device("cuda")) == 2
    with pytest.raises(SettingsError, match="4 GPUs"):
        process_count(5, torch.device("cuda"))


def test_torchrun_is_for_attribute_only(config, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with pytest.raises(SettingsError, match="advcam attribute"):
        run_stages(config, ("classify", "attribute"))
