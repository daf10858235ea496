"""Files are whole or not there, whatever their names, and tables run nothing."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from advcam.errors import RunError
from advcam.io.files import TEMPORARY, read_json, remove_leftovers, uncell, write_table, write_text, writing


@pytest.mark.parametrize("name", ["a", "x" * 240 + ".txt", "x" * 255])
def test_names_as_long_as_the_file_system_allows(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "text")
    assert (tmp_path / name).read_text() == "text"
    with pytest.raises(ZeroDivisionError), writing(tmp_path / name) as temporary:
        temporary.write_text(str(1 / 0))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_name_that_is_too_long_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the name is too long for the file system"):
        write_text(tmp_path / ("x" * 300), "text")
    assert not list(tmp_path.iterdir())


def test_what_killed_commands_leave_is_removed_folders_too(tmp_path: Path) -> None:
    (tmp_path / f".scenes.12{TEMPORARY}" / "JPEGImages").mkdir(parents=True)
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / f".a.12{TEMPORARY}").touch()
    (tmp_path / "maps/a").touch()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "maps"]


def test_no_cell_of_a_table_is_a_formula(tmp_path: Path) -> None:
    names = ["=cmd|' /C calc'!A0", "+1", "-1", "@x", "\tx", "cat", "'tis"]
    write_table(tmp_path / "a.csv", [("name", "value"), *((name, -0.5) for name in names)])
    with (tmp_path / "a.csv").open(newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    assert not any(row[0].startswith(("=", "+", "-", "@", "\t")) for row in rows)
    assert [uncell(row[0]) for row in rows] == names
    assert {row[1] for row in rows} == {"-0.5"}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"a": "b"}', b"caf\xe9"])
def test_json_that_is_not_what_it_should_be(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(RunError, match=r"a\.json is not whole JSON, or not what it should be .*: run it again"):
        read_json(tmp_path / "a.json", dict[str, int], "run it again")
