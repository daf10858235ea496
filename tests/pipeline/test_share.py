"""Stages in parts: each a pure function of its place, closed by ``collect``; and the driver that gives pieces out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from runs import contents, entry

from advcam.cli import main
from advcam.data.record import Record
from advcam.errors import RunError, SettingsError
from advcam.io.ledger import Ledger, Line, part_files
from advcam.io.share import Part
from advcam.pipeline import parts
from advcam.pipeline.config import RefineSettings
from advcam.pipeline.engines import Died, Driver, Piece, pieces
from advcam.pipeline.graph import collect, run_stages
from advcam.pipeline.parts import Batch, Outcome, Plan, in_turn
from advcam.pipeline.record import Paused
from advcam.pipeline.run import Run
from advcam.refine import CRFSettings
from advcam.refine.irn_settings import IRNInstanceSettings, IRNSettings, IRNWalkSettings
from advcam.refine.psa import PSASettings
from advcam.saliency.settings import SaliencySettings
from advcam.segment.checkpoint import build_network, save_network
from advcam.segment.inference import Segmenter

MADE = ("advcam/maps", "cam/maps", "advcam/masks", "cam/masks")


def part_of(config: Any, stage: str, *names: str) -> None:
    for name in names:
        run_stages(replace(config, part=name), (stage,))


def test_parts_and_collect_make_the_bytes_of_one_command(config, capfd):
    alone = replace(config, out=config.out + " alone")
    cores = torch.get_num_threads()
    # Passes of one core each, however many cores there are.
    torch.set_num_threads(3)
    try:
        run_stages(alone, ("classify", "attribute", "refine", "localize"))
    finally:
        torch.set_num_threads(cores)
    run_stages(config, ("classify",))
    with pytest.raises(RunError, match="no part of a stage"):
        collect(config)
    part_of(config, "attribute", "3/3", "1/3")
    capfd.readouterr()
    with pytest.raises(RunError, match=r"part 2 of 3 is not done.*advcam attribute --out .* --part 2/3"):
        collect(config)
    part_of(config, "attribute", "2/3", "2/3")
    assert entry(config, "advcam/maps").status != "done"
    collect(config)
    assert entry(config, "advcam/maps").status == entry(config, "cam/maps").status == "done"
    assert entry(config, "advcam/maps").result["made"] == 6
    assert not list(Path(config.out).rglob("*.parts"))
    # Two sets of masks, one after the other.
    for _ in range(2):
        part_of(config, "refine", "2/2", "1/2")
        collect(config)
    assert contents(config, *MADE) == contents(alone, *MADE)
    part_of(config, "localize", "1/2", "2/2")
    collect(config)
    boxes = [Path(one.out, "boxes.csv").read_bytes() for one in (config, alone)]
    assert boxes[0] == boxes[1]
    assert len(boxes[0].splitlines()) > 6


FIT = {"batch_size": 6, "workers": 0}
CHAINS = {
    "irn": {
        "irn": IRNSettings(epochs=1, features="classifier", radius=3, crop=32, **FIT),
        "irn_walk": IRNWalkSettings(pad=0, exp_times=3),
        "instances": IRNInstanceSettings(method="irn", drift_steps=5, min_area=0.05),
    },
    "psa": {
        "psa": PSASettings(
            epochs=1, architecture=None, crop=72, crf=CRFSettings(iterations=2, bilateral_sxy=20.0), log_times=2, **FIT
        )
    },
}


@pytest.mark.parametrize(("method", "rounds"), [("irn", 4), ("psa", 3)])
def test_salient_regions_trained_refinement_and_objects_in_parts(config, small_data, method, rounds):
    """Labels, training, edges, masks: rounds of parts while there is work for them, and the bytes of one command."""
    salient = SaliencySettings(source="folder", folder=str(small_data / "masks"))
    config = replace(config, refine=RefineSettings(method=method), saliency=salient, **CHAINS[method])
    alone = replace(config, out=config.out + " alone")
    stages = {"saliency": 1, "attribute": 1, "refine": rounds, **({"instances": 1} if method == "irn" else {})}
    run_stages(alone, ("classify", *stages))
    run_stages(config, ("classify",))
    for stage, count in stages.items():
        for _ in range(count):
            part_of(config, stage, "2/2", "1/2")
            with suppress(Paused):
                collect(config)
    made, wanted = (
        {name: data for name, data in found.items() if Path(name).suffix in (".png", ".npz", ".safetensors")}
        for found in (contents(one, "saliency", "advcam", "cam", "instances") for one in (config, alone))
    )
    assert len(wanted) > 36
    assert made == wanted
    assert entry(config, "advcam/masks").status == "done"


def test_predictions_and_exports_in_parts(config, small_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    built = {"architecture": "timm/test_resnet", "output_stride": 16, "rates": [1, 2], "pyramid": []}
    network = Segmenter(build_network("deeplab", built, 3), ("bar", "disc"), (0.5,) * 3, (0.5,) * 3)
    save_network(Path("network/segmentation"), network, "deeplab", built)
    predict = ["predict", str(small_data), "--model", "network", "--out"]
    assert main([*predict, "alone"]) == 0
    for part in ("2/3", "3/3", "1/3"):
        assert main([*predict, "shared", "--part", part]) == 0
    assert not Path("shared/areas.csv").exists()
    assert main([*predict, "shared"]) == 0
    files = [path.relative_to("alone") for path in Path("alone").rglob("*") if path.suffix in (".png", ".jpg", ".csv")]
    assert len(files) == 13
    assert all((Path("alone") / file).read_bytes() == (Path("shared") / file).read_bytes() for file in files)
    export = ["export", "--out", "alone", "--images", str(small_data), "--format", "png", "--to", "png"]
    for part in ("1/2", "2/2"):
        assert main([*export, "--part", part]) == 0
    halves = [sorted(path.name for path in Path("png", part).rglob("*.png")) for part in ("1-of-2", "2-of-2")]
    assert [len(half) for half in halves] == [3, 3]
    for path in (path for path in Path("png").rglob("*.png")):
        inner = Path(*path.parts[3:])
        assert (np.asarray(Image.open(path)) == np.asarray(Image.open(Path("alone/masks") / inner))).all()


def test_a_part_leaves_to_others_what_is_not_its_own(config):
    run_stages(config, ("classify",))
    part_of(config, "attribute", "1/2")
    with pytest.raises(RunError, match=r"made otherwise \(climb.steps 3 there, 4 now\): parts replace nothing"):
        part_of(replace(config, climb=replace(config.climb, steps=4), overwrite=True), "attribute", "2/2")
    with pytest.raises(RunError, match="training is no work for a part"):
        part_of(config, "classify", "1/2")
    with pytest.raises(SettingsError, match="for one stage"):
        run_stages(replace(config, part="1/2"), ("attribute", "refine"))
    # A plain command makes the rest and closes the stage.
    run_stages(config, ("attribute",))
    made = entry(config, "advcam/maps")
    assert (made.status, made.result["made"]) == ("done", 3)
    assert not part_files(Run.open(config).ledger("advcam/maps").path)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/2/3", "-1/2", "a/b"])
def test_a_part_is_i_of_n(text):
    with pytest.raises(SettingsError, match="must be i/n"):
        Part.parse(text)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50])
def test_parts_share_the_plan_of_all_and_look_at_their_own_blocks(monkeypatch, count):
    monkeypatch.setattr(parts, "BLOCK", 8)
    records = [Record(f"{number:02}", Path(), ()) for number in range(30)]
    looked: list[int] = []

    def batches(block: Sequence[Record]) -> list[Batch]:
        looked.append(len(block))
        return in_turn(block, 3)

    plan = Plan(records, batches)
    whole = list(plan.of())
    shares = [list(plan.of(Part(index, count))) for index in range(1, count + 1)]
    assert [batch for share in shares for batch in share] == whole
    assert max(len(batch.records) for batch in whole) == 3
    looked.clear()
    list(plan.of(Part(1, count)))
    assert sum(looked) <= 30 // count + 16


def test_ledgers_of_parts_are_taken_over_once(tmp_path):
    path = tmp_path / "maps.jsonl"
    Ledger(path).note([Line("a", "1"), Line("b", "1")])
    one, two = Ledger(path, "1-of-2"), Ledger(path, "2-of-2")
    one.note([Line("a", "2")])
    two.note([Line("c", "2")])
    # Cut short by a kill; what comes after it is whole.
    with (tmp_path / "maps.parts" / "2-of-2.jsonl").open("ab") as file:
        file.write(b'\n{"id":"d","k')
    Ledger(path, "2-of-2").note([Line("e", "2")])
    found = {"a": "2", "b": "1", "c": "2", "e": "2"}
    assert {name: line.key for name, line in Ledger(path).lines.items()} == found
    whole = Ledger(path)
    whole.gather()
    assert not part_files(path)
    assert {name: line.key for name, line in Ledger(path).lines.items()} == found


class Fakes:
    """Hands that die on some images, as often as is told."""

    def __init__(self, deadly: dict[str, int], knows_who: bool, tries: int) -> None:
        self.deadly, self.knows_who, self.tries, self.given = dict(deadly), knows_who, tries, 0
        self.waiting: dict[int, Piece] = {}

    def room(self) -> int:
        return 3

    def give(self, piece: Piece, missing: Any) -> int:
        self.given += 1
        self.waiting[self.given] = piece
        return self.given

    def take(self, given: Sequence[int], *, waiting: bool = True) -> dict[Any, Any]:
        for number in given:
            piece = self.waiting[number]
            times = max(self.deadly.get(image, 0) for image in piece.images)
            if times:
                for image in piece.images:
                    self.deadly[image] = max(0, self.deadly.get(image, 0) - self.tries)
                if times >= self.tries:
                    return {one: Died(self.tries) for one in ([number] if self.knows_who else given)}
        return {given[0]: [(batch, Outcome()) for batch in self.waiting[given[0]].batches]}

    def end(self) -> None:
        pass


@pytest.mark.parametrize(("knows_who", "tries"), [(True, 2), (False, 1)])
@pytest.mark.parametrize(
    ("deadly", "lost"), [({}, []), ({"05": 1}, []), ({"05": 99}, ["05"]), ({"05": 99, "11": 99}, ["05", "11"])]
)
def test_a_death_costs_one_piece_and_a_deadly_image_is_named(knows_who, tries, deadly, lost):
    batches = in_turn([Record(f"{number:02}", Path(), ()) for number in range(20)])
    missing = {batch.records[0].id: frozenset({"maps"}) for batch in batches}
    found = list(Driver(Fakes(deadly, knows_who, tries), missing).through(pieces(batches, 4)))
    assert sorted(batch.records[0].id for batch, _ in found) == sorted(missing)
    assert sorted(image for _, outcome in found for image in outcome.died) == lost
    problems = [problem for _, outcome in found for problem in outcome.problems]
    assert len(problems) == len(lost)
    assert all("2 processes ended" in problem for problem in problems)


class Interrupted(Fakes):
    """Ctrl-C comes while pieces are under way, of which one is done."""

    ended = False

    def take(self, given: Sequence[int], *, waiting: bool = True) -> dict[Any, Any]:
        if waiting and self.given > 4:
            raise KeyboardInterrupt
        return super().take(given)

    def end(self) -> None:
        self.ended = True


def test_ctrl_c_keeps_what_is_done_and_cancels_the_rest():
    batches = in_turn([Record(f"{number:02}", Path(), ()) for number in range(20)])
    hands, found = Interrupted({}, True, 2), list[str]()
    outcomes = Driver(hands, {}).through(pieces(batches, 2))
    with pytest.raises(KeyboardInterrupt):
        found.extend(batch.records[0].id for batch, _ in outcomes)
    assert found == ["00", "01", "02", "03", "04", "05"]
    assert hands.ended


def test_processes_that_always_die_end_the_run():
    batches = in_turn([Record(f"{number:02}", Path(), ()) for number in range(20)])
    missing = {batch.records[0].id: frozenset({"maps"}) for batch in batches}
    hands = Fakes(dict.fromkeys(missing, 99), True, 2)
    with pytest.raises(RunError, match="end again and again"):
        list(Driver(hands, missing).through(pieces(batches, 1)))
