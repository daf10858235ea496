"""Masks by PSA through the pipeline: labels, network and masks; stopping, other settings, mistakes."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from runs import entry

from advcam.attribute.result import LocalizationMaps
from advcam.attribute.settings import AttributeSettings
from advcam.errors import DataError, ModelError, RunError, SettingsError
from advcam.io.files import read_json
from advcam.models import BackboneSettings, build_classifier
from advcam.pipeline import refine_psa
from advcam.pipeline.config import RefineSettings, RunConfig
from advcam.pipeline.graph import run_stages
from advcam.pipeline.refiner import MaskSet, Prepared, Subject
from advcam.pipeline.run import Run
from advcam.refine import CRFSettings
from advcam.refine.psa import PSASettings, checkpoint
from advcam.refine.psa.labels import AffinityLabels

PSA = PSASettings(
    epochs=1, batch_size=2, lr=1e-4, optimizer="adamw", architecture=None, freeze="stem", crop=72, workers=0,
    crf=CRFSettings(iterations=2, bilateral_sxy=20.0), log_times=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def run_with_maps(small_data: Path, small_classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run whose six images have maps, made once."""
    config = RunConfig(
        data=str(small_data),
        out=str(tmp_path_factory.mktemp("mapped") / "run"),
        classifier=str(small_classifier),
        attribute=AttributeSettings(method="cam", scales=(1.0,)),
        refine=RefineSettings(method="psa", steps=False, overlays=False),
        psa=PSA,
        device="cpu",
    )
    run_stages(config, ("classify", "attribute"))
    return config


@pytest.fixture
def mapped(run_with_maps: RunConfig, tmp_path: Path) -> RunConfig:
    """A copy of that run."""
    return copied(run_with_maps, tmp_path / "run")


def copied(config: RunConfig, out: Path) -> RunConfig:
    shutil.copytree(config.out, out)
    return replace(config, out=str(out))


def masks_of(config) -> dict[str, bytes]:
    root = Run.open(config).folder.root / "cam/masks"
    return {path.name: path.read_bytes() for path in sorted(root.rglob("*.png"))}


