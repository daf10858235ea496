"""The folder's public names are functions and classes, whatever was imported before."""

from __future__ import annotations

from pathlib import Path

import advcam.evaluate


def test_no_file_takes_the_place_of_a_public_name():
    files = {path.stem for path in Path(advcam.evaluate.__file__).parent.glob("*.py")}
    assert not files & set(advcam.evaluate.__all__)


def test_functions_are_what_their_names_give():
    assert callable(advcam.evaluate.segmentation)
    assert callable(advcam.evaluate.sweep)
