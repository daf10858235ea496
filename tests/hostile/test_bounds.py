"""What would take all memory or no end of time: refused early, in one sentence, within the bounds of ``call``."""

from __future__ import annotations

import json
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import VERBS
from PIL import Image

from advcam.errors import SettingsError
from advcam.pipeline.config import RunConfig
from advcam.verbs.arguments import settings_from

COCO = "photos/annotations/instances_train.json"


def tree_of_links(root: Path, depth: int = 17) -> None:
    """A folder with 2^depth paths to one picture."""
    (root / "0").mkdir()
    Image.new("RGB", (32, 32)).save(root / "0" / "x.png")
    for level in range(1, depth + 1):
        (root / str(level)).mkdir()
        for name in "ab":
            (root / str(level) / name).symlink_to(root / str(level - 1))


def coco(**change: Any) -> None:
    """Labels in COCO's form in place of the table."""
    Path("photos/labels.csv").unlink()
    images = [{"id": n, "file_name": f"{n}.png", "width": 48, "height": 40} for n in range(6)]
    entry = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [0, 0, 5, 5], "area": 25, "iscrowd": 0}
    found = {"images": images, "annotations": [entry | change.pop("annotation", {})]}
    found |= {"categories": [{"id": 1, "name": "cat"}], **change}
    Path(COCO).parent.mkdir()
    Path(COCO).write_text(json.dumps(found))


def linked_pictures() -> None:
    tree_of_links(Path("photos").absolute())


def names_in_a_list() -> None:
    Path("photos/classes.txt").write_text("\n".join(f"c{n}" for n in range(100_000)))


def names_in_coco() -> None:
    coco(categories=[{"id": n, "name": f"c{n}"} for n in range(100_000)])


def long_runs() -> None:
    coco(annotation={"segmentation": {"size": [40, 48], "counts": "1" * 5_000_000}, "iscrowd": 1})


def many_runs() -> None:
    coco(annotation={"segmentation": {"size": [40, 48], "counts": [1] * 2_000_000}, "iscrowd": 1})


def long_outline() -> None:
    coco(annotation={"segmentation": [[1, 2] * 4_000_000]})


def no_outline() -> None:
    coco(annotation={"segmentation": "abc"})


def huge_picture() -> None:
    """30,000 x 30,000 pixels in a few bytes, if the header is believed."""
    whole = Path("photos/1.png").read_bytes()
    heading = whole[12:16] + struct.pack(">II", 30_000, 30_000) + whole[24:29]
    Path("photos/1.png").write_bytes(whole[:12] + heading + struct.pack(">I", zlib.crc32(heading)) + whole[33:])


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (linked_pictures, "links lead to"),
        (names_in_a_list, "classes.txt"),
        (names_in_coco, COCO),
        (long_runs, COCO),
        (long_outline, COCO),
        (no_outline, COCO),
        (huge_picture, "1.png"),
    ],
)
@pytest.mark.parametrize("verb", ["doctor", "classify"])
def test_data_without_bounds(photos: Path, call, damage, named: str, verb: str) -> None:
    damage()
    code, lines = call(*VERBS[verb].split())
    assert code == 2
    assert any(named in line for line in lines), lines


def test_runs_that_do_not_fit_their_mask(photos: Path, call) -> None:
    """A training on labels does not look at them."""
    many_runs()
    code, lines = call(*VERBS["doctor"].split())
    assert code == 2
    assert any(COCO in line or "0.png" in line for line in lines), lines


def test_pictures_to_predict_behind_a_tree_of_links(photos: Path, call, segmentation: Path) -> None:
    linked_pictures()
    code, lines = call("predict", "photos", "--model", segmentation, "--out", "labelled", "--device", "cpu")
    assert code in (0, 2)
    assert len(list(Path("labelled").rglob("*.png"))) < 100, lines


@pytest.mark.parametrize("verb", ["refine", "evaluate", "localize"])
def test_maps_that_would_unpack_to_gigabytes(world: Path, call, verb: str) -> None:
    """The length of an array is what the list at the end of the archive says."""
    path = Path("run/advcam/maps/1.npz")
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("maps.npy")
    content = path.read_bytes()
    place = content.rindex(b"PK\1\2", 0, content.rindex(b"maps.npy"))
    content = content[: place + 24] + struct.pack("<I", 2_400_000_000) + content[place + 28 :]
    assert member.file_size < 10_000
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive:
        assert archive.getinfo("maps.npy").file_size == 2_400_000_000
    code, lines = call(*VERBS[verb].split())
    assert code == 2
    assert "run/advcam/maps/1.npz" in lines[-1]


def test_an_array_whose_heading_lies(world: Path, call) -> None:
    """Its heading promises 2^40 numbers, and a few follow."""
    path = Path("run/advcam/maps/1.npz")
    with np.load(path) as arrays:
        found = dict(arrays)
    with zipfile.ZipFile(path, "w") as archive:
        for name, values in found.items():
            with archive.open(f"{name}.npy", "w") as stream:
                shape = (1, 2**20, 2**20) if name == "maps" else values.shape
                form = {"descr": values.dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(stream, form)
                stream.write(values.tobytes())
    code, lines = call(*VERBS["refine"].split())
    assert code == 2
    assert "run/advcam/maps/1.npz" in lines[-1]


@pytest.mark.parametrize(
    ("verb", "setting", "value"),
    [
        ("evaluate", "sweep.step", "1e-9"),
        ("tune", "sweep.step", "1e-9"),
        ("attribute", "attribute.scales", "[1000]"),
        ("attribute", "climb.step_size", "1e300"),
        ("attribute", "climb.steps", "1" * 5000),
        ("refine", "irn_walk.exp_times", "60"),
        ("refine", "crf.iterations", "1000000000"),
        ("classify", "classify.crop", "1000000"),
        ("classify", "classify.workers", "1000000"),
        ("predict", "scales", "[1000]"),
    ],
)
def test_settings_without_bounds(world: Path, call, verb: str, setting: str, value: str) -> None:
    code, lines = call(*VERBS[verb].split(), f"--{setting}", value)
    assert code == 2
    assert setting.split(".")[-1] in lines[-1]
    assert len(lines[-1]) < 1000


def leaves(settings: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for field in fields(settings):
        value, path = getattr(settings, field.name), (*above, field.name)
        if is_dataclass(value):
            yield from leaves(value, path)
        elif "int" in str(field.type) or "float" in str(field.type):
            yield path, str(field.type)


NUMBERS = dict(leaves(RunConfig()))


@pytest.mark.parametrize("path", NUMBERS, ids=".".join)
def test_every_number_has_bounds(path: tuple[str, ...]) -> None:
    for value in (10**20,) if "float" not in NUMBERS[path] else (1e300, math.inf, math.nan):
        found: Any = [value] if "tuple" in NUMBERS[path] else value
        for name in reversed(path):
            found = {name: found}
        with pytest.raises(SettingsError, match=path[-1]):
            settings_from(RunConfig, found, None)
