"""The stage segment, and the verbs predict and export, on a small data set with a tiny network."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import entry

import advcam
from advcam.cli import main
from advcam.data.masks import write_mask
from advcam.errors import DataError, ModelError, RunError, SettingsError
from advcam.io.files import read_json
from advcam.models import BackboneSettings, build_classifier, save_classifier
from advcam.pipeline.config import RunConfig
from advcam.pipeline.graph import run_stages
from advcam.segment.inference import Segmenter
from advcam.segment.onnx import export_onnx
from advcam.segment.settings import SegmentSettings
from advcam.verbs.predict import Predictions, predict
from advcam.verbs.settings import PredictVerb

TINY = SegmentSettings(
    method="deeplab",
    masks="truth",
    score=("all",),
    architecture="timm/test_resnet",
    weights=None,
    output_stride=16,
    rates=(1, 2),
    pyramid=(),
    crop=48,
    batch_size=2,
    updates=2,
    lr=0.01,
    freeze_batch_norm=False,
    workers=0,
    samples=1,
)


@pytest.fixture(scope="module")
def trained(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run in which the network alone was trained, on the ground truth."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    config = replace(RunConfig(), data=str(small_data), out=str(folder), segment=replace(TINY, score=()), device="cpu")
    run_stages(config, ("segment",))
    return config


@pytest.fixture
def photos(small_data: Path, tmp_path: Path) -> Path:
    """The pictures alone, one of them broken."""
    folder = tmp_path / "photos"
    for name in ("odd", "even"):
        shutil.copytree(small_data / name, folder / name)
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def predictions(photos: Path, trained: RunConfig, **more) -> PredictVerb:
    verb = PredictVerb(images=str(photos), model=trained.out, out=str(photos.parent / "out"), device="cpu")
    return replace(verb, **more)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_stage_leaves_a_network_that_loads_with_one_line(trained: RunConfig) -> None:
    folder = Path(trained.out) / "segmentation"
    segmenter = advcam.segment.load(trained.out)
    assert segmenter.class_names == ("bar", "disc")
    assert advcam.segment.load(folder).class_names == segmenter.class_names
    labels = segmenter(np.zeros((40, 56, 3), np.uint8))
    assert labels.shape == (40, 56)
    assert labels.max() <= 2
    made = entry(trained, "segmentation")
    assert (made.status, made.result["images"], made.result["untrained"]) == ("done", 6, [])


def test_a_second_call_trains_nothing_and_another_training_is_refused(trained: RunConfig) -> None:
    weights = Path(trained.out) / "segmentation" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    run_stages(trained, ("segment",))
    assert weights.stat().st_mtime_ns == before
    with pytest.raises(RunError, match=r"lr 0\.01 there, 0\.02 now"):
        run_stages(replace(trained, segment=replace(trained.segment, lr=0.02)), ("segment",))


def test_networks_figure_in_metrics_and_report(
    config: RunConfig, small_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All stages on two lists of the same images; the second is scored."""
    data = Path(config.out).parent / "data"
    shutil.copytree(small_data, data)
    lines = (data / "labels.csv").read_text().splitlines()
    for number, name in enumerate(("train", "val")):
        (data / name).mkdir()
        chosen = [line for index, line in enumerate(lines[1:]) if index % 2 == number]
        for line in chosen:
            image = line.partition(",")[0]
            for prefix in ("", "masks/"):
                target = data / name / prefix / image
                target.parent.mkdir(parents=True, exist_ok=True)
                (data / prefix / image).rename(target)
        (data / name / "labels.csv").write_text("\n".join([lines[0], *chosen]) + "\n")
    (data / "labels.csv").unlink()
    segment = replace(TINY, masks="run", score=("val",), crf=True, keep="best", validate_every=1)
    config = replace(config, data=str(data), segment=segment, skip_bad=True)
    run_stages(config, ("classify", "attribute", "refine", "segment", "evaluate", "report"))
    results = read_json(Path(config.out) / "metrics.json")["results"]
    found = {(row["masks"], row["split"]): row for row in results}
    assert found["deeplab", "val"]["images"] == 3
    assert found["deeplab", "val"]["threshold"] is None
    assert "deeplab + crf" in {masks for masks, _ in found}
    assert found["deeplab", "val"]["weights_source"] == "best of 2 validations on val"
    assert found["deeplab", "val"]["weights_chosen_on_this_split"] is True
    closing = [line for line in capsys.readouterr().err.splitlines() if line.startswith("segment: deeplab: mIoU")]
    assert closing[0].endswith("on val (3 images), weights best of 2 validations on val, chosen there")
    report = (Path(config.out) / "report.html").read_text(encoding="utf-8")
    assert "DeepLab on timm/test_resnet, 3 masks, 2 updates, the weights of the best of 2 validations on val" in report
    assert "weights best of 2 validations on val" in report
    assert "DeepLab + CRF" in report


