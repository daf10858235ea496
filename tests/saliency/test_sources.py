"""Maps from folders and detectors: read as they are, and every bad input named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from advcam.data.record import Record
from advcam.errors import DataError, SettingsError
from advcam.models.ranges import min_max
from advcam.saliency import FolderMaps, OpenCVDetector, SaliencySource, U2Net, U2NetDetector
from advcam.saliency.detector import fold, network_input, squared
from advcam.saliency.settings import SaliencySettings
from advcam.saliency.source import resized
from advcam.saliency.u2net import PLANS


@pytest.fixture
def records(tmp_path) -> list[Record]:
    """Three images, 40 wide and 30 high, two of them in a sub-folder."""
    found = []
    for name in ("a", "sub/b", "sub/c.v2"):
        path = tmp_path / "images" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (90, 120, 150)).save(path)
        found.append(Record(name, path, (0,)))
    return found


def put(folder: Path, name: str, values: np.ndarray) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def pictures(records: list[Record]) -> list[np.ndarray]:
    return [np.asarray(Image.open(record.image)) for record in records]


def whole_folder(folder: Path) -> Path:
    grey = np.zeros((30, 40), np.uint8)
    grey[:, :20] = 255
    put(folder, "a.png", grey)
    put(folder, "sub/b.png", np.repeat(grey[::2, ::2, None], 3, axis=2))
    put(folder, "sub/c.v2.png", np.full((32, 32), 51, np.uint8))
    return folder


def test_maps_of_any_size_and_kind(records, tmp_path):
    source = FolderMaps.open(whole_folder(tmp_path / "maps"), records)
    assert isinstance(source, SaliencySource)
    assert source.missing == ()
    first, second, third = source([record.id for record in records], pictures(records))
    assert first.shape == second.shape == third.shape == (30, 40)
    assert np.array_equal(first, np.repeat([[1.0, 0.0]], 20, axis=1).repeat(30, axis=0))
    assert np.abs(second - first)[:, [*range(18), *range(22, 40)]].max() == 0
    np.testing.assert_allclose(third, 0.2, atol=1e-6)


def test_ids_below_a_folder_of_images(tmp_path):
    put(tmp_path / "images", "x.png", np.zeros((30, 40, 3), np.uint8))
    put(tmp_path / "maps", "x.png", np.zeros((30, 40), np.uint8))
    source = FolderMaps.open(tmp_path / "maps", [Record("images/x", tmp_path / "images" / "x.png", (0,))])
    assert list(source.files) == ["images/x"]


def test_missing_maps_are_listed_before_anything_is_made(records, tmp_path):
    folder = whole_folder(tmp_path / "maps")
    (folder / "a.png").unlink()
    (folder / "sub/b.png").unlink()
    with pytest.raises(DataError, match=r"2 of 3 images have no saliency map \(a, sub/b\): put a\.png .* without"):
        FolderMaps.open(folder, records)
    source = FolderMaps.open(folder, records, without=True)
    assert source.missing == ("a", "sub/b")
    found = source([record.id for record in records], pictures(records))
    assert [one is None for one in found] == [True, True, False]


def test_a_map_of_another_shape_is_named(records, tmp_path):
    folder = whole_folder(tmp_path / "maps")
    put(folder, "a.png", np.zeros((40, 30), np.uint8))
    with pytest.raises(DataError, match=r"a\.png: the saliency map is 30 x 40 pixels, but its image .* is 40 x 30"):
        FolderMaps.open(folder, records)
    with pytest.raises(DataError, match=r"a\.png: the saliency map is"):
        FolderMaps.open(folder, records, without=True)


def test_unreadable_maps_are_named(records, tmp_path):
    folder = whole_folder(tmp_path / "maps")
    (folder / "sub/b.png").write_bytes(b"no picture")
    (folder / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.png: the file is empty.*\(1 more maps cannot be used\)"):
        FolderMaps.open(folder, records)
    folder = whole_folder(tmp_path / "cut")
    put(folder, "a.png", np.random.default_rng(0).integers(0, 256, (30, 40), dtype=np.uint8))
    whole = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(whole[: len(whole) // 2])
    source = FolderMaps.open(folder, records)
    with pytest.raises(DataError, match=r"a\.png: the image is truncated or damaged"):
        source(["a"], pictures(records)[:1])


def test_two_maps_of_one_image_are_named(records, tmp_path):
    folder = whole_folder(tmp_path / "maps")
    put(folder, "a.bmp", np.zeros((30, 40), np.uint8))
    with pytest.raises(DataError, match=r"the image a has the maps a\.bmp and a\.png: remove one"):
        FolderMaps.open(folder, records)


def test_no_folder(records, tmp_path):
    with pytest.raises(DataError, match="no such folder of saliency maps"):
        FolderMaps.open(tmp_path / "nowhere", records)


def test_a_network_as_it_was_published():
    torch.manual_seed(0)
    network = U2Net(PLANS["u2netp"]).eval()
    image = np.random.default_rng(0).integers(0, 200, (30, 44, 3), dtype=np.uint8)
    (found,) = U2NetDetector(network, size=64)(["a"], [image])
    small = squared(image, 64)
    x = (small / small.max() - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    with torch.no_grad():
        fused = network(torch.from_numpy(x.transpose(2, 0, 1)[None].astype(np.float32)))[0, 0].sigmoid().numpy()
    wanted = resized((fused - fused.min()) / (fused.max() - fused.min()), (30, 44))
    np.testing.assert_allclose(found, wanted, atol=2e-3)
    assert found.shape == (30, 44)
    assert 0 <= found.min() <= found.max() <= 1


def test_a_batch_is_one_by_one():
    torch.manual_seed(0)
    network = U2Net(PLANS["u2netp"]).eval()
    images = list(np.random.default_rng(1).integers(0, 256, (2, 30, 44, 3), dtype=np.uint8))
    images.append(images[0][:20].copy())
    detector = U2NetDetector(network, size=32)
    assert isinstance(detector, SaliencySource)
    together = detector(["a", "b", "c"], images)
    for index, image in enumerate(images):
        (alone,) = detector(["x"], [image])
        np.testing.assert_allclose(together[index], alone, atol=1e-4)
    assert together[2].shape == (20, 44)


def test_the_callers_network_is_left_as_it_was():
    network = U2Net(PLANS["u2netp"]).train()
    assert not fold(network).training
    assert network.training
    assert network.stage1.rebnconvin.bn_s1.training


def test_a_black_picture_is_no_division_by_zero():
    assert np.isfinite(network_input(np.zeros((8, 8, 3), np.uint8))).all()


def test_constant_maps():
    assert not min_max(torch.full((3, 4), 0.7)).any()


@pytest.mark.parametrize("method", ["fine_grained", "spectral_residual"])
def test_detectors_without_training(method):
    pytest.importorskip("cv2.saliency", reason="OpenCV's contributed modules are not installed")
    image = np.full((60, 80, 3), 60, np.uint8)
    image[20:40, 30:50] = (220, 40, 40)
    detector = OpenCVDetector(method)
    assert isinstance(detector, SaliencySource)
    found, flat = detector(["a", "b"], [image, np.full((60, 80, 3), 60, np.uint8)])
    assert found.shape == (60, 80)
    assert found.dtype == np.float32
    assert (found.min(), found.max()) == (0, 1)
    assert found[18:42, 28:52].std() > 2 * found[:10].std()
    assert not flat.any()


def test_without_opencv_the_mend_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(SettingsError, match=r"fine_grained needs OpenCV's contributed modules.*advcam\[saliency\]"):
        OpenCVDetector("fine_grained")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "folder"}, "no folder is named"),
        ({"folder": "maps"}, "saliency.source is none"),
        ({"weights": "x.pth"}, "has no weights"),
        ({"source": "u2netp", "threshold": 0.0}, "saliency.threshold"),
        ({"source": "u2netp", "batch_size": 0}, "saliency.batch_size"),
    ],
)
def test_settings_that_make_no_sense(change, message):
    with pytest.raises(SettingsError, match=message):
        SaliencySettings(**change)
