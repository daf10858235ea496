"""Files of arrays: written whole, and refused where they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from advcam.errors import RunError
from advcam.io.arrays import reading_arrays, write_arrays


def test_equal_arrays_give_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_arrays(tmp_path / "sub" / name, {"x": np.arange(5)})
    assert (tmp_path / "sub/a").read_bytes() == (tmp_path / "sub/b").read_bytes()


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_at_any_place_is_named(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "a.npz"
    values = np.random.default_rng(0).integers(0, 9, 400)
    write_arrays(path, {"x": values}, compressed)
    whole = path.read_bytes()
    broken = [whole[:length] for length in range(0, len(whole), 7)]
    broken += [whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :] for at in range(0, len(whole), 3)]
    refused = 0
    for content in broken:
        path.write_bytes(content)
        try:
            with reading_arrays(path, "thing", "refine") as arrays:
                assert np.array_equal(arrays["x"], values)
        except RunError:
            refused += 1
    # Some bytes, such as those of the date, say nothing.
    assert refused > 0.8 * len(broken)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(RunError, match=r"b\.npz does not exist: run `advcam refine` for this image first"),
        reading_arrays(tmp_path / "b.npz", "thing", "refine"),
    ):
        pass
    write_arrays(tmp_path / "a.npz", {"x": np.zeros(1)})
    with (
        pytest.raises(RunError, match=r"a\.npz is not a whole thing \(.*y"),
        reading_arrays(tmp_path / "a.npz", "thing", "refine") as arrays,
    ):
        arrays["y"]
