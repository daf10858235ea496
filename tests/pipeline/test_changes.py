"""What each kind of change makes stale, of every stage: settings, pictures, labels, classes, weights, folders."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import contents

from advcam.classify import ClassifySettings
from advcam.cli import main
from advcam.errors import RunError
from advcam.models import BackboneSettings
from advcam.pipeline.config import RunConfig, SplitSettings
from advcam.pipeline.graph import run_stages, states
from advcam.pipeline.run import Run
from advcam.pipeline.stages import in_run
from advcam.refine.irn_settings import IRNInstanceSettings, IRNSettings, IRNWalkSettings
from advcam.refine.psa_settings import PSASettings
from advcam.saliency.settings import SaliencySettings
from advcam.segment.cct.settings import CCTSettings
from advcam.segment.settings import SegmentSettings

NETWORK = BackboneSettings("timm/test_resnet", weights=None, output_stride=16)
REPORTED = {"metrics", "report"}
MASKS = {"advcam/masks", "instances", "segmentation", *REPORTED}
IRN = {"advcam/irn", *MASKS}
MAPS = {"advcam/maps", "advcam/crf", "boxes", *IRN}
ALL = {"classifier", "cam/maps", *MAPS}
EVERYTHING = {"saliency", *ALL}
ONE = "odd/picture 1"


@pytest.fixture(scope="module")
def whole(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """All stages, with IRN, on data of its own."""
    root = tmp_path_factory.mktemp("changes")
    shutil.copytree(small_data, root / "data")
    table = root / "data/labels.csv"
    head, *rows = table.read_text().splitlines()
    listed = [f"{row},{'train' if number < 4 else 'val'}" for number, row in enumerate(rows)]
    table.write_text("\n".join([f"{head},split", *listed]) + "\n")
    for path in (root / "data/masks").glob("*/*.png"):
        with Image.open(path) as mask:
            shown = (np.asarray(mask) > 0) * np.uint8(255)
        target = root / "salient" / path.relative_to(root / "data/masks")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(shown).save(target)
    fit = {"batch_size": 2, "workers": 0}
    config = RunConfig(
        data=str(root / "data"),
        out=str(root / "run"),
        splits=SplitSettings(train="train", val="val", maps=("train", "val")),
        backbone=NETWORK,
        classify=ClassifySettings(epochs=1, crop=32, long_side=(32, 48), val_long_side=48, **fit),
        saliency=SaliencySettings(source="folder", folder=str(root / "salient")),
        irn=IRNSettings(epochs=1, features="classifier", crop=32, radius=3, **fit),
        irn_walk=IRNWalkSettings(pad=0, exp_times=2),
        instances=IRNInstanceSettings(method="irn"),
        segment=SegmentSettings(
            method="deeplab",
            architecture="timm/test_resnet",
            weights="classifier",
            output_stride=16,
            rates=(1, 2),
            pyramid=(),
            crop=32,
            updates=2,
            freeze_batch_norm=False,
            samples=1,
            score=("val",),
            **fit,
        ),
        device="cpu",
        skip_bad=True,
    )
    attribute = replace(config.attribute, scales=(1.0,), batch_pixels=20000)
    config = replace(config, attribute=attribute, climb=replace(config.climb, steps=2))
    config = replace(
        config,
        refine=replace(config.refine, method="irn"),
        report=replace(config.report, gallery=1, strips=0),
        localize=replace(config.localize, overlays=False, in_run=True),
    )
    run_all(config)
    return config


def run_all(config: RunConfig) -> None:
    run_stages(config, [stage.verb for stage in in_run(config)])


@pytest.fixture
def own(whole: RunConfig, tmp_path: Path) -> RunConfig:
    """A copy of the run, of its data and of its saliency maps."""
    root = Path(whole.out).parent
    for name in ("run", "data", "salient"):
        shutil.copytree(root / name, tmp_path / name)
    saliency = replace(whole.saliency, folder=str(tmp_path / "salient"))
    return replace(whole, data=str(tmp_path / "data"), out=str(tmp_path / "run"), saliency=saliency)


def found(config: RunConfig, condition: str) -> set[str]:
    return {name for name, state in states(Run.open(config)).items() if state.condition == condition}


def section(name: str, **values: object) -> Callable[[RunConfig], RunConfig]:
    return lambda config: replace(config, **{name: replace(getattr(config, name), **values)})


SETTINGS = {
    "classify.lr": (section("classify", lr=0.3), ALL),
    "classify.workers": (section("classify", workers=1), set()),
    "backbone.output_stride": (section("backbone", output_stride=32), ALL),
    "saliency.rule": (section("saliency", rule="otsu"), MAPS),
    "climb.steps": (section("climb", steps=3), MAPS),
    "attribute.scales": (section("attribute", scales=(0.5,)), {"cam/maps", *MAPS}),
    "crf": (section("crf", iterations=3), {"advcam/crf", *IRN}),
    "seed.threshold": (section("seed", threshold=0.5), {"advcam/crf", *REPORTED}),
    "seed.confident_foreground": (section("seed", confident_foreground=0.5), IRN),
    "irn.lr": (section("irn", lr=0.5), IRN),
    "irn_walk.beta": (section("irn_walk", beta=3), MASKS),
    "irn_walk.background": (section("irn_walk", background=0.4), {"advcam/masks", "segmentation", *REPORTED}),
    "irn_walk.background swept": (section("irn_walk", background="swept"), {"advcam/masks", "segmentation", *REPORTED}),
    "refine.max_side": (section("refine", max_side=48), {"advcam/crf", *IRN}),
    "refine.ambiguity": (section("refine", ambiguity=True), {"advcam/masks", "segmentation", *REPORTED}),
    "instances.min_area": (section("instances", min_area=0.2), {"instances", *REPORTED}),
    "segment.lr": (section("segment", lr=0.5), {"segmentation", *REPORTED}),
    "segment.multi_scale": (section("segment", multi_scale=True), set()),
    "localize.threshold": (section("localize", threshold=0.4), {"boxes", *REPORTED}),
    "localize.overlays": (section("localize", overlays=True), set()),
    "refine.baseline": (section("refine", baseline=True), set()),
    "refine.overlays": (section("refine", overlays=False), set()),
    "report.gallery": (section("report", gallery=2), set()),
    "processes": (lambda config: replace(config, processes=2), set()),
    "device": (lambda config: replace(config, device="auto"), set()),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(whole: RunConfig, name: str) -> None:
    change, expected = SETTINGS[name]
    assert found(change(whole), "stale") == expected
    assert not found(change(whole), "partial")


def replaced(config: RunConfig) -> None:
    data = Path(str(config.data))
    Image.fromarray(np.full((50, 120, 3), 77, np.uint8)).save(data / f"{ONE}.png")
    Image.fromarray(np.zeros((50, 120), np.uint8)).save(data / f"masks/{ONE}.png")
    Image.fromarray(np.zeros((50, 120), np.uint8)).save(Path(str(config.saliency.folder)) / f"{ONE}.png")


def labelled(config: RunConfig) -> None:
    edit(config, lambda text: text.replace("picture 0.png,disc", "picture 0.png,bar;disc"))


def removed(config: RunConfig) -> None:
    for folder in (Path(str(config.data)), Path(str(config.data)) / "masks"):
        (folder / f"{ONE}.png").unlink()
    edit(config, lambda text: "".join(line for line in text.splitlines(True) if ONE not in line))


def added(config: RunConfig) -> None:
    data = Path(str(config.data))
    for folder in (data, data / "masks", Path(str(config.saliency.folder))):
        shutil.copy(folder / f"{ONE}.png", folder / "odd/picture 9.png")
    edit(config, lambda text: text + "odd/picture 9.png,bar,train\n")


def salient(config: RunConfig) -> None:
    Image.fromarray(np.full((64, 48), 255, np.uint8)).save(Path(str(config.saliency.folder)) / f"{ONE}.png")


def renamed_class(config: RunConfig) -> None:
    edit(config, lambda text: text.replace("bar", "beam"))


def relabelled(config: RunConfig) -> None:
    edit(config, lambda text: text.replace(",disc,", ",bar,").replace(",disc;bar,", ",disc,"))


def edit(config: RunConfig, change: Callable[[str], str]) -> None:
    table = Path(str(config.data)) / "labels.csv"
    table.write_text(change(table.read_text()))


# Stale, and partial: some of the images are to be made again.
BY_IMAGE = {"advcam/maps", "advcam/crf", "advcam/masks", "instances", "boxes"}
DATA = {
    "a picture replaced": (replaced, REPORTED, {"saliency", "cam/maps", *BY_IMAGE}),
    "a label corrected": (labelled, REPORTED, {"cam/maps", *BY_IMAGE}),
    "a saliency map replaced": (salient, REPORTED, {"saliency", *BY_IMAGE}),
    "an image removed": (removed, REPORTED, set()),
    "an image added": (added, set(), {"saliency", "cam/maps", *BY_IMAGE}),
    "most labels": (relabelled, ALL, set()),
    "the class list": (renamed_class, ALL, set()),
}


@pytest.mark.parametrize("name", DATA)
def test_data(own: RunConfig, name: str) -> None:
    change, stale, partial = DATA[name]
    change(own)
    assert found(own, "stale") == stale
    assert found(own, "partial") == partial


def test_another_folder_of_the_same_data_is_the_same_and_one_of_others_is_not(own: RunConfig, tmp_path: Path) -> None:
    moved = replace(own, data=str(tmp_path / "moved"))
    shutil.copytree(str(own.data), tmp_path / "moved", copy_function=shutil.copyfile)
    assert not found(moved, "stale") | found(moved, "partial")
    for path in (tmp_path / "moved").glob("*/*.png"):
        with Image.open(path) as image:
            pixels = 255 - np.asarray(image)
        Image.fromarray(pixels).save(path)
    assert found(moved, "stale") == ALL


@pytest.mark.parametrize(
    ("folder", "expected"),
    [("classifier", ALL - {"classifier"}), ("advcam/irn", MASKS), ("segmentation", set())],
)
def test_weights_that_are_other_ones(own: RunConfig, folder: str, expected: set[str]) -> None:
    """What was made from a network is stale once the network's file is another one, whatever the record says."""
    path = Path(own.out) / folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    assert found(own, "stale") == expected


