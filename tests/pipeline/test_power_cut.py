"""What a power cut leaves is the old or the new whole state, and the same command ends in the same bytes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from advcam.io.ledger import Line, read_lines
from advcam.pipeline.config import RunConfig
from advcam.pipeline.graph import run_stages, states
from advcam.pipeline.record import RUN_FILE
from advcam.pipeline.run import KEYS, Run

STAGES = ("classify", "attribute", "refine", "localize", "evaluate")
# Of the moments at which something reaches the disk, every so many are looked at.
EVERY = 9


class Disk:
    """What is on the disk of what a program has written: contents that were synced, names of folders that were.

    A file that was never synced is empty after a cut, if its name is there at all. Of the names, a cut may leave those
    of the last sync of their folder (``old``), or those that the program has seen last (``new``).
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.moments = root, 0
        self.contents: dict[int, bytes] = {}
        self.names: dict[Path, dict[str, int]] = {}
        self.cuts: list[dict[str, bytes]] = []
        sync, replace_, unlink = os.fsync, os.replace, os.unlink

        def fsync(handle: int) -> None:
            path = Path(f"/proc/self/fd/{handle}").readlink()
            if path.is_dir():
                self.names[path] = {entry.name: entry.inode() for entry in os.scandir(path)}
            else:
                self.contents[path.stat().st_ino] = path.read_bytes()
            sync(handle)
            self.moment()

        def forget(path: object) -> None:
            if Path(str(path)).exists():
                self.contents.pop(Path(str(path)).lstat().st_ino, None)

        def replacing(source: object, target: object, **options: object) -> None:
            # The number of a file that is gone may be another one's later; what it held is not.
            held = self.contents.get(Path(str(target)).stat().st_ino) if Path(str(target)).exists() else None
            number = Path(str(target)).stat().st_ino if held is not None else 0
            replace_(source, target, **options)
            self.moment()
            if held is not None and number not in self.durable_numbers():
                self.contents.pop(number, None)

        def unlinking(path: object, **options: object) -> None:
            if not options.get("dir_fd"):
                forget(path)
            unlink(path, **options)

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "replace", replacing)
        monkeypatch.setattr(os, "unlink", unlinking)

    def durable_numbers(self) -> set[int]:
        return {number for names in self.names.values() for number in names.values()}

    def moment(self) -> None:
        self.moments += 1
        if self.moments % EVERY == 0:
            self.cuts += [dict(self.old(self.root)), dict(self.new())]

    def old(self, folder: Path) -> Iterator[tuple[str, bytes]]:
        for name, number in self.names.get(folder, {}).items():
            if (folder / name) in self.names:
                yield from self.old(folder / name)
            # The number of a file that is gone may be a folder's by now.
            elif number in self.contents and not (folder / name).is_dir():
                yield str((folder / name).relative_to(self.root)), self.contents[number]

    def new(self) -> Iterator[tuple[str, bytes]]:
        for path in self.root.rglob("*"):
            if path.is_file():
                yield str(path.relative_to(self.root)), self.contents.get(path.stat().st_ino, b"")


def numbers(root: Path) -> dict[str, bytes]:
    """All files but those that say when."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] not in (KEYS, RUN_FILE, "run.lock", "metrics.json")
    }


def test_every_cut_leaves_a_state_that_is_whole(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(
        config,
        attribute=replace(config.attribute, scales=(1.0,)),
        climb=replace(config.climb, steps=1),
        refine=replace(config.refine, method="none", baseline=False),
    )
    root = Path(config.out)
    with monkeypatch.context() as patch:
        disk = Disk(root, patch)
        run_stages(config, STAGES)
    whole = numbers(root)
    shutil.rmtree(root)
    assert len(disk.cuts) > 25
    again = 0
    for number, cut in enumerate(disk.cuts):
        for name, content in cut.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if RUN_FILE not in cut and any(not name.startswith((".", KEYS)) for name in cut):
            # Nothing was begun that could be lost.
            assert not {name for name in cut if name in whole}
        elif root.exists():
            # What a ledger counts is whole, or is known not to be.
            for ledger in (root / KEYS).rglob("*.jsonl"):
                artifact = ledger.relative_to(root / KEYS).with_suffix("")
                for line in read_lines(ledger, Line):
                    for path in (root / artifact).parent.glob(f"{artifact.name}/{line.id}.*"):
                        assert (
                            line.size != path.stat().st_size or path.read_bytes() == whole[str(path.relative_to(root))]
                        )
            found = states(Run.open(config, clean=False))
            assert not [name for name, state in found.items() if state.condition == "stale" and name != "metrics"]
            if number in (len(disk.cuts) // 2, len(disk.cuts) - 2):
                run_stages(config, STAGES)
                assert numbers(root) == whole
                again += 1
        shutil.rmtree(root, ignore_errors=True)
    assert again == 2
