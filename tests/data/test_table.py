"""Label tables as people save them, and their cells as class names."""

from __future__ import annotations

from pathlib import Path

import pytest

from advcam.data.labels import split_labels
from advcam.data.table import read_table
from advcam.errors import DataError


def table(tmp_path: Path, content: str | bytes, name: str = "labels.csv"):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(file)


def cells(tmp_path: Path, content: str | bytes, name: str = "labels.csv") -> list[tuple[str, object]]:
    return [(row.image, row.labels) for row in table(tmp_path, content, name).rows]


EXPECTED = [("a.jpg", "cat"), ("b.jpg", "dog")]


@pytest.mark.parametrize(
    "content",
    [
        "image,labels\na.jpg,cat\nb.jpg,dog\n",
        "image,labels\r\na.jpg,cat\r\nb.jpg,dog\r\n",
        "image,labels\ra.jpg,cat\rb.jpg,dog",
        "\ufeffimage,labels\na.jpg,cat\nb.jpg,dog\n",
        "image,labels\na.jpg,cat\nb.jpg,dog\n".encode("utf-16"),
        "image;labels\na.jpg;cat\nb.jpg;dog\n",
        "image\tlabels\na.jpg\tcat\nb.jpg\tdog\n",
        "\n\n File_Name , Label \n\n a.jpg , cat \n\n b.jpg , dog ,,,\n,,,\n\n",
        "class,width,filename\ncat,3,a.jpg\ndog,4,b.jpg\n",
        ",path,classes\n0,a.jpg,cat\n1,b.jpg,dog\n",
        'id,image,labels\n7,"a.jpg","cat"\n8,b.jpg,dog\n',
    ],
)
def test_ways_to_save_one_table(tmp_path: Path, content: str | bytes) -> None:
    assert cells(tmp_path, content) == EXPECTED


def test_json_lines(tmp_path: Path) -> None:
    lines = '{"file_name": "a.jpg", "labels": ["cat", "dog"]}\n\n{"file_name": "b.jpg", "labels": []}\n'
    assert cells(tmp_path, lines, "labels.jsonl") == [("a.jpg", ("cat", "dog")), ("b.jpg", ())]
    lines = '{"id": 3, "label": 1}\n{"id": 4, "label": null, "more": {"x": 1}}\n'
    assert cells(tmp_path, lines, "labels.jsonl") == [("3", "1"), ("4", "")]


def test_one_column_for_each_class(tmp_path: Path) -> None:
    result = table(tmp_path, "image,Zebra,cat,note\na.jpg,1,0,nice\nb.jpg,,true,\nc.jpg,0,0,x\n")
    assert result.classes == ("Zebra", "cat")
    assert [row.labels for row in result.rows] == [("Zebra",), ("cat",), ()]


def test_split_and_mask_columns(tmp_path: Path) -> None:
    row = table(tmp_path, "image,labels,Split,MASK\na.jpg,cat, train ,gt/a.png\n").rows[0]
    assert (row.line, row.split, row.mask) == (2, "train", "gt/a.png")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "the file is empty"),
        ("  \n \n", "the file is empty"),
        ("image,labels\n", "there is a heading but no row"),
        ("a.jpg,cat\nb.jpg,dog\n", "no column names the image: call one 'image' or 'file_name' (found: a.jpg, cat)"),
        ("image|labels\na.jpg|cat\n", "no column names the image"),
        ("image,what\na.jpg,cat\n", "no column holds the classes: call one 'labels' (found: image, what)"),
        ("image,labels\na.jpg,cat,dog\n", "line 2 has 3 cells under 2 columns"),
        ("image,labels,image\na.jpg,cat,b.jpg\n", "two columns are called 'image'"),
        ('image,labels\na.jpg,"cat\nb.jpg,dog\n', "is not well formed"),
        ("image,labels\na.jpg,cat\nb.jpg,café\n".encode("latin-1"), "line 3 is not UTF-8: save the file as UTF-8"),
        (b"\x89PNG\r\n\0\0", "not"),
        (b"image,labels\na.jpg,\0\n", "not a text file"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: str | bytes, sentence: str) -> None:
    with pytest.raises(DataError) as error:
        table(tmp_path, content)
    message = str(error.value)
    assert message.startswith(f"{tmp_path / 'labels.csv'}: ")
    assert sentence in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "sentence"),
    [("{", "line 1 is not JSON"), ("[1]\n", "line 1 is not a JSON object"), ('{"image": "a.jpg"}', "no column holds")],
)
def test_what_is_no_json_lines(tmp_path: Path, content: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        table(tmp_path, content, "labels.jsonl")


def test_a_table_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "labels.csv")


FILE = Path("labels.csv")


@pytest.mark.parametrize(
    ("labels", "known", "expected"),
    [
        (["cat; dog", "bird"], None, [("cat", "dog"), ("bird",)]),
        (["cat|dog", "bird"], None, [("cat", "dog"), ("bird",)]),
        (["cat,dog,", "bird"], None, [("cat", "dog"), ("bird",)]),
        (["traffic light;car", "teddy bear", "bear"], None, [("traffic light", "car"), ("teddy bear",), ("bear",)]),
        (["a, b;c", "c"], None, [("a, b", "c"), ("c",)]),
        (["cat dog", "cat", "dog"], None, [("cat", "dog"), ("cat",), ("dog",)]),
        (["golden retriever", "pug"], None, [("golden retriever",), ("pug",)]),
        (["cat dog", "bird"], ["cat", "dog", "bird"], [("cat", "dog"), ("bird",)]),
        (["teddy bear", "bear cat"], ["cat", "bear", "teddy bear"], [("teddy bear",), ("bear", "cat")]),
        (["salt, pepper"], ["salt, pepper", "salt"], [("salt, pepper",)]),
        (["cat dgo"], ["cat", "dog"], [("cat", "dgo")]),
        (["", " ;", ";"], ["cat"], [None, None, None]),
        (["background", "__background__", "cat"], None, [(), (), ("cat",)]),
        ([("a", "b c"), ()], None, [("a", "b c"), ()]),
    ],
)
def test_cells(labels: list, known: list[str] | None, expected: list) -> None:
    assert split_labels(FILE, labels, known) == expected


def test_a_cell_that_may_be_one_class_or_two() -> None:
    with pytest.raises(
        DataError, match=r"labels.csv: 'teddy bear' may be one class or several, since 'bear' is a class"
    ):
        split_labels(FILE, ["teddy bear", "bear"], None)
