"""The generated scenes: the same every time, sound as a data set, and with a telling part on every thing."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.data import open_dataset, read_image, read_mask, splits, voc_palette
from advcam.data.scenes import CLASS_NAMES, SPLITS, Scene, SceneSettings, draw_scenes, render_scene, write_scenes
from advcam.data.scenes.canvas import Sheet, draw_finish
from advcam.data.scenes.things import KINDS
from advcam.errors import DataError, RunError, SettingsError

SMALL = SceneSettings(train=12, val=6, test=7)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene for _, scene in draw_scenes(SceneSettings(train=48), "train")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("data") / "scenes", SMALL)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def equal(first: Scene, second: Scene) -> bool:
    pairs = ((first.image, second.image), (first.mask, second.mask), (first.parts, second.parts))
    return all(np.array_equal(a, b) for a, b in pairs)


class TestScene:
    def test_classes_are_those_of_the_mask(self, scenes: list[Scene]) -> None:
        for scene in scenes:
            assert set(np.unique(scene.mask)) - {0, 255} == {index + 1 for index in scene.classes}
            assert list(scene.classes) == sorted(set(scene.classes))

    def test_one_to_three_classes_on_mostly_ground(self, scenes: list[Scene]) -> None:
        counts = [len(scene.classes) for scene in scenes]
        assert min(counts) == 1
        assert max(counts) == 3
        for scene in scenes:
            assert 0.35 < (scene.mask == 0).mean() < 0.97

    def test_every_class_shows_its_telling_part_and_a_larger_body(self, scenes: list[Scene]) -> None:
        for scene in scenes:
            for index in scene.classes:
                own = scene.mask == index + 1
                part = (own & scene.parts).sum()
                assert part > 60
                assert 0.04 < part / own.sum() < 0.5

    def test_bodies_are_the_larger_part_of_every_class(self, scenes: list[Scene]) -> None:
        for index in range(len(CLASS_NAMES)):
            own = [scene.mask == index + 1 for scene in scenes]
            part = sum((mask & scene.parts).sum() for mask, scene in zip(own, scenes, strict=True))
            assert 0.1 < part / sum(mask.sum() for mask in own) < 0.35

    def test_parts_lie_on_things(self, scenes: list[Scene]) -> None:
        for scene in scenes:
            assert not (scene.parts & (scene.mask == 0)).any()

    def test_ignored_are_thin_borders_only(self, scenes: list[Scene]) -> None:
        for scene in scenes:
            ignored = scene.mask == 255
            assert 0 < ignored.mean() < 0.12
            # A square of three by three pixels would be no border.
            inside = np.lib.stride_tricks.sliding_window_view(ignored, (4, 4)).all(axis=(2, 3))
            assert not inside.any()

    def test_pictures_are_exposed_and_varied(self, scenes: list[Scene]) -> None:
        means = np.array([scene.image.mean(axis=(0, 1)) for scene in scenes])
        assert means.min() > 25
        assert means.max() < 235
        assert (means.std(axis=0) > 15).all()
        assert min(scene.image.std() for scene in scenes) > 20

    def test_the_same_generator_draws_the_same(self) -> None:
        first, second = (render_scene(np.random.default_rng(5), 96, 128, (1, 4), 0.5) for _ in range(2))
        assert equal(first, second)
        assert first.image.shape == (96, 128, 3)
        assert first.classes == (1, 4)

    def test_a_crowd_keeps_its_leader(self) -> None:
        scene = render_scene(np.random.default_rng(0), 96, 96, (3, *range(6), *range(6)), 0.5)
        assert 3 in scene.classes

    @pytest.mark.parametrize("kind", KINDS, ids=CLASS_NAMES)
    def test_things_fit_their_sheet(self, kind) -> None:
        for seed in range(3):
            rng = np.random.default_rng(seed)
            sheet = Sheet(24, seed * 0.8, bool(seed % 2), (0.0, -1.0))
            kind.paint(sheet, draw_finish(rng, 0, 1.0), rng)
            rim = np.concatenate([sheet.alpha[[0, -1]].ravel(), sheet.alpha[:, [0, -1]].ravel()])
            assert rim.max() == 0
            assert sheet.alpha.max() == pytest.approx(1)
            assert (sheet.part <= sheet.alpha + 1e-6).all()

    def test_a_finish_is_the_classs_own_as_often_as_told(self) -> None:
        # Bodies of one class alone: with a cue of 1 they look alike, with 0 they differ.
        def spread(body_cue: float) -> float:
            drawn = [render_scene(np.random.default_rng(seed), 96, 96, (2,), body_cue) for seed in range(24)]
            colours = [scene.image[(scene.mask == 3) & ~scene.parts].mean(axis=0) for scene in drawn]
            ratios = np.array(colours) / np.sum(colours, axis=1, keepdims=True)
            return float(ratios.std(axis=0).mean())

        assert spread(1.0) < 0.6 * spread(0.0)


class TestSplits:
    def test_a_longer_split_begins_with_the_shorter_one(self) -> None:
        short = dict(draw_scenes(SceneSettings(val=3), "val"))
        long = dict(draw_scenes(SceneSettings(val=5), "val"))
        assert list(short) == list(long)[:3]
        assert all(equal(scene, long[name]) for name, scene in short.items())

    def test_splits_and_seeds_differ(self) -> None:
        firsts = [
            next(draw_scenes(settings, split))[1]
            for settings, split in ((SMALL, "train"), (SMALL, "val"), (SceneSettings(seed=1), "train"))
        ]
        assert not any(equal(firsts[i], firsts[j]) for i, j in ((0, 1), (0, 2), (1, 2)))

    def test_six_images_hold_all_classes(self) -> None:
        for seed in range(3):
            found = [scene.classes for _, scene in draw_scenes(SceneSettings(test=6, seed=seed), "test")]
            assert {index for classes in found for index in classes} == set(range(6))

    def test_there_are_three_sizes(self, scenes: list[Scene]) -> None:
        assert {scene.mask.shape for scene in scenes} == {(192, 240), (240, 192), (224, 224)}

    @pytest.mark.parametrize("size", [96, 100, 192, 250])
    def test_sides_suit_an_output_stride_of_16(self, size: int) -> None:
        for height, width in SceneSettings(size=size).shapes():
            assert height % 16 == width % 16 == 0
            assert abs(max(height, width) / size - 0.95) < 0.16


class TestFolder:
    def test_layout(self, folder: Path) -> None:
        names = {path.name for path in folder.iterdir()}
        assert names == {
            *("ImageSets", "JPEGImages", "SegmentationClass", "SegmentationObject"),
            *("image_labels.csv", "classes.txt", "scenes.json"),
        }
        assert (folder / "ImageSets/Segmentation/val.txt").read_text() == "".join(f"val_{i:04d}\n" for i in range(6))
        assert (folder / "classes.txt").read_text().split() == list(CLASS_NAMES)
        assert not list(folder.parent.glob(".*"))

    def test_reads_as_a_data_set(self, folder: Path) -> None:
        assert set(splits(folder)) == set(SPLITS)
        for split, count in (("train", 12), ("val", 6), ("test", 7)):
            image_set = open_dataset(folder, split)
            assert image_set.class_names == CLASS_NAMES
            assert len(image_set) == count
            assert image_set.has_masks

    def test_files_hold_the_scenes(self, folder: Path) -> None:
        drawn = dict(draw_scenes(SMALL, "val"))
        for record in open_dataset(folder, "val").records:
            scene = drawn[record.id]
            assert record.classes == scene.classes
            assert np.array_equal(read_mask(record, num_classes=6), scene.mask)
            difference = np.abs(read_image(record.image).astype(int) - scene.image)
            assert difference.mean() < 6

    def test_labels_are_class_names_separated_by_blanks(self, folder: Path) -> None:
        with (folder / "image_labels.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 25
        assert list(rows[0]) == ["image", "labels"]
        assert all(set(row["labels"].split()) <= set(CLASS_NAMES) for row in rows)

    def test_masks_are_indexed_with_the_palette_of_voc(self, folder: Path) -> None:
        with Image.open(folder / "SegmentationClass/val_0000.png") as mask:
            assert mask.mode == "P"
            palette = np.array(mask.getpalette()).reshape(-1, 3)
            assert np.array_equal(palette, voc_palette()[: len(palette)])

    def test_the_same_settings_give_the_same_bytes(self, folder: Path, tmp_path: Path) -> None:
        assert digests(write_scenes(tmp_path / "again", SMALL)) == digests(folder)

    def test_an_empty_folder_is_filled(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        out = write_scenes(tmp_path / "empty", SceneSettings(train=1, val=1, test=1))
        assert len(list((out / "JPEGImages").iterdir())) == 3

    def test_finished_scenes_are_left_as_they_are(self, tmp_path: Path) -> None:
        settings = SceneSettings(train=1, val=1, test=1)
        out = write_scenes(tmp_path / "scenes", settings)
        before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
        assert write_scenes(out, settings) == out
        assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


class TestErrors:
    def test_a_folder_with_other_files_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(DataError, match="holds other files: name an empty or a new folder"):
            write_scenes(tmp_path, SMALL)
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    def test_scenes_of_other_settings_are_refused(self, folder: Path) -> None:
        before = digests(folder)
        with pytest.raises(DataError, match=r"drawn with seed 0, not 3: name another folder"):
            write_scenes(folder, SceneSettings(train=12, val=6, test=7, seed=3))
        assert digests(folder) == before

    def test_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "scenes").write_text("")
        with pytest.raises(DataError, match="is a file: name a folder"):
            write_scenes(tmp_path / "scenes", SMALL)

    def test_a_file_in_the_path_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(RunError, match="a part of the path is a file"):
            write_scenes(tmp_path / "file/scenes", SMALL)

    def test_nothing_is_left_of_a_failure(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("advcam.data.scenes.dataset.write_json", full)
        with pytest.raises(RunError, match="the disk is full"):
            write_scenes(tmp_path / "scenes", SceneSettings(train=1, val=1, test=1))
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"train": 0}, "scenes.train must be at least 1 image, not 0"),
            ({"test": -1}, "scenes.test must be at least 1 image, not -1"),
            ({"size": 64}, "scenes.size must be at least 96 pixels, not 64"),
            ({"body_cue": 1.5}, r"scenes.body_cue is a probability and must be within \[0, 1\], not 1.5"),
            ({"seed": -1}, "scenes.seed must not be negative, and is -1"),
        ],
    )
    def test_settings(self, wrong: dict[str, float], message: str) -> None:
        with pytest.raises(SettingsError, match=message):
            SceneSettings(**wrong)