def test_from_maps_to_masks(mapped):
    run_stages(mapped, ("refine", "evaluate"))
    run = Run.open(mapped)
    assert len(masks_of(mapped)) == 6
    for record in run.records:
        with Image.open(run.folder.file("cam/masks", record.id)) as mask, Image.open(record.image) as image:
            assert mask.size == image.size
            allowed = {0, *(index + 1 for index in record.classes)}
            assert set(np.unique(np.asarray(mask)).tolist()) <= allowed
    learned = refine_psa.learnable(run, "cam")
    for record in learned:
        labels = AffinityLabels.load(run.folder.file("cam/psa/labels", record.id))
        assert labels.classes.tolist() == list(record.classes)
        size = LocalizationMaps.load(run.folder.file("cam/maps", record.id)).image_size
        assert labels.low.shape == labels.high.shape == (len(record.classes), *size)
    assert (run.folder.root / "cam/psa" / "network" / "model.safetensors").exists()
    made = entry(mapped, "cam/psa").result
    assert (made["images"], made["updates"]) == (len(learned), len(learned) // 2)
    results = read_json(run.folder.metrics)["results"]
    scored = [found for found in results if found["masks"] == "cam + psa"]
    assert len(scored) == 1
    assert scored[0]["threshold"] is None


def test_the_walk_can_change_without_a_new_training(mapped):
    run_stages(mapped, ("refine",))
    run = Run.open(mapped)
    before = (run.folder.root / "cam/psa" / "network" / "model.safetensors").stat().st_mtime_ns
    # What changes no number is no other training either.
    run_stages(replace(mapped, psa=replace(PSA, workers=1, checkpoint_seconds=5.0)), ("refine",))
    other = replace(mapped, psa=replace(PSA, beta=2.0))
    with pytest.raises(RunError, match=r"cam/masks made otherwise .*beta"):
        run_stages(other, ("refine",))
    run_stages(replace(other, overwrite=True), ("refine",))
    assert (run.folder.root / "cam/psa" / "network" / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(RunError, match=r"cam/psa made otherwise .*psa\.epochs 1 there, 2 now"):
        run_stages(replace(other, psa=replace(other.psa, epochs=2)), ("refine",))


def test_refused_before_anything_is_trained(mapped):
    run_stages(replace(mapped, refine=replace(mapped.refine, method="crf")), ("refine",))
    with pytest.raises(RunError, match=r"cam/masks made otherwise \(method 'crf' there, 'psa' now"):
        run_stages(mapped, ("refine",))
    assert not (Run.open(mapped).folder.root / "cam/psa").exists()


def test_weights_that_change_are_others(mapped, tmp_path):
    tensors = build_classifier(BackboneSettings("timm/resnet10t", weights=None), 1).library_state_dict()
    weights = str(tmp_path / "resnet10t.pth")
    torch.save(tensors, weights)
    named = replace(mapped, psa=replace(PSA, architecture="timm/resnet10t", weights=weights, freeze="auto"))
    run_stages(named, ("refine",))
    masks = masks_of(named)
    torch.save({name: tensor + 1 for name, tensor in tensors.items()}, weights)
    with pytest.raises(RunError, match=r"cam/psa made otherwise \(weights.content '\w+' there"):
        run_stages(named, ("refine",))
    assert masks_of(named) == masks


def test_a_stopped_training_goes_on(mapped, tmp_path, monkeypatch):
    """Killed in the middle of the labels, then of the training: the masks are those of an undisturbed run."""
    stopped = copied(mapped, tmp_path / "stopped")
    run_stages(mapped, ("refine",))
    expected = masks_of(mapped)
    made, original = [], AffinityLabels.save

    def save(labels, path):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(path)
        original(labels, path)

    monkeypatch.setattr(AffinityLabels, "save", save)
    with pytest.raises(KeyboardInterrupt):
        run_stages(stopped, ("refine",))
    monkeypatch.setattr(AffinityLabels, "save", original)
    monkeypatch.setattr(checkpoint, "save_affinity_net", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run_stages(stopped, ("refine",))
    monkeypatch.undo()
    run_stages(stopped, ("refine",))
    assert masks_of(stopped) == expected


def test_a_trained_network_is_taken_over(mapped, tmp_path):
    other = copied(mapped, tmp_path / "other")
    run_stages(mapped, ("refine",))
    trained = Run.open(mapped).folder.root / "cam/psa" / "network"
    other = replace(other, psa=replace(PSA, trained=str(trained)))
    run_stages(other, ("refine",))
    assert masks_of(other) == masks_of(mapped)
    assert not (Run.open(other).folder.root / "cam/psa").exists()


def test_threads_do_not_meet(mapped):
    """The masks do not depend on how many threads make them."""
    run_stages(mapped, ("refine",))
    run = Run.open(mapped)
    labels = refine_psa.PSA.labels(run, MaskSet("cam", "masks", "psa"), Prepared())
    subjects = [Subject.read(run, record, "cam") for record in run.records] * 3
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(labels, subjects))
    for subject, found in zip(subjects, together, strict=True):
        with Image.open(run.folder.file("cam/masks", subject.record.id)) as mask:
            assert np.array_equal(found, np.asarray(mask))


def test_images_whose_maps_are_zero(mapped):
    run = Run.open(mapped)
    first, *rest = refine_psa.learnable(run, "cam")
    path = run.folder.file("cam/maps", first.id)
    maps = LocalizationMaps.load(path)
    replace(maps, maps=np.zeros_like(maps.maps)).save(path)
    run_stages(mapped, ("refine",))
    assert entry(mapped, "cam/psa").result["images"] == len(rest)
    with Image.open(run.folder.file("cam/masks", first.id)) as mask:
        assert not np.asarray(mask).any()
    for record in rest:
        path = run.folder.file("cam/maps", record.id)
        maps = LocalizationMaps.load(path)
        replace(maps, maps=np.zeros_like(maps.maps)).save(path)
    with pytest.raises(DataError, match=r"none of the 6 images .* not zero everywhere"):
        run_stages(replace(mapped, overwrite=True), ("refine",))


def test_mistakes_are_told(mapped, tmp_path):
    with pytest.raises(SettingsError, match=r"train_split is train, which is not one of splits.maps \['all'\]"):
        run_stages(replace(mapped, psa=replace(PSA, train_split="train")), ("refine",))
    with pytest.raises(SettingsError, match=r"batch_size is 7, but there are only ."):
        run_stages(replace(mapped, psa=replace(PSA, batch_size=7)), ("refine",))
    with pytest.raises(SettingsError, match="in no library, so it has no weights 'default'"):
        run_stages(replace(mapped, psa=replace(PSA, architecture="resnet38")), ("refine",))
    with pytest.raises(ModelError, match="a folder that holds a trained AffinityNet"):
        run_stages(replace(mapped, psa=replace(PSA, trained=str(tmp_path))), ("refine",))
    torch.save({"conv1a.weight": torch.zeros(1)}, tmp_path / "aff.pth")
    with pytest.raises(ModelError, match=r"does not say what network it is of: name it with psa.architecture"):
        run_stages(replace(mapped, psa=replace(PSA, trained=str(tmp_path / "aff.pth"))), ("refine",))
