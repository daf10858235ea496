"""One contract for all attribution methods."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import advcam
from advcam.attribute.engine import map_pictures
from advcam.attribute.grid import cam, full_size, high_res
from advcam.attribute.methods import Climb, Plain
from advcam.attribute.result import LocalizationMaps
from advcam.data.transforms import scale_image
from advcam.errors import RunError, SettingsError

SCALES = (0.5, 1.0)
METHODS = {"cam": Plain(), "advcam": Climb(advcam.ClimbSettings(steps=4), SCALES)}


def mapper() -> advcam.ClassMapper:
    torch.manual_seed(3)
    features = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()
    )
    weight = torch.randn(5, 8)
    weight[4] = -1.0
    return advcam.ClassMapper(features.double(), weight.double())


def pictures(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(4).integers(0, 256, (count, 24, 30, 3), dtype=np.uint8))


def maps_of(method, images, classes, batch_pixels=10**9):
    scaled = [[scale_image(image, scale) for image in images] for scale in SCALES]
    return map_pictures(
        advcam.maps.CAM(mapper()), scaled, classes, method, scales=SCALES, size=(24, 30), batch_pixels=batch_pixels
    )


@pytest.mark.parametrize("name", METHODS)
class TestContract:
    def test_shape_and_range(self, name):
        found = maps_of(METHODS[name], pictures(2), [(0, 3), (1,)])
        assert found.maps.shape == found.cam.shape == (3, 6, 8)
        assert found.logits.shape == (3, 5)
        assert found.maps.dtype == torch.float64
        for maps in (found.maps, found.cam):
            assert maps.min() >= 0
            assert maps.amax(dim=(1, 2)).min() > 0.9
            assert maps.max() <= 1

    def test_deterministic(self, name):
        first, second = (maps_of(METHODS[name], pictures(2), [(0, 3), (1,)]) for _ in range(2))
        assert torch.equal(first.maps, second.maps)

    def test_batch_equals_one_by_one(self, name):
        together = maps_of(METHODS[name], pictures(3), [(0, 3), (1,), (2,)])
        split = maps_of(METHODS[name], pictures(3), [(0, 3), (1,), (2,)], batch_pixels=1)
        torch.testing.assert_close(together.maps, split.maps, rtol=1e-10, atol=1e-12)

    def test_unseen_class_is_a_map_of_zeros(self, name):
        found = maps_of(METHODS[name], pictures(1), [(0, 4)])
        assert found.maps[0].any()
        assert not found.maps[1].any()
        assert found.maps.isfinite().all()

    def test_the_baseline_is_the_class_activation_map(self, name):
        torch.testing.assert_close(
            maps_of(METHODS[name], pictures(1), [(1,)]).cam, maps_of(METHODS["cam"], pictures(1), [(1,)]).maps
        )


def test_stored_maps_enlarge_to_the_pictures_size():
    columns = full_size(torch.tensor([[[0.0, 1.0, 2.0]]]), (3, 11))
    assert columns.shape == (1, 3, 11)
    # Cell j of the stored maps is centred on pixel 4 j + 1.5.
    np.testing.assert_allclose(columns[0, 1], np.clip((np.arange(11) - 1.5) / 4, 0, 2))


def test_one_picture_has_a_map_in_zero_to_one_per_class():
    maps = advcam.localization_maps(mapper(), pictures(1)[0], [0, 3, 4], advcam.ClimbSettings(steps=4), SCALES)
    assert maps.shape == (3, 24, 30)
    assert maps.dtype == torch.float64
    np.testing.assert_allclose(maps.amax(dim=(1, 2)), [1, 1, 0], atol=1e-3)


def test_fusion_of_a_constant_and_a_ramp():
    ramp = torch.arange(4.0).expand(1, 3, 4)
    full = high_res([ramp, torch.ones(1, 6, 8)], (20, 30))
    assert full.shape == (1, 20, 30)
    # On 32 columns the ramp runs from 0 to 3 and the constant adds 1; the crop at column 30 is inside the flat end.
    np.testing.assert_allclose(full[0, 0, [0, 29]], [1 / 4.00001, 4 / 4.00001], rtol=1e-6)
    assert cam([ramp], (9, 17)).shape == (1, 3, 5)


def test_scales_that_make_no_sense():
    with pytest.raises(SettingsError, match="scales"):
        advcam.localization_maps(mapper(), pictures(1)[0], [0], scales=(1.0, 1.0))


class TestLocalizationMaps:
    def result(self) -> LocalizationMaps:
        maps = np.random.default_rng(5).random((2, 3, 4)).astype(np.float16)
        maps[1] = 0
        return LocalizationMaps(np.array([1, 7]), maps, (9, 13), np.array([0.9, 0.1], np.float32))

    def test_saved_and_loaded(self, tmp_path):
        path = tmp_path / "sub" / "ä b.npz"
        self.result().save(path)
        loaded = LocalizationMaps.load(path)
        np.testing.assert_array_equal(loaded.maps, self.result().maps)
        assert loaded.classes.tolist() == [1, 7]
        assert loaded.image_size == (9, 13)
        assert loaded.unseen == (7,)
        assert [file.name for file in path.parent.iterdir()] == ["ä b.npz"]

    def test_equal_maps_give_equal_bytes(self, tmp_path):
        self.result().save(tmp_path / "a.npz")
        self.result().save(tmp_path / "b.npz")
        assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()

    def test_a_file_cut_short_is_named(self, tmp_path):
        path = tmp_path / "a.npz"
        self.result().save(path)
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(RunError, match=r"a\.npz is not a whole file of maps"):
            LocalizationMaps.load(path)

    def test_no_pickle_is_ever_loaded(self, tmp_path):
        np.savez(tmp_path / "a.npz", classes=np.array([{}], dtype=object))
        with pytest.raises(RunError, match="not a whole file"):
            LocalizationMaps.load(tmp_path / "a.npz")

    def test_sizes_must_fit(self):
        with pytest.raises(RunError, match=r"must have shape \(2, 3, 4\)"):
            LocalizationMaps(np.array([1, 7]), np.zeros((2, 3, 3), np.float16), (9, 13), np.zeros(2, np.float32))