def test_another_classifier_is_another_start(trained: RunConfig, small_classifier: Path, tmp_path: Path) -> None:
    segment = replace(trained.segment, weights="classifier", architecture="timm/resnet10t", updates=1)
    asked = replace(trained, out=str(tmp_path / "run"), classifier=str(small_classifier), segment=segment)
    run_stages(asked, ("classify", "segment"))
    run_stages(asked, ("segment",))
    backbone = BackboneSettings(architecture="timm/resnet10t", weights=None, output_stride=16)
    save_classifier(tmp_path / "run" / "classifier", build_classifier(backbone, 2), backbone, ("bar", "disc"))
    with pytest.raises(RunError, match=r"classifier, which is stale|made otherwise \(weights '\w+' there, '\w+' now\)"):
        run_stages(asked, ("segment",))


def test_masks_that_are_not_there_yet(trained: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="run `advcam refine` with the same --out"):
        run_stages(replace(trained, out=str(tmp_path), segment=replace(TINY, masks="run", score=())), ("segment",))


def test_a_class_without_a_pixel_is_named(trained: RunConfig, small_data: Path, tmp_path: Path) -> None:
    for path in (small_data / "masks").rglob("*.png"):
        mask = np.array(Image.open(path))
        write_mask(tmp_path / "masks" / path.relative_to(small_data / "masks"), np.where(mask == 2, 255, mask))
    asked = replace(trained, out=str(tmp_path / "run"))
    asked = replace(asked, segment=replace(asked.segment, masks=str(tmp_path / "masks"), updates=1))
    with pytest.raises(DataError, match="no mask has a pixel of disc"):
        run_stages(asked, ("segment",))
    run_stages(replace(asked, skip_bad=True), ("segment",))
    assert entry(asked, "segmentation").result["untrained"] == ["disc"]


def test_a_scored_split_needs_ground_truth(trained: RunConfig, tmp_path: Path) -> None:
    asked = replace(trained, out=str(tmp_path / "run"), segment=replace(trained.segment, score=("val",)))
    with pytest.raises(DataError, match="val"):
        run_stages(asked, ("segment",))


def test_predict_writes_masks_overlays_and_areas(trained: RunConfig, photos: Path) -> None:
    asked = predictions(photos, trained)
    predict(asked)
    out = Path(asked.out)
    masks = sorted(path.relative_to(out / "masks").with_suffix("").as_posix() for path in out.rglob("masks/*/*.png"))
    assert masks == sorted(f"{'odd' if index % 2 else 'even'}/picture {index}" for index in range(6))
    assert len(list((out / "overlays").rglob("*.jpg"))) == 6
    segmenter = advcam.segment.load(trained.out)
    with Image.open(photos / "even" / "picture 4.png") as image, Image.open(out / "masks/even/picture 4.png") as mask:
        np.testing.assert_array_equal(np.asarray(mask), segmenter(np.asarray(image)))
        assert mask.mode == "P"
    areas = rows(out / "areas.csv")
    assert {row["image"] for row in areas} == set(masks)
    for name in masks:
        assert sum(float(row["fraction"]) for row in areas if row["image"] == name) == pytest.approx(1, abs=1e-5)
    (left_out,) = rows(out / "left_out.csv")
    assert left_out["image"] == "broken"
    assert "not an image" in left_out["reason"]
    assert "skip_bad" not in left_out["reason"]


