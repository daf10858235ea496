"""A localization run on a small data set: training, maps, figures, report; and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from runs import entry
from safetensors.torch import load_file

from advcam import climb, maps
from advcam.attribute.result import LocalizationMaps
from advcam.attribute.settings import AttributeSettings, ClimbSettings
from advcam.attribute.wsol import ScoreMapFile, score_maps
from advcam.classify.methods import load_method
from advcam.classify.wsol.acol import ACoL, fused
from advcam.classify.wsol.settings import WSOLSettings
from advcam.classify.wsol.task import whole_square
from advcam.classify.wsol.train import train_method
from advcam.data import open_dataset
from advcam.errors import DataError, RunError, SettingsError
from advcam.evaluate import max_box_acc
from advcam.evaluate.settings import BoxAccSettings, ScoreMapSettings
from advcam.models import BackboneSettings
from advcam.pipeline.config import ReportSettings, RunConfig, SplitSettings
from advcam.pipeline.graph import run_stages
from advcam.pipeline.stages import in_run

SIDE = 64
LISTS = {"train": 8, "val": 4, "test": 3}


def write_lists(root: Path) -> None:
    """A square of one of two colours on noise, in the text layout of the benchmark."""
    generator = np.random.default_rng(0)
    (root / "classes.txt").write_text("red\nblue\n")
    for split, count in LISTS.items():
        (root / split).mkdir()
        lines: dict[str, list[str]] = {"image_ids": [], "class_labels": [], "localization": []}
        for number in range(count):
            name, label = f"{split}{number}.png", number % 2
            height, width = (48, 64) if number % 3 else (56, 40)
            image = generator.integers(90, 160, (height, width, 3), dtype=np.uint8)
            x, y = generator.integers(4, 16, 2)
            image[y : y + 24, x : x + 20] = ((220, 40, 40), (40, 60, 220))[label]
            Image.fromarray(image).save(root / name)
            lines["image_ids"].append(name)
            lines["class_labels"].append(f"{name},{label}")
            lines["localization"].append(f"{name},{x},{y},{x + 20},{y + 24}")
        for file, own in lines.items():
            if file != "localization" or split != "train":
                (root / split / f"{file}.txt").write_text("\n".join(own))


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lists")
    write_lists(root)
    return root


def config_for(lists: Path, out: Path, method: str = "cam") -> RunConfig:
    return RunConfig(
        data=str(lists),
        out=str(out),
        splits=SplitSettings(train="train", val="val", maps=("val", "test"), tune="val"),
        backbone=BackboneSettings("timm/test_resnet", weights=None, output_stride=16),
        wsol=WSOLSettings(
            method=method, epochs=2, batch_size=4, lr=0.01, resize=SIDE + 8, crop=SIDE, workers=0, decay_every=2
        ),
        attribute=AttributeSettings(batch_pixels=3 * SIDE * SIDE, adapt=False),
        climb=replace(ClimbSettings.localization(), steps=3),
        box_acc=BoxAccSettings(maps=ScoreMapSettings(step=0.01, size=SIDE)),
        report=ReportSettings(gallery=2, strips=0),
        device="cpu",
    )


@pytest.fixture(scope="module")
def finished(lists: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    config = config_for(lists, tmp_path_factory.mktemp("run") / "run")
    run_stages(config, [stage.verb for stage in in_run(config)])
    return config


def test_what_a_localization_run_leaves_behind(finished: RunConfig) -> None:
    root = Path(finished.out)
    assert [stage.verb for stage in in_run(finished)] == ["classify", "attribute", "localize", "evaluate", "report"]
    names = {path.stem for path in (root / "advcam/scores").glob("*.npz")}
    assert names == {f"{split}{number}" for split in ("val", "test") for number in range(LISTS[split])}
    for kind in ("advcam/maps", "cam/maps"):
        assert {path.stem for path in (root / kind).glob("*.npz")} == names
    assert LocalizationMaps.load(root / "advcam/maps/val1.npz").maps.shape == (1, 12, 16)
    assert (root / "boxes.csv").exists()
    assert not (root / "advcam/masks").exists()
    result = entry(finished, "classifier").result
    assert result["kept"] == "last"
    assert {"top1_cls", "boxes", "box_acc_30", "box_acc_50", "box_acc_70", "top1_loc"} <= set(result["scores"])
    for folder in ("", "last", "best"):
        assert (root / "classifier" / folder / "model.safetensors").exists()
    kept, last = (load_file(root / "classifier" / name / "model.safetensors") for name in ("", "last"))
    assert all(torch.equal(kept[name], last[name]) for name in kept)


def test_the_training_goes_on_with_other_workers(finished: RunConfig) -> None:
    other = replace(finished, wsol=replace(finished.wsol, workers=1, checkpoint_seconds=5.0))
    run_stages(other, ("classify",))
    with pytest.raises(RunError, match=r"wsol\.lr 0\.01 there, 0\.02 now"):
        run_stages(replace(finished, wsol=replace(finished.wsol, lr=0.02)), ("classify",))


def test_the_best_weights_need_validation_images(lists: Path, tmp_path: Path) -> None:
    train = open_dataset(lists, "train")
    settings = replace(config_for(lists, tmp_path).wsol, keep="best")
    with pytest.raises(SettingsError, match=r"wsol\.keep is best, but there are no validation images"):
        train_method(config_for(lists, tmp_path).backbone, train, None, settings, tmp_path)


def test_maps_are_those_of_the_library(finished: RunConfig, lists: Path) -> None:
    network, names = load_method(Path(finished.out) / "classifier")
    assert names == ("red", "blue")
    mapper = network.classifier.mapper()
    record = open_dataset(lists, "val").records[1]
    _, image = whole_square(record, SIDE, mapper.mean, mapper.std)
    image = image[None]
    classes = torch.tensor(record.classes)
    file = ScoreMapFile.load(Path(finished.out) / "advcam/scores/val1.npz")
    with torch.no_grad():
        logits = network.classifier(image)[0]
        cam = mapper.class_maps(image)[0, record.classes[0]]
    assert (file.label, file.predicted, file.image_size) == (1, int(logits.argmax()), (48, 64))
    assert file.probability == pytest.approx(float(logits.softmax(0)[1]), abs=1e-4)
    torch.testing.assert_close(torch.from_numpy(file.cam), cam, atol=1e-4, rtol=1e-3)
    # The climb amplifies rounding, and batch norms are folded in the run: the sums agree roughly.
    summed = climb(mapper, image, classes, finished.climb)[0]
    assert float((torch.from_numpy(file.maps) - summed).abs().max()) < 0.05 * float(summed.abs().max())


def test_figures_are_those_of_the_library(finished: RunConfig, lists: Path) -> None:
    metrics = json.loads((Path(finished.out) / "metrics.json").read_text())
    found = {(row["masks"], row["split"]): row for row in metrics["wsol"]}
    assert set(found) == {(kind, split) for kind in ("cam", "advcam") for split in ("val", "test")}
    records = open_dataset(lists, "test").records
    files = [ScoreMapFile.load(Path(finished.out) / f"advcam/scores/{record.id}.npz") for record in records]
    expected = max_box_acc(
        [file.maps for file in files],
        [[(box.x0, box.y0, box.x1, box.y1) for box in record.boxes or ()] for record in records],
        [file.image_size[::-1] for file in files],
        classified=[file.predicted == file.label for file in files],
        maps=finished.box_acc.maps,
    )
    row = found["advcam", "test"]
    assert row["max_box_acc_v2"] == {str(delta): value for delta, value in expected.v2.items()}
    assert (row["max_box_acc_v1"], row["top1_cls"], row["top1_loc"]) == (
        expected.v1, expected.top1_cls, expected.top1_loc,
    )  # fmt: skip
    tuned = found["advcam", "val"]["thresholds"]
    assert row["tuned"]["thresholds"] == tuned
    assert row["tuned"]["box_acc"]["50"] == expected.all.at(50, tuned["50"])
    assert metrics["pxap"] == []
    report = (Path(finished.out) / "report.html").read_text()
    assert '<section id="boxes">' in report
    assert "MaxBoxAccV2" in report


def test_a_stopped_mapping_goes_on_and_ends_alike(finished: RunConfig, lists: Path) -> None:
    path = Path(finished.out) / "advcam/scores/test1.npz"
    before = path.read_bytes()
    path.unlink()
    run_stages(finished, ("attribute",))
    assert path.read_bytes() == before


def test_acol_is_climbed_with_both_heads(lists: Path, tmp_path: Path) -> None:
    config = config_for(lists, tmp_path / "run", "acol")
    config = replace(config, wsol=replace(config.wsol, epochs=1))
    run_stages(config, ("classify", "attribute"))
    network, _ = load_method(tmp_path / "run/classifier")
    assert isinstance(network, ACoL)
    record = open_dataset(lists, "test").records[0]
    mapper = network.classifier.mapper()
    _, image = whole_square(record, SIDE, mapper.mean, mapper.std)
    image = image[None]
    classes = torch.tensor(record.classes)
    once = score_maps(network, maps.ACoL(network, mapper), image, classes, replace(config.climb, steps=1))
    first, second, _ = network.both_maps(image, classes)
    torch.testing.assert_close(once.maps, fused(first, second).detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(once.maps, once.cam, atol=1e-5, rtol=1e-5)
    other = replace(config, out=str(tmp_path / "other"), classifier=str(tmp_path / "run/classifier"))
    run_stages(other, ("classify", "attribute"))
    name = f"advcam/scores/{record.id}.npz"
    assert (tmp_path / "other" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


def test_images_with_several_classes_are_refused(small_data: Path, tmp_path: Path) -> None:
    config = replace(config_for(small_data, tmp_path / "run"), splits=SplitSettings())
    with pytest.raises(DataError, match=r"picture 2\.png: the image has 2 classes, but localization"):
        run_stages(config, ("classify",))


def test_maps_need_a_classifier(lists: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no trained classifier yet"):
        run_stages(config_for(lists, tmp_path / "run"), ("attribute",))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("val0.png,30,30,100,40", "is not inside the image of 40 x 56 pixels"),
        ("val0.png,30,30,10,40", "has swapped corners"),
    ],
)
def test_bad_boxes_are_named(lists: Path, finished: RunConfig, tmp_path: Path, line: str, sentence: str) -> None:
    path = lists / "val/localization.txt"
    good = path.read_text()
    path.write_text("\n".join([line, *good.split("\n")[1:]]))
    try:
        with pytest.raises(DataError, match=rf"val0\.png: box .*{sentence}"):
            run_stages(finished, ("evaluate",))
    finally:
        path.write_text(good)


@pytest.mark.parametrize("values", [np.zeros((4, 4)), np.full((4, 4), 0.7)])
def test_maps_without_information_count_as_the_benchmark_has_it(finished: RunConfig, lists: Path, values) -> None:
    path = Path(finished.out) / "advcam/scores/val0.npz"
    before = path.read_bytes()
    file = ScoreMapFile.load(path)
    replace(file, maps=values.astype(np.float32), cam=values.astype(np.float32)).save(path)
    try:
        run_stages(finished, ("evaluate",))
    finally:
        path.write_bytes(before)
    rows = json.loads((Path(finished.out) / "metrics.json").read_text())["wsol"]
    # Such a map gives the box 0, 0, 0, 0 at every threshold, which reaches no true box here.
    assert max(rows[0]["max_box_acc_v2"].values()) <= 75


def test_pixels_where_there_are_masks(lists: Path, finished: RunConfig, tmp_path: Path) -> None:
    data = tmp_path / "masked"
    data.mkdir()
    write_lists(data)
    (data / "masks").mkdir()
    for split in ("val", "test"):
        lines = []
        for line in (data / split / "localization.txt").read_text().split("\n"):
            name, *corners = line.split(",")
            x0, y0, x1, y1 = map(int, corners)
            with Image.open(data / name) as image:
                mask = np.zeros((image.height, image.width), np.uint8)
            mask[y0:y1, x0:x1] = 255
            Image.fromarray(mask).save(data / "masks" / name)
            lines.append(f"{name},{name},")
        (data / split / "localization.txt").write_text("\n".join(lines))
    config = replace(finished, data=str(data), out=str(tmp_path / "run"), classifier=f"{finished.out}/classifier")
    run_stages(config, ("classify", "attribute", "evaluate"))
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["wsol"] == []
    assert [(row["masks"], row["split"], row["images"]) for row in metrics["pxap"]] == [
        ("cam", "val", 4), ("cam", "test", 3), ("advcam", "val", 4), ("advcam", "test", 3),
    ]  # fmt: skip
    assert all(0 < row["pxap"] <= 100 for row in metrics["pxap"])