@pytest.mark.parametrize("name", ["classifier", "advcam/maps", "advcam/irn", "advcam/masks"])
def test_an_earlier_stage_made_again_otherwise(own: RunConfig, name: str) -> None:
    """``--overwrite`` of one stage leaves all after it to be made again, and no stage works on what is stale."""
    verb, change, later = {
        "classifier": ("classify", section("classify", seed=1), ALL - {"classifier"}),
        "advcam/maps": ("attribute", section("climb", steps=3), IRN),
        "advcam/irn": ("refine", section("irn", seed=1), {"instances", "segmentation", *REPORTED}),
        "advcam/masks": ("refine", section("irn_walk", background=0.4), {"segmentation", *REPORTED}),
    }[name]
    other = replace(change(own), overwrite=True)
    run_stages(other, (verb,))
    other = replace(other, overwrite=False)
    assert found(other, "stale") == later
    if name == "classifier":
        with pytest.raises(RunError, match=r"attribute would|holds advcam/maps made otherwise"):
            run_stages(other, ("attribute",))
    elif name == "advcam/maps":
        assert found(other, "partial") == {"advcam/crf", "boxes"}


def test_one_picture_is_made_again_in_every_stage_and_nothing_else(own: RunConfig, capsys) -> None:
    folders = ("advcam/maps", "cam/maps", "advcam/crf", "advcam/masks", "advcam/irn/edges", "instances", "saliency")
    networks = ("classifier", "advcam/irn", "segmentation")
    root = Path(own.out)
    times = {name: (root / name).stat().st_mtime_ns for name in contents(own, *folders)}
    weights = {name: (root / name / "model.safetensors").read_bytes() for name in networks}
    replaced(own)
    capsys.readouterr()
    run_all(own)
    said = capsys.readouterr().err
    changed = {name for name, then in times.items() if (root / name).stat().st_mtime_ns != then}
    endings = {"maps": "npz", "edges": "npz", "instances": "npz"}
    with Image.open(root / f"advcam/masks/{ONE}.png") as mask, Image.open(root / f"advcam/overlays/{ONE}.jpg") as drawn:
        assert mask.size == drawn.size == (120, 50)
    assert changed == {f"{folder}/{ONE}.{endings.get(folder.split('/')[-1], 'png')}" for folder in folders}
    assert weights == {name: (root / name / "model.safetensors").read_bytes() for name in networks}
    for name, of in zip(networks, (6, 6, 4), strict=True):
        assert f"{name}: kept, though 1 image of the {of} that it learnt from changed since: {ONE}" in said
    assert "evaluate: note: classifier is older than its images" in said
    assert not found(own, "stale") | found(own, "partial")
    assert main(["status", "--out", own.out]) == 0
    assert "1 image of the 6 that it learnt from changed since" in capsys.readouterr().out
    run_stages(replace(own, overwrite=True), ("classify",))
    assert (root / "classifier/model.safetensors").read_bytes() != weights["classifier"]


