"""The saliency stage, and what the climb, the masks and the report make of its maps."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import entry

from advcam.attribute.settings import ClimbSettings
from advcam.classify.wsol.settings import WSOLSettings
from advcam.cli import main
from advcam.errors import DataError, RunError, SettingsError
from advcam.pipeline.config import ReportSettings, RunConfig
from advcam.pipeline.graph import run_stages
from advcam.refine.settings import SeedSettings
from advcam.saliency.settings import DetectorSettings, SaliencySettings

MAPPED = ("classify", "saliency", "attribute")


@pytest.fixture
def config(config: RunConfig) -> RunConfig:
    """One scale; region D first shows in the third map, since no map has moved at the first step."""
    return replace(config, attribute=replace(config.attribute, scales=(1.0,)), climb=ClimbSettings(steps=4))


@pytest.fixture
def maps(small_data: Path, tmp_path: Path) -> Path:
    """The foreground of each of the six images as a saliency map at half its size."""
    for path in sorted((small_data / "masks").rglob("*.png")):
        mask = np.asarray(Image.open(path))
        target = tmp_path / "maps" / path.relative_to(small_data / "masks")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((mask > 0)[::2, ::2].astype(np.uint8) * 255).save(target)
    return tmp_path / "maps"


def salient(config: RunConfig, maps: Path, **changes) -> RunConfig:
    return replace(config, saliency=SaliencySettings(source="folder", folder=str(maps), **changes))


def made(config: RunConfig, kind: str = "advcam/maps") -> dict[str, bytes]:
    root = Path(config.out) / kind
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.*"))}


def masks_of(config: RunConfig, kind: str) -> dict[str, np.ndarray]:
    root = Path(config.out) / kind
    return {str(path.relative_to(root)): np.asarray(Image.open(path)) for path in sorted(root.rglob("*.png"))}


def test_saliency_bounds_the_climb(config, maps):
    run_stages(salient(config, maps), MAPPED)
    plain = replace(config, out=config.out + " plain")
    run_stages(plain, MAPPED)
    with Image.open(Path(config.out) / "saliency/even/picture 0.png") as found:
        assert (found.mode, found.size) == ("L", (64, 48))
    assert entry(plain, "advcam/maps").facts["saliency"] is None
    assert not (Path(plain.out) / "saliency").exists()
    assert made(config, "cam/maps") == made(plain, "cam/maps")
    # A map whose background is within the mask of eq. 5 already stays as it is.
    assert sum(made(config)[name] != data for name, data in made(plain).items()) >= 3
    assert entry(config, "advcam/maps").facts["saliency"] == {"rule": "fixed", "threshold": 0.5}
    assert entry(config, "saliency").facts == {"source": "folder"}


def test_missing_maps_stop_the_run_or_are_climbed_without(config, maps, capsys):
    (maps / "even/picture 0.png").unlink()
    Image.new("L", (32, 24)).save(maps / "even/picture 2.png")
    with pytest.raises(DataError, match=r"1 of 6 images have no saliency map \(even/picture 0\)"):
        run_stages(salient(config, maps), MAPPED)
    assert not (Path(config.out) / "saliency").exists()
    run_stages(salient(config, maps, missing="without"), MAPPED)
    assert entry(config, "saliency").result["missing"] == ["even/picture 0"]
    # A map of zeros knows of no object, though the label does.
    assert "2 images were climbed without region D" in capsys.readouterr().err
    plain = replace(config, out=config.out + " plain")
    run_stages(plain, MAPPED)
    # Those two are as without saliency, though they shared batches with others that are not.
    changed = {name for name, data in made(plain).items() if made(config)[name] != data}
    assert changed
    assert not changed & {"even/picture 0.npz", "even/picture 2.npz"}


def test_what_is_stopped_goes_on_and_another_rule_is_another_climb(config, maps):
    config = salient(config, maps)
    run_stages(config, MAPPED)
    whole, root = made(config, "saliency"), Path(config.out)
    (root / "saliency/odd/picture 1.png").unlink()
    (root / "saliency/odd/picture 3.png").write_bytes(b"cut")
    with pytest.raises(RunError, match="no saliency maps of odd/picture 1 yet: run `advcam saliency`"):
        run_stages(config, ("attribute",))
    run_stages(config, ("saliency",))
    assert made(config, "saliency") == whole
    assert entry(config, "saliency").result["made"] == 2
    with pytest.raises(RunError, match=r"saliency\.rule 'fixed' there, 'otsu' now"):
        run_stages(salient(config, maps, rule="otsu"), ("attribute",))
    with pytest.raises(RunError, match="advcam/maps made otherwise"):
        run_stages(replace(config, saliency=SaliencySettings()), ("attribute",))


def test_a_map_that_changes_in_its_folder_is_made_again_alone(config, maps, capsys):
    config = salient(config, maps)
    run_stages(config, MAPPED)
    whole = made(config, "saliency")
    shutil.copytree(maps, maps.with_name("copy"), copy_function=shutil.copyfile)
    shutil.rmtree(maps)
    shutil.move(maps.with_name("copy"), maps)
    # The same pictures at another time are the same.
    run_stages(config, MAPPED)
    Image.new("L", (32, 24), 255).save(maps / "even/picture 2.png")
    (Path(config.out) / "saliency/odd/picture 1.png").unlink()
    capsys.readouterr()
    run_stages(config, MAPPED)
    assert "saliency: 1 image is made again" in capsys.readouterr().err
    changed = {name for name, data in made(config, "saliency").items() if whole[name] != data}
    assert changed == {"even/picture 2.png"}


def test_ambiguous_pixels_are_ignored(config, maps):
    seeds = replace(config.refine, method="none", overlays=False)
    config = replace(salient(config, maps), refine=seeds, seed=SeedSettings(threshold=0.6))
    run_stages(config, (*MAPPED, "refine"))
    before = {kind: masks_of(config, kind) for kind in ("advcam/masks", "cam/masks")}
    run_stages(replace(config, refine=replace(seeds, ambiguity=True), overwrite=True), ("refine",))
    regions = {name: grey >= 128 for name, grey in masks_of(config, "saliency").items()}
    for kind, masks in before.items():
        after = masks_of(config, kind)
        assert len(after) == 6
        for name, mask in masks.items():
            assert np.array_equal(after[name], np.where((mask > 0) == regions[name], mask, 255))
        assert any((mask == 255).any() for mask in after.values())


def test_ambiguity_needs_saliency(config):
    with pytest.raises(SettingsError, match=r"refine\.ambiguity needs saliency"):
        replace(config, refine=replace(config.refine, ambiguity=True))


def test_localization_takes_no_saliency(config, maps):
    with pytest.raises(SettingsError, match="takes no saliency"):
        replace(salient(config, maps), wsol=WSOLSettings(method="cam"))


def test_maps_that_nothing_uses_are_told_of(config, maps, capsys):
    plain = replace(config.attribute, method="cam")
    run_stages(replace(salient(config, maps), attribute=plain), ("saliency",))
    assert "nothing will use these maps" in capsys.readouterr().err


def test_a_detector_is_trained_on_other_images_first(config, small_data, tmp_path):
    others = tmp_path / "others"
    shutil.copytree(small_data, others)
    for path in sorted(others.rglob("picture *.png")):
        path.rename(path.with_name(path.name.replace("picture", "other")))
    table = (others / "labels.csv").read_text().replace("picture", "other")
    (others / "labels.csv").write_text(table)
    detector = DetectorSettings(
        data=str(others), size=48, crop=32, batch_size=2, updates=2, holdout=0.0, workers=0, flip=False
    )
    trained = replace(config, saliency=SaliencySettings(source="u2netp"), detector=detector)
    run_stages(trained, ("saliency",))
    root = Path(config.out)
    assert json.loads((root / "detector/config.json").read_text())["size"] == 48
    assert entry(config, "detector").result["updates"] == 2
    maps, weights = made(trained, "saliency"), (root / "detector/model.safetensors").read_bytes()
    assert len(maps) == 6
    shutil.rmtree(root / "saliency")
    run_stages(trained, ("saliency",))
    assert made(trained, "saliency") == maps
    assert (root / "detector/model.safetensors").read_bytes() == weights
    # Its folder serves another run, which then needs no masks.
    taken = SaliencySettings(source="u2netp", weights=str(root / "detector"))
    other = replace(config, out=config.out + " other", saliency=taken)
    run_stages(other, ("saliency",))
    assert made(other, "saliency") == maps


def test_a_network_without_weights_or_data(config, small_data):
    bare = replace(config, saliency=SaliencySettings(source="u2net"))
    with pytest.raises(SettingsError, match="needs a trained network: give its weights"):
        run_stages(bare, ("saliency",))
    same = replace(bare, detector=DetectorSettings(data=str(small_data)))
    with pytest.raises(DataError, match="all 6 of its images with a mask are mapped by this run"):
        run_stages(same, ("saliency",))


def test_the_verb_wants_a_source(tmp_path, capsys):
    assert main(["saliency", "--data", str(tmp_path), "--out", str(tmp_path / "run")]) == 2
    assert "saliency.source is none: name where the maps come from" in capsys.readouterr().err


def test_the_report_shows_the_maps(config, maps):
    config = replace(config, report=ReportSettings(gallery=3, strips=0))
    run_stages(salient(config, maps), (*MAPPED, "report"))
    page = (Path(config.out) / "report.html").read_text()
    assert len(set(re.findall(r"saliency of (?:even|odd)/picture \d", page))) == 3