def test_predict_goes_on_and_ends_alike(trained: RunConfig, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predict(predictions(photos, trained, out=str(photos.parent / "undisturbed")))
    asked, out = predictions(photos, trained), photos.parent / "out"
    real, written = Predictions.write, []

    def write_two(self, name, *arrays):
        written.append(name)
        if len(written) == 3:
            raise KeyboardInterrupt
        return real(self, name, *arrays)

    monkeypatch.setattr(Predictions, "write", write_two)
    with pytest.raises(KeyboardInterrupt, match="what is done is kept"):
        predict(asked)
    monkeypatch.undo()
    listed = {row["image"] for row in rows(out / "areas.csv")}
    kept = {path: path.stat().st_mtime_ns for path in (out / "masks" / f"{name}.png" for name in listed)}
    assert len(kept) < 6
    predict(asked)
    assert all(path.stat().st_mtime_ns == made for path, made in kept.items())
    for path in (photos.parent / "undisturbed" / "masks").rglob("*.png"):
        other = out / "masks" / path.relative_to(photos.parent / "undisturbed" / "masks")
        assert other.read_bytes() == path.read_bytes()
    expected = rows(photos.parent / "undisturbed" / "areas.csv")
    assert sorted(map(str, rows(out / "areas.csv"))) == sorted(map(str, expected))


def test_a_lost_mask_is_made_in_the_batch_it_had(
    trained: RunConfig, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = predictions(photos, trained)
    predict(asked)
    lost = photos.parent / "out" / "masks" / "odd" / "picture 3.png"
    before = lost.read_bytes()
    lost.unlink()
    kept = {path: path.stat().st_mtime_ns for path in (photos.parent / "out" / "masks").rglob("*.png")}
    seen, labels = [], Segmenter.labels
    monkeypatch.setattr(Segmenter, "labels", lambda self, images, how: seen.append(images) or labels(self, images, how))
    predict(asked)
    # Three pictures have its size.
    assert [len(images) for images in seen] == [3]
    assert lost.read_bytes() == before
    assert all(path.stat().st_mtime_ns == made for path, made in kept.items())


def test_predictions_made_otherwise_are_kept_unless_told(trained: RunConfig, photos: Path) -> None:
    asked = predictions(photos, trained, overlays=False)
    predict(asked)
    with pytest.raises(RunError, match="flip False there, True now"):
        predict(replace(asked, flip=True))
    predict(replace(asked, flip=True, overwrite=True))
    assert read_json(Path(asked.out) / "predict.json")["flip"] is True
    assert not (Path(asked.out) / "overlays").exists()
    with pytest.raises(RunError, match="choose an empty --out"):
        predict(replace(asked, out=str(photos)))


def test_predictions_inside_the_folder_of_the_images_are_not_images(trained: RunConfig, photos: Path) -> None:
    asked = predictions(photos, trained, out=str(photos / "labels"))
    predict(asked)
    predict(asked)
    assert len(list((photos / "labels" / "masks").rglob("*.png"))) == 6


def test_a_dry_run_labels_some_images(trained: RunConfig, photos: Path) -> None:
    asked = predictions(photos, trained, limit=3, overlays=False)
    predict(asked)
    assert 1 <= len(list((Path(asked.out) / "masks").rglob("*.png"))) <= 3
    predict(replace(asked, limit=None))
    assert len(list((Path(asked.out) / "masks").rglob("*.png"))) == 6
    areas = (Path(asked.out) / "areas.csv").read_text()
    predict(replace(asked, limit=2))
    assert (Path(asked.out) / "areas.csv").read_text() == areas


def test_mistakes_of_predict(trained: RunConfig, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="give --model"):
        predict(predictions(photos, trained, model=None))
    with pytest.raises(ModelError, match="holds no trained segmentation network"):
        predict(predictions(photos, trained, model=str(photos)))
    with pytest.raises(DataError, match="no such folder of images"):
        predict(predictions(tmp_path / "nowhere", trained))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="there is no image"):
        predict(predictions(tmp_path / "empty", trained))
    for name in ("odd", "even"):
        shutil.rmtree(photos / name)
    with pytest.raises(DataError, match="none of the 1 images can be read"):
        predict(predictions(photos, trained))


def test_a_network_of_other_classes_or_another_making_is_refused(trained: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"knows 2 classes \(bar, disc\), the data has 1 \(cat\)"):
        advcam.segment.load(trained.out, ("cat",))
    folder = tmp_path / "network"
    shutil.copytree(Path(trained.out) / "segmentation", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "class_names": ["bar"]}))
    with pytest.raises(ModelError, match="does not hold the network that"):
        advcam.segment.load(folder)
    (folder / "config.json").write_text(json.dumps({"schema": 1, "architecture": "resnet50"}))
    with pytest.raises(ModelError, match="is not the description of a segmentation network"):
        advcam.segment.load(folder)


def test_export_verb_hands_on_safetensors(trained: RunConfig, tmp_path: Path) -> None:
    assert main(["export", "--model", trained.out, "--format", "safetensors", "--out", str(tmp_path / "net")]) == 0
    assert advcam.segment.load(tmp_path / "net").class_names == ("bar", "disc")
    own = str(Path(trained.out) / "segmentation")
    assert main(["export", "--model", trained.out, "--format", "safetensors", "--out", own]) == 2


def test_onnx_computes_what_torch_does(trained: RunConfig, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")
    pytest.importorskip("onnxscript", reason="needs the extra export")
    segmenter = advcam.segment.load(trained.out)
    assert export_onnx(segmenter, tmp_path / "net.onnx") < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    names = json.loads(session.get_modelmeta().custom_metadata_map["class_names"])
    assert names == ["background", "bar", "disc"]
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    (logits,) = session.run(None, {"image": image.transpose(2, 0, 1)[None].astype(np.float32)})
    assert (logits[0].argmax(0) == segmenter(image)).mean() > 0.999