def test_psa_cct_and_chains(own: RunConfig) -> None:
    """The other ways of refining and of segmenting, on the same maps."""
    psa = PSASettings(architecture=None, epochs=1, batch_size=2, crop=40, radius=3, workers=0)
    other = replace(own, psa=psa, refine=replace(own.refine, method="psa"), overwrite=True)
    cct = CCTSettings(architecture="timm/test_resnet", weights=None, output_stride=16, psp_channels=8, labelled=2)
    cct = replace(cct, batch_size=2, updates=1, crop=32, long_side=(32, 48), workers=0, keep="last")
    other = replace(other, cct=cct, segment=replace(own.segment, method="cct", weights=None))
    other = replace(other, instances=replace(own.instances, method="none"))
    run_stages(other, ("refine", "segment", "evaluate", "report"))
    other = replace(other, overwrite=False)
    assert not found(other, "stale") | found(other, "partial")
    trained = {"advcam/psa", "advcam/masks", "segmentation", *REPORTED}
    for change, expected in (
        (section("psa", lr=0.5), trained),
        (section("psa", beta=2), {"advcam/masks", *REPORTED}),
        (section("cct", lr=0.5), {"segmentation", *REPORTED}),
        (section("cct", workers=1), set()),
    ):
        assert found(change(other), "stale") - ({"segmentation"} - expected) == expected
    replaced(other)
    assert not found(other, "stale") & {"advcam/psa", "segmentation"}
    for method, change in (("regions", section("regions", covered=0.9)), ("affinity", section("affinity", beta=3.0))):
        chain = replace(other, refine=replace(other.refine, method=method), overwrite=True)
        run_stages(chain, ("attribute", "refine"))
        chain = replace(chain, overwrite=False)
        assert "advcam/masks" not in found(chain, "stale")
        assert "advcam/masks" in found(change(chain), "stale")
        assert "advcam/crf" not in found(change(chain), "stale")


@pytest.mark.parametrize("rule", ["auto", "swept"])
def test_a_threshold_that_was_chosen_holds_while_few_images_change(own: RunConfig, rule: str) -> None:
    chosen = section("seed", threshold=rule)(replace(own, refine=replace(own.refine, method="crf"), overwrite=True))
    chosen = replace(chosen, instances=replace(own.instances, method="none"))
    run_stages(chosen, ("refine",))
    chosen = replace(chosen, overwrite=False)
    replaced(chosen)
    run_stages(chosen, ("saliency", "attribute", "refine"))
    assert "advcam/masks" not in found(chosen, "stale") | found(chosen, "partial")
