"""Files of maps that were damaged or made up: refused where they are read, in a sentence that names them."""

from __future__ import annotations

import numpy as np
import pytest

from advcam.attribute.result import LocalizationMaps
from advcam.errors import RunError
from advcam.io import arrays

SOUND = {
    "classes": np.array([0, 1], np.int16),
    "maps": np.ones((2, 3, 4), np.float16),
    "image_size": np.array([12, 16], np.int32),
    "scores": np.ones(2, np.float32),
}


@pytest.mark.parametrize(
    "change",
    [
        {"maps": np.full((2, 3, 4), np.nan, np.float16)},
        {"scores": np.array([1, np.inf], np.float32)},
        {"classes": np.array([-1, 1], np.int16)},
        {"image_size": np.array(12)},
        {"image_size": np.array([12, 16, 3])},
        {"maps": np.array("text")},
    ],
)
def test_values_that_are_no_maps(tmp_path, change):
    arrays.write_arrays(tmp_path / "a.npz", {**SOUND, **change})
    with pytest.raises(RunError, match=r"a\.npz is not a whole file of maps"):
        LocalizationMaps.load(tmp_path / "a.npz")


def test_a_file_that_unpacks_to_too_much(tmp_path, monkeypatch):
    arrays.write_arrays(tmp_path / "a.npz", SOUND)
    assert LocalizationMaps.load(tmp_path / "a.npz").image_size == (12, 16)
    monkeypatch.setattr(arrays, "MOST_BYTES", 100)
    with pytest.raises(RunError, match=r"a\.npz is not a whole file of maps \(it would unpack to"):
        LocalizationMaps.load(tmp_path / "a.npz")
