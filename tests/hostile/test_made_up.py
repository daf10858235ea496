"""Files made up by Hypothesis: tables, JSON, YAML and maps are read, or refused as a user's error; nothing else."""

from __future__ import annotations

import csv
import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes

from advcam.attribute.result import LocalizationMaps
from advcam.data.table import read_table
from advcam.errors import UserError
from advcam.evaluate.metrics import Metrics, read_metrics
from advcam.io import files
from advcam.io.keys import plain
from advcam.pipeline.config import RunConfig
from advcam.pipeline.record import RunRecord
from advcam.verbs import recipes
from advcam.verbs.arguments import settings_from

FEW = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
NUMBERS = st.integers() | st.floats()
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=20)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))
# Python 3.10 reads no NUL in a table.
WRITTEN = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
CELLS = st.lists(st.lists(st.text(max_size=8), max_size=4).map(",".join), max_size=6)


def under(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Made-up values under names that are known."""
    return st.dictionaries(st.sampled_from(names), VALUES, max_size=4)


@FEW
@given(st.sampled_from(["", "image,labels\n", "image,cat,dog\n", "image;class;split\n"]), CELLS | st.binary())
def test_tables(tmp_path: Path, heading: str, rows: list[str] | bytes) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(heading.encode() + (rows if isinstance(rows, bytes) else "\n".join(rows).encode()))
    with suppress(UserError):
        read_table(path)
    with suppress(ValueError):
        files.read_table(path, ("image", "labels"))


@FEW
@given(st.lists(st.lists(st.text(WRITTEN), min_size=2, max_size=2)))
def test_a_table_comes_back_as_it_was_and_no_cell_is_a_formula(tmp_path: Path, rows: list[list[str]]) -> None:
    path = tmp_path / "a.csv"
    files.write_table(path, [("image", "labels"), *rows])
    assert [list(row.values()) for row in files.read_table(path)] == rows
    with path.open(encoding="utf-8", newline="") as lines:
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in csv.reader(lines) for cell in row)


@FEW
@given(under(list(Metrics.__struct_fields__)) | VALUES | st.binary())
def test_metrics(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "metrics.json"
    path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    with suppress(UserError):
        read_metrics(path)


@FEW
@given(under(["climb", "attribute", "splits", "data", "limit", "extends"]) | VALUES | st.binary(max_size=30))
def test_settings(tmp_path: Path, value: Any) -> None:
    content = value if isinstance(value, bytes) else yaml.safe_dump(value).encode()
    (tmp_path / "mine.yaml").write_bytes(content)
    with suppress(UserError):
        recipes.load(str(tmp_path / "mine.yaml"))
    (tmp_path / "run.yaml").write_bytes(content)
    with suppress(UserError):
        RunRecord(tmp_path)


ARRAYS = {
    name: arrays(scalar_dtypes(), array_shapes(max_dims=dims, max_side=4))
    for name, dims in {"maps": 4, "classes": 2, "image_size": 1, "scores": 1}.items()
}


@FEW
@pytest.mark.filterwarnings("ignore")
@given(st.fixed_dictionaries({}, optional=ARRAYS), st.binary(max_size=200), st.integers(0, 400))
def test_maps(tmp_path: Path, changed: dict[str, np.ndarray], noise: bytes, place: int) -> None:
    """Arrays of any kind in place of the sound ones; and bytes of a sound file written over."""
    sound = {"classes": np.array([0], np.int16), "maps": np.ones((1, 3, 4), np.float16)}
    sound |= {"image_size": np.array([12, 16], np.int32), "scores": np.ones(1, np.float32)}
    stream = io.BytesIO()
    np.savez_compressed(stream, **sound)
    whole = stream.getvalue()
    path = tmp_path / "a.npz"
    for content in (whole[:place] + noise + whole[place + len(noise) :], None):
        if content is None:
            np.savez(path, **{**sound, **changed})
        else:
            path.write_bytes(content)
        with suppress(UserError):
            found = LocalizationMaps.load(path, (12, 16), 2)
            assert found.image_size == (12, 16)
            assert np.isfinite(found.maps).all()


def test_settings_are_the_same_after_a_trip_through_yaml(tmp_path: Path) -> None:
    """Else a command that goes on from what the folder keeps would take its own results for another's."""
    for name in recipes.recipes():
        config = settings_from(RunConfig, recipes.load(name), name)
        record = RunRecord(tmp_path)
        record.describe(config)
        record.write()
        assert json.dumps(plain(RunRecord(tmp_path).content.settings)) == json.dumps(plain(config))
