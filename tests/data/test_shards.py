"""Tar files of samples and tables at URLs: the pictures of files, bit for bit."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.data import open_dataset, splits
from advcam.data.images import image_size, read_image
from advcam.data.masks import read_mask
from advcam.errors import DataError
from advcam.io.stored import members, stored

fsspec = pytest.importorskip("fsspec", reason="pictures at URLs are read by fsspec")
LABELS = ("cat", "dog", "cat;dog")


def picture(index: int, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(index).integers(0, 3 if mode == "L" else 256, (20, 30 + index, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels if mode == "RGB" else pixels[..., 0]).save(data, "PNG")
    return data.getvalue()


def write_tar(path: Path, files: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> None:
    with tarfile.open(path, "w", format=format) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def samples(*indices: int) -> dict[str, bytes]:
    found = {}
    for index in indices:
        # A dot in a folder is no ending.
        found[f"a.b/im{index}.mask.png"] = picture(index, "L")
        found[f"a.b/im{index}.png"] = picture(index)
        found[f"a.b/im{index}.json"] = f'{{"labels": {LABELS[index].split(";")!s}}}'.replace("'", '"').encode()
    return found


@pytest.mark.parametrize("scheme", ["", "file://", "memory://"])
def test_samples_in_tar_files_are_pictures_with_labels_and_masks(tmp_path, scheme):
    write_tar(tmp_path / "train-0.tar", samples(0, 2))
    write_tar(tmp_path / "train-1.tar", samples(1), tarfile.GNU_FORMAT)
    data = str(tmp_path)
    if scheme == "file://":
        data = f"file://{tmp_path}/train-{{0..1}}.tar"
    if scheme == "memory://":
        data = "memory://shards/train-{0..1}.tar"
        for number in range(2):
            name = f"train-{number}.tar"
            fsspec.filesystem("memory").pipe(f"/shards/{name}", (tmp_path / name).read_bytes())
    found = open_dataset(data)
    assert splits(data) == ()
    assert [(one.id, one.classes) for one in found.records] == [
        ("a.b/im0", (0,)),
        ("a.b/im1", (1,)),
        ("a.b/im2", (0, 1)),
    ]
    for index, record in enumerate(found.records):
        expected = np.asarray(Image.open(io.BytesIO(picture(index))))
        again = pickle.loads(pickle.dumps(record))
        np.testing.assert_array_equal(read_image(again.image), expected)
        assert image_size(record.image) == expected.shape[:2]
        assert record.image.stat().st_size == len(picture(index))
        mask = read_mask(record, num_classes=2)
        np.testing.assert_array_equal(mask, np.asarray(Image.open(io.BytesIO(picture(index, "L")))))


def test_numbers_are_classes_by_their_place_and_prefixes_are_splits(tmp_path):
    for split, index in (("train", 0), ("val", 1)):
        write_tar(tmp_path / f"{split}-00.tar", {f"{split}.png": picture(index), f"{split}.cls": b"1"})
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert splits(tmp_path) == ("train", "val")
    found = open_dataset(tmp_path, "val")
    assert (found.class_names, found.records[0].id, found.records[0].classes) == (("cat", "dog"), "val", (1,))


def test_what_cannot_be_used_is_named(tmp_path):
    write_tar(tmp_path / "a.tar", {"one.png": picture(0), "two.cls": b"1", **samples(1)})
    found = open_dataset(tmp_path, skip_bad=True)
    assert [record.id for record in found.records] == ["a.b/im1"]
    assert {problem.file.rpartition("/")[2] for problem in found.left_out} == {"one", "two"}
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:700])
    with pytest.raises(DataError, match=r"a\.tar: the tar file cannot be read \(it is cut short"):
        open_dataset(tmp_path)
    (tmp_path / "a.tar").write_bytes(b"x" * 2048)
    with pytest.raises(DataError, match="the tar file cannot be read"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_headers_say_what_tarfile_says(tmp_path, format):
    files = {"short": b"1", f"{'d' * 90}/{'n' * 60}": b"22", "empty": b""}
    if format != tarfile.USTAR_FORMAT:
        files |= {f"{'e' * 120}/{'m' * 150}": b"x" * 1000, "Käse/ü.png": b"4"}
    write_tar(tmp_path / "a.tar", files, format)
    with (tmp_path / "a.tar").open("rb") as file:
        found = list(members(file))
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert found == [(one.name, one.offset_data, one.size) for one in tar.getmembers()]
    assert [name for name, _, _ in found] == list(files)
    assert [stored(tmp_path / "a.tar", start, length).read_bytes() for _, start, length in found] == [*files.values()]


def test_a_table_at_a_url_names_pictures_beside_it_and_elsewhere():
    store = fsspec.filesystem("memory")
    for name, data in {"one.png": picture(0), "m/one.png": picture(0, "L"), "two.png": picture(1)}.items():
        store.pipe(f"/bucket/{name}", data)
    store.pipe("/other/three.png", picture(2))
    rows = "image,labels,mask\none.png,cat,m/one.png\ntwo.png,dog,\nmemory://other/three.png,cat;dog,\n"
    store.pipe("/bucket/labels.csv", rows.encode())
    found = open_dataset("memory://bucket/labels.csv")
    assert [(one.id, one.classes) for one in found.records] == [("one", (0,)), ("other/three", (0, 1)), ("two", (1,))]
    assert [image_size(one.image) for one in found.records] == [(20, 30), (20, 32), (20, 31)]
    assert read_mask(found.records[0], num_classes=2).max() == 2
    store.rm("/bucket/two.png")
    with pytest.raises(DataError, match=r"two\.png: there is no such file"):
        read_image(found.records[2].image)
    with pytest.raises(DataError, match="names a label table"):
        open_dataset("memory://bucket/one.png")
    with pytest.raises(DataError, match="the store cannot be read"):
        open_dataset("nowhere://bucket/labels.csv")
