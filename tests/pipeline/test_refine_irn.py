"""IRN as a way of refining: what it leaves in the run folder, how it goes on, and what it says of bad input."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from runs import contents, entry

from advcam.attribute.result import LocalizationMaps
from advcam.data.images import read_image
from advcam.data.masks import read_objects
from advcam.data.scenes import SceneSettings, write_scenes
from advcam.errors import DataError, RunError, SettingsError
from advcam.io.ledger import Line
from advcam.models.architectures import build_backbone
from advcam.models.taps import tapped
from advcam.pipeline.config import RefineSettings, RunConfig, SplitSettings
from advcam.pipeline.evaluate import instance_results
from advcam.pipeline.graph import run_stages
from advcam.pipeline.record import Entry
from advcam.pipeline.report import edge_picture, step_masks
from advcam.pipeline.run import Run
from advcam.refine.crf import dense_crf
from advcam.refine.irn.checkpoint import save_irn
from advcam.refine.irn.inference import EdgeMap
from advcam.refine.irn.network import IRNNetwork
from advcam.refine.irn.objects import FoundObjects
from advcam.refine.irn_settings import IRNInstanceSettings, IRNSettings, IRNWalkSettings
from advcam.refine.unary import unary_from_labels

STAGES = ("classify", "attribute", "refine", "evaluate")
FOLDERS = ("advcam/masks", "advcam/crf", "advcam/irn/labels", "advcam/irn/edges")


@pytest.fixture
def with_irn(config: RunConfig) -> RunConfig:
    """The small run with an IRN of two updates."""
    return replace(
        config,
        refine=RefineSettings(method="irn"),
        irn=IRNSettings(epochs=2, batch_size=6, features="classifier", crop=32, radius=3, workers=0),
        irn_walk=IRNWalkSettings(pad=0, exp_times=3),
    )


def read(path: Path) -> np.ndarray:
    with Image.open(path) as mask:
        return np.asarray(mask)


def test_what_it_leaves_behind(with_irn):
    run_stages(with_irn, STAGES)
    root = Path(with_irn.out)
    for folder in FOLDERS:
        assert len([path for path in (root / folder).rglob("*.*") if path.is_file()]) == 6
    assert {path.name for path in (root / "advcam/irn").iterdir()} >= {"model.safetensors", "config.json", "log.csv"}
    assert not (root / "advcam/irn/training.pt").exists()
    assert entry(with_irn, "advcam/irn").result["updates"] == 2
    assert [entry(with_irn, f"advcam/{step}").result["method"] for step in ("crf", "masks")] == ["crf", "irn"]
    edges = EdgeMap.load(root / "advcam/irn/edges/even/picture 2.npz")
    assert edges.edge.shape == (12, 16)
    with Image.open(root / "advcam/irn/labels/even/picture 2.png") as labels:
        assert set(np.unique(labels)) <= {0, 1, 2, 255}
    results = json.loads((root / "metrics.json").read_text())["results"]
    masks = {found["masks"]: found for found in results if "seed" not in found["masks"]}
    assert list(masks) == ["advcam + crf", "advcam + irn"]
    assert masks["advcam + irn"]["threshold"] == 0.25
    assert masks["advcam + irn"]["threshold_method"] == "fixed"

    # What the report shows beside the mask.
    run = Run.open(with_irn)
    record = next(record for record in run.wanted if record.id == "even/picture 2")
    steps = step_masks(run, record, (24, 32))
    assert list(steps) == ["seed", "seed + CRF"]
    assert {mask.shape for mask in steps.values()} == {(24, 32)}
    picture = edge_picture(run, record, (24, 32))
    assert picture is not None
    assert picture.shape == (24, 32)

    # Masks that are lost are made again, and nothing else: equal bytes, no second training.
    kept = contents(with_irn, "advcam/masks", "advcam/crf", "advcam/irn")
    trained = (root / "advcam/irn/model.safetensors").stat().st_mtime_ns
    (root / "advcam/masks/even/picture 2.png").unlink()
    (root / "advcam/irn/edges/even/picture 2.npz").write_bytes(b"cut short")
    (root / "advcam/irn/edges/odd/picture 1.npz").unlink()
    (root / "advcam/masks/odd/picture 1.png").unlink()
    run_stages(with_irn, ("refine",))
    assert contents(with_irn, "advcam/masks", "advcam/crf", "advcam/irn") == kept
    assert (root / "advcam/irn/model.safetensors").stat().st_mtime_ns == trained

    # What changes no number is no other training.
    slower = replace(with_irn.irn, workers=1, checkpoint_seconds=5.0)
    run_stages(replace(with_irn, irn=slower), ("refine",))
    assert (root / "advcam/irn/model.safetensors").stat().st_mtime_ns == trained

    # Another walk needs no other network; another training does.
    walked = replace(with_irn, irn_walk=replace(with_irn.irn_walk, background="swept"), overwrite=True)
    run_stages(walked, ("refine",))
    assert (root / "advcam/irn/model.safetensors").stat().st_mtime_ns == trained
    chosen = entry(with_irn, "advcam/masks").result["threshold"]
    assert (chosen["method"], chosen["images"]) == ("sweep", 6)
    with pytest.raises(RunError, match=r"holds advcam/irn made otherwise \(irn.epochs 2 there"):
        run_stages(replace(walked, irn=replace(with_irn.irn, epochs=3), overwrite=False), ("refine",))

    # At twice the size there are four times the cells; edges of the former size are replaced, not mixed up.
    larger = replace(walked, irn_walk=replace(walked.irn_walk, scale=2.0))
    run_stages(larger, ("refine",))
    assert EdgeMap.load(root / "advcam/irn/edges/even/picture 2.npz").edge.shape == (24, 32)
    with Image.open(root / "advcam/masks/even/picture 2.png") as mask:
        assert mask.size == (64, 48)
    with pytest.raises(RunError, match=r"holds advcam/masks .*settings.scale 2.0 there"):
        run_stages(replace(walked, overwrite=False), ("refine",))
    run_stages(walked, ("refine",))

    # A trained network can be taken over.
    lent = replace(with_irn.irn, weights=str(root / "advcam/irn"))
    run_stages(replace(with_irn, irn=lent, overwrite=True), ("refine",))
    assert contents(with_irn, "advcam/masks") == {name: data for name, data in kept.items() if "/masks/" in name}


def test_final_crf(with_irn):
    with_irn = replace(with_irn, irn_walk=IRNWalkSettings(pad=0, exp_times=0, background=0.6))
    run_stages(with_irn, STAGES)
    before = {
        name: read(Path(with_irn.out) / "advcam/masks" / name) for name in ("even/picture 2.png", "odd/picture 1.png")
    }
    asked = replace(with_irn, irn_walk=replace(with_irn.irn_walk, final_crf=True), overwrite=True)
    run_stages(asked, ("refine", "evaluate"))
    run = Run.open(asked)
    changed = 0
    for name, walked in before.items():
        record = next(record for record in run.wanted if record.id == name.removesuffix(".png"))
        # Labels of the data set, as labels of the image: 0, 1, ...
        classes = np.array([0, *(np.array(record.classes) + 1)])
        local = torch.from_numpy(np.searchsorted(classes, walked).astype(np.uint8))
        image = torch.from_numpy(read_image(record.image))
        expected = dense_crf(image, unary_from_labels(local, len(classes)), asked.crf).argmax(dim=0).numpy()
        found = read(Path(asked.out) / "advcam/masks" / name)
        assert np.array_equal(found, classes[expected])
        changed += int((found != walked).sum())
    assert changed
    results = json.loads((Path(asked.out) / "metrics.json").read_text())["results"]
    assert [found["masks"] for found in results if "seed" not in found["masks"]] == [
        "advcam + crf",
        "advcam + irn + crf",
    ]


def test_refused_before_anything_is_trained(with_irn, small_data, tmp_path):
    root = Path(with_irn.out)
    run_stages(replace(with_irn, refine=RefineSettings()), ("classify", "attribute", "refine"))
    masks = contents(with_irn, "advcam/masks")
    with pytest.raises(RunError, match=r"advcam/masks made otherwise \(method 'crf' there, 'irn' now"):
        run_stages(with_irn, ("refine",))
    assert contents(with_irn, "advcam/masks") == masks
    bare = tmp_path / "bare"
    shutil.copytree(small_data, bare, ignore=shutil.ignore_patterns("masks"))
    swept = replace(with_irn, data=str(bare), irn_walk=replace(with_irn.irn_walk, background="swept"), overwrite=True)
    with pytest.raises(DataError, match=r"irn_walk.background is swept, but .* has no masks for all: take a number"):
        run_stages(swept, ("refine",))
    assert not (root / "advcam/irn").exists()


def test_a_lent_network_that_changes_is_another(with_irn, tmp_path):
    run_stages(with_irn, ("classify", "attribute"))
    lent = replace(with_irn, irn=replace(with_irn.irn, weights=str(tmp_path / "lent")))
    for seed in (0, 1):
        torch.manual_seed(seed)
        save_irn(tmp_path / "lent", IRNNetwork(tapped(build_backbone("timm/resnet10t"))))
        if seed == 0:
            run_stages(lent, ("refine",))
    kept = contents(with_irn, "advcam/irn", "advcam/masks")
    with pytest.raises(RunError, match=r"holds advcam/irn made otherwise \(network '\w+' there"):
        run_stages(lent, ("refine",))
    assert contents(with_irn, "advcam/irn", "advcam/masks") == kept


def test_instances(with_irn):
    """On an IRN that learnt nothing: where the objects are does not matter, only that they are kept as they are."""
    root = Path(with_irn.out)
    run_stages(with_irn, ("classify", "attribute", "instances"))
    assert not (root / "instances.csv").exists()
    asked = replace(with_irn, instances=IRNInstanceSettings(method="irn", drift_steps=5, min_area=0.05))
    with pytest.raises(RunError, match=r"has no masks by IRN, .* run `advcam refine --refine.method irn`"):
        run_stages(asked, ("instances",))
    run_stages(asked, ("refine", "instances", "evaluate"))
    with (root / "instances.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    found = FoundObjects.load(root / "instances/even/picture 2.npz")
    own = [row for row in rows if row["image"] == "even/picture 2"]
    assert len(own) == len(found.classes) == len(found.scores) > 0
    assert found.numbers.shape == (48, 64)
    assert sorted(set(np.unique(found.numbers)) - {0}) == list(range(1, len(own) + 1))
    for row, mask, index in zip(own, found.masks, found.classes, strict=True):
        assert row["class"] == ("bar", "disc")[index]
        assert int(row["pixels"]) == mask.sum()
        y, x = np.nonzero(mask)
        assert [int(row[name]) for name in ("x0", "y0", "x1", "y1")] == [x.min(), y.min(), x.max() + 1, y.max() + 1]
        assert (float(row["score"]) == 0) == (mask.sum() < 0.05 * mask.size)
    # This data set has no ground-truth objects.
    assert json.loads((root / "metrics.json").read_text())["instances"] == []
    before = contents(asked, "instances") | {"table": (root / "instances.csv").read_bytes()}
    (root / "instances/even/picture 2.npz").write_bytes(b"cut short")
    run_stages(asked, ("instances",))
    assert contents(asked, "instances") | {"table": (root / "instances.csv").read_bytes()} == before


def test_instances_are_measured(tmp_path: Path):
    """Objects of a run held against those of the scenes: the truth itself is found wholly."""
    data = write_scenes(tmp_path / "scenes", SceneSettings(train=1, val=3, test=1))
    config = replace(
        RunConfig(), data=str(data), out=str(tmp_path / "run"), splits=SplitSettings(train="train", maps=("val",))
    )
    run = Run.open(config)
    run.record.artifacts["instances"] = Entry("", {}, "done")
    assert instance_results(run) == []
    for record in run.wanted:
        classes, masks = read_objects(record)
        numbers = (masks * np.arange(1, len(classes) + 1)[:, None, None]).sum(axis=0).astype(np.uint16)
        FoundObjects(numbers, classes, np.ones(len(classes), np.float32)).save(run.folder.file("instances", record.id))
        run.ledger("instances").note([Line(record.id, "made")])
    results = instance_results(run)
    assert [(found["iou"], found["split"], found["images"], found["ap"]) for found in results] == [
        (0.5, "val", 3, 1.0),
        (0.75, "val", 3, 1.0),
    ]


def test_zero_maps_and_classes_of_zero(with_irn, monkeypatch):
    """An image whose maps are zero is background; a class whose map is zero is not in the mask."""
    run_stages(with_irn, ("classify", "attribute"))
    root = Path(with_irn.out)
    for name, value in (("even/picture 2", (1.0, 0.0)), ("odd/picture 5", (0.0, 0.0))):
        path = root / "advcam/maps" / f"{name}.npz"
        found = LocalizationMaps.load(path)
        maps = np.zeros_like(found.maps)
        for index, peak in enumerate(value):
            maps[index, 4:8, 4:8] = peak
        LocalizationMaps(found.classes, maps, found.image_size, found.scores).save(path)
    run_stages(with_irn, ("refine",))
    masks = {}
    for name in ("even/picture 2", "odd/picture 5"):
        with Image.open(root / f"advcam/masks/{name}.png") as mask:
            masks[name] = set(np.unique(mask).tolist())
    assert masks == {"even/picture 2": {0, 1}, "odd/picture 5": {0}}


def test_unfit_settings_are_named(with_irn):
    run_stages(with_irn, ("classify", "attribute"))
    with pytest.raises(DataError, match="there is no split 'val'"):
        run_stages(replace(with_irn, irn=replace(with_irn.irn, split="val")), ("refine",))
    random = replace(with_irn.backbone, architecture="timm/resnet10t", weights=None)
    initial = replace(with_irn, backbone=random, irn=replace(with_irn.irn, features="initial"))
    with pytest.raises(SettingsError, match="random features show no edges"):
        run_stages(initial, ("refine",))
    with pytest.raises(SettingsError, match="batch_size is 7, but there are only 6 items"):
        run_stages(replace(with_irn, irn=replace(with_irn.irn, batch_size=7)), ("refine",))
    # What fails before it has made anything leaves nothing behind.
    assert not (Path(with_irn.out) / "advcam/irn/model.safetensors").exists()
    with pytest.raises(SettingsError, match=r"refine.rule confident makes masks of the seed or the CRF, not of irn"):
        RefineSettings(method="irn", rule="confident")


@pytest.mark.parametrize("shape", [(8, 60), (60, 8)])
def test_images_smaller_than_the_radius(with_irn, shape, tmp_path: Path):
    """Through the whole of it: images two cells wide beside others; narrower ones are refused when they are read."""
    data = tmp_path / "narrow"
    data.mkdir()
    generator = np.random.default_rng(0)
    rows = ["image,labels"]
    for index, size in enumerate((shape, shape, (48, 64), (64, 48))):
        Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)).save(data / f"{index}.png")
        rows.append(f"{index}.png,{('bar', 'disc')[index % 2]}")
    (data / "labels.csv").write_text("\n".join(rows) + "\n")
    narrow = replace(with_irn, data=str(data), irn=replace(with_irn.irn, batch_size=2, epochs=1))
    narrow = replace(narrow, attribute=replace(narrow.attribute, scales=(1.0,)), climb=replace(narrow.climb, steps=1))
    run_stages(narrow, ("classify", "attribute", "refine"))
    with Image.open(Path(narrow.out) / "advcam/masks/0.png") as mask:
        assert mask.size == (shape[1], shape[0])
        assert set(np.unique(mask)) <= {0, 1}
    assert torch.isfinite(torch.from_numpy(EdgeMap.load(Path(narrow.out) / "advcam/irn/edges/0.npz").edge)).all()
