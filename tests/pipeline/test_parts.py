"""The runner of per-image stages: the plan, several processes, one sentence for a mistake."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from runs import contents, entry
from torch import nn

import advcam.pipeline.predictions
from advcam.data.record import Record
from advcam.errors import DataError, SettingsError
from advcam.pipeline.graph import run_stages
from advcam.pipeline.parts import plan
from advcam.pipeline.predictions import batches_of
from advcam.pipeline.run import Run
from advcam.pipeline.through import process_count
from advcam.segment import InferenceSettings, Segmenter

MADE = ("advcam/maps", "cam/maps", "advcam/masks", "cam/masks")


def test_two_processes_make_the_bytes_of_one(config):
    alone = replace(config, out=config.out + " alone")
    run_stages(alone, ("classify", "attribute", "refine"))
    threads = torch.get_num_threads()
    run_stages(config, ("classify",))
    run_stages(replace(config, processes=2, limit=2), ("attribute",))
    assert 0 < len(contents(config, *MADE)) < len(contents(alone, *MADE[:2]))
    run_stages(replace(config, processes=2), ("attribute", "refine"))
    assert contents(config, *MADE) == contents(alone, *MADE)
    made = entry(config, "advcam/maps")
    assert (made.status, made.result["images"], made.result["processes"]) == ("done", 6, 2)
    assert not [path for path in Path(config.out).rglob("*") if path.name.startswith(".")]
    assert torch.get_num_threads() == threads


def test_a_damaged_image_in_another_process_is_one_sentence(config, small_data, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(small_data, data)
    for image in data.glob("odd/*.png"):
        # The header is whole, the pixels are not.
        image.write_bytes(image.read_bytes()[:200])
    run_stages(replace(config, data=str(small_data)), ("classify",))
    with pytest.raises(DataError, match=r"odd/picture \d\.png: the image is truncated or damaged"):
        run_stages(replace(config, data=str(data), processes=2), ("attribute",))
    assert entry(config, "advcam/maps").status == "failed"


def test_number_of_processes(config, monkeypatch):
    assert process_count(Run.open(config)) == 1
    assert process_count(Run.open(replace(config, processes=3))) == 3
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(Run, "device", torch.device("cuda"))
    assert process_count(Run.open(config)) == 4
    with pytest.raises(SettingsError, match="4 GPUs"):
        process_count(Run.open(replace(config, processes=5)))


def test_a_plan_depends_on_nothing_but_the_images():
    records = [
        Record(name, Path(name), (0,) * classes) for name, classes in zip("abcdef", (1, 1, 2, 1, 3, 1), strict=True)
    ]
    sizes = ((2, 3), (3, 2), (2, 3), (2, 3), (2, 3), (2, 3))
    batches = plan(zip(records, sizes, strict=True), lambda size: 3)
    found = ["".join(record.id for record in batch.records) for batch in batches]
    assert found == ["ac", "b", "d", "e", "f"]


SIDE = 32


@pytest.mark.parametrize(
    ("labels", "scales", "expected"),
    [(3, (1.0,), 4), (21, (0.5, 1.0), 4), (42, (1.0,), 2), (3, (1.0, 1.5), 1), (200, (1.0,), 1)],
)
def test_a_batch_is_smaller_with_many_labels_and_large_scales(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels: int, scales: tuple[float, ...], expected: int
) -> None:
    for name in "abcdefgh":
        Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8)).save(tmp_path / f"{name}.png")
    monkeypatch.setattr(advcam.pipeline.predictions, "CPU_BATCH_PIXELS", 4 * SIDE * SIDE)
    names = tuple(f"class {number}" for number in range(1, labels))
    segmenter = Segmenter(nn.Conv2d(3, labels, 8, stride=8), names, (0.5,) * 3, (0.5,) * 3)
    records = [(Record(name, tmp_path / f"{name}.png", ()), (SIDE, SIDE)) for name in "abcdefgh"]
    batches = batches_of(segmenter, InferenceSettings(scales), records)
    assert {len(batch.records) for batch in batches} == {expected}


def test_all_works_are_built_before_the_first_begins():
    """Tracing a network changes how modules are called in every thread."""
    from advcam.data.record import Record
    from advcam.pipeline.engines import go_through
    from advcam.pipeline.parts import Outcome, in_turn

    events: list[str] = []

    class Traced:
        threaded = False

        def __init__(self) -> None:
            events.append("built")

        def load(self, batch):
            return None

        def make(self, batch, loaded):
            events.append("made")

        def save(self, batch, made, missing):
            return Outcome()

    batches = in_turn([Record(f"{number}", Path(), ()) for number in range(4)])
    missing = {f"{number}": frozenset({"maps"}) for number in range(4)}
    assert len(list(go_through(Traced, batches, missing, threads=2))) == 4
    assert events == ["built"] * 2 + ["made"] * 4
