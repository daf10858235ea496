"""Pictures that are something else: no program is run, and the file is named."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import advcam

# A program that a PostScript interpreter would run; Pillow hands it to Ghostscript, whatever the file is called.
POSTSCRIPT = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 64 64
%%EndComments
(owned) (w) file closefile showpage
%%EOF
"""
REFUSED = "photos/0.jpg: the file is not an image of a kind that is read"


@pytest.fixture
def disguised(photos):
    (photos / "0.png").unlink()
    (photos / "0.jpg").write_bytes(POSTSCRIPT)
    table = photos / "labels.csv"
    table.write_text(table.read_text().replace("0.png", "0.jpg"))
    return photos


def test_postscript_is_refused_by_the_doctor(disguised, call, capsys):
    code, _ = call("doctor", "--data", disguised)
    assert code == 2
    assert not Path("owned").exists()


def test_postscript_is_refused_before_a_run_begins(disguised, call):
    words = ("--backbone.architecture", "timm/test_resnet", "--backbone.weights", "null", "--classify.batch_size", 2)
    code, lines = call("run", "--data", disguised, "--out", "run", "--device", "cpu", *words)
    assert code == 2
    assert REFUSED in lines[-1]
    assert not Path("owned").exists()


def test_postscript_is_named_by_predict(disguised, segmentation, call):
    code, lines = call("predict", disguised, "--model", segmentation, "--out", "labelled", "--device", "cpu")
    assert code == 0
    assert "predict: 1 of 6 cannot be read: labelled/left_out.csv lists them" in lines
    assert REFUSED in Path("labelled/left_out.csv").read_text()
    assert not Path("owned").exists()


def test_there_is_one_way_to_open_a_picture():
    """Other readers of pictures, and Pillow's own without a list of formats, are nowhere in the package."""
    readers = {"imread", "imdecode", "read_image", "decode_image", "decode_jpeg", "decode_png"}
    root = Path(advcam.__file__).parent
    found = []
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                name = (
                    owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
                )
                if node.func.attr in readers or (name == "Image" and node.func.attr == "open"):
                    found.append((path.relative_to(root).as_posix(), node.func.attr))
            if isinstance(node, ast.ImportFrom) and node.module in ("PIL.Image", "torchvision.io", "cv2"):
                found += [(path.relative_to(root).as_posix(), name.name) for name in node.names]
    assert [entry for entry in found if entry[1] != "Image"] == [("data/images.py", "open")]
