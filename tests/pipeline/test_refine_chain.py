"""Refinements without training through the pipeline: methods, chains, thresholds, files of regions, staleness."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import entry

from advcam.attribute.settings import AttributeSettings
from advcam.data.masks import write_mask
from advcam.errors import RunError, SettingsError
from advcam.io.files import read_json
from advcam.pipeline.config import RefineSettings, RunConfig
from advcam.pipeline.graph import run_stages
from advcam.pipeline.refiner import Subject
from advcam.pipeline.run import Run
from advcam.pipeline.scoring import read_prediction
from advcam.refine import CRFSettings, crf_labels, regions
from advcam.refine.affinity import Affinity
from advcam.refine.pamr import pamr
from advcam.refine.seeds import dataset_labels, local_seed
from advcam.refine.settings import AffinitySettings, PAMRSettings, RegionSettings, SeedSettings
from advcam.refine.superpixels import superpixels

AFFINITY = AffinitySettings(radius=2, steps=4)
PAMR = PAMRSettings(iterations=2, dilations=(1, 2))
REGIONS = RegionSettings(scales=(20.0,), min_size=10)
CRF = CRFSettings(iterations=2, bilateral_sxy=20.0)


@pytest.fixture(scope="module")
def run_with_maps(small_data: Path, small_classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    config = RunConfig(
        data=str(small_data),
        out=str(tmp_path_factory.mktemp("mapped") / "run"),
        classifier=str(small_classifier),
        attribute=AttributeSettings(method="cam", scales=(1.0,)),
        refine=RefineSettings(
            method="chain", chain=("affinity", "pamr", "region_means", "regions", "crf"), steps=False, overlays=False
        ),
        affinity=AFFINITY,
        pamr=PAMR,
        regions=REGIONS,
        crf=CRF,
        device="cpu",
    )
    run_stages(config, ("classify", "attribute"))
    return config


@pytest.fixture
def mapped(run_with_maps: RunConfig, tmp_path: Path) -> RunConfig:
    shutil.copytree(run_with_maps.out, tmp_path / "run")
    return replace(run_with_maps, out=str(tmp_path / "run"))


def masks_of(config: RunConfig) -> dict[str, np.ndarray]:
    run = Run.open(config)
    return {record.id: read_prediction(run, record, run.folder.file("cam/masks", record.id)) for record in run.records}


def test_a_chain_is_its_parts_one_after_another(mapped):
    from advcam.pipeline.classify import run_classifier

    run_stages(mapped, ("refine", "evaluate"))
    run, made = Run.open(mapped), masks_of(mapped)
    affinity = Affinity(AFFINITY, mapper=run_classifier(run).mapper())
    assert len(made) == 6
    names = {found["masks"] for found in read_json(run.folder.metrics)["results"]}
    assert "cam + affinity + pamr + region_means + regions + crf" in names
    for record in run.records[:2]:
        subject = Subject.read(run, record, "cam")
        maps = pamr(torch.tensor(subject.image), affinity(subject.image, subject.maps), PAMR)
        parts = superpixels(subject.image, REGIONS)
        maps = regions(maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=1e-30), parts)
        maps = maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=1e-30)
        mask = regions(local_seed(maps, 0.3), parts)
        if subject.maps.any():
            mask = crf_labels(subject.image, mask, len(maps) + 1, CRF).to(torch.uint8)
        np.testing.assert_array_equal(made[record.id], dataset_labels(mask, subject.classes).numpy())


def test_one_method_is_a_chain_of_one_and_another_chain_is_another_mask(mapped):
    run_stages(mapped, ("refine",))
    other = replace(mapped, refine=replace(mapped.refine, method="affinity", chain=()))
    with pytest.raises(RunError, match="chain"):
        run_stages(other, ("refine",))
    run_stages(replace(other, overwrite=True), ("refine",))
    alone = masks_of(other)
    single = replace(mapped, refine=replace(mapped.refine, chain=("affinity",)), overwrite=True)
    run_stages(single, ("refine",))
    assert all(np.array_equal(alone[name], mask) for name, mask in masks_of(single).items())
    # A setting of a link that is not in the chain makes nothing stale.
    run_stages(replace(single, overwrite=False, pamr=PAMRSettings()), ("refine",))


def test_regions_from_files_are_part_of_the_key(mapped, tmp_path):
    folder = tmp_path / "regions"
    run = Run.open(mapped)
    for record in run.records:
        height, width = Subject.read(run, record, "cam").size
        parts = np.ones((height, width), np.uint8)
        parts[height // 2 :] = 2
        write_mask(folder / f"{record.id}.png", parts)
    asked = replace(
        mapped,
        refine=replace(mapped.refine, method="regions", chain=()),
        regions=RegionSettings(source="folder", folder=str(folder)),
    )
    run_stages(asked, ("refine",))
    for mask in masks_of(asked).values():
        assert len(np.unique(mask[: len(mask) // 2])) == 1
    shutil.move(folder, tmp_path / "moved")
    moved = replace(asked, regions=RegionSettings(source="folder", folder=str(tmp_path / "moved")))
    run_stages(moved, ("refine",))
    assert entry(moved, "cam/masks").result["made"] == 0
    write_mask(tmp_path / "moved" / f"{run.records[0].id}.png", np.ones_like(mask))
    with pytest.raises(RunError):
        run_stages(moved, ("refine",))


@pytest.mark.parametrize("rule", ["auto", "regions", "stability"])
def test_thresholds_without_masks(mapped, rule):
    asked = replace(mapped, refine=replace(mapped.refine, chain=("affinity",)), seed=SeedSettings(threshold=rule))
    run_stages(asked, ("refine",))
    chosen = entry(asked, "cam/masks").result["threshold"]
    assert chosen["method"] == "maps"
    assert 0 < chosen["value"] < 1


def test_chains_without_sense_are_refused_at_once():
    for wrong in ({"method": "chain"}, {"method": "chain", "chain": ("crf", "pamr")}, {"chain": ("crf",)}):
        with pytest.raises(SettingsError):
            RefineSettings(**wrong)


def test_few_masks_choose_a_setting_and_say_what_it_is_worth(mapped, capsys):
    from advcam.verbs import tune

    choice = tune.tune(Run.open(mapped))
    kept = read_json(Path(mapped.out) / tune.FILE)
    tried = tune.candidates()
    assert kept["words"] == tried[choice.best].words
    assert kept["images"] == choice.image_count >= 2
    assert kept["interval"][0] <= kept["expected"] + 1e-9
    assert kept["words"] in capsys.readouterr().err.replace("\n", " ")
    # The winner's figure is that of the masks that its settings make.
    best = tried[choice.best]
    asked = replace(
        mapped,
        refine=replace(mapped.refine, method="chain" if best.chain else "none", chain=best.chain),
        seed=SeedSettings(threshold=best.threshold),
    )
    run_stages(asked, ("refine", "evaluate"))
    found = [one for one in read_json(Run.open(asked).folder.metrics)["results"] if one["masks"] != "cam"]
    assert any(one.get("miou") == pytest.approx(choice.miou, abs=1e-9) for one in found)
