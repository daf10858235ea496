"""Where the pictures of an export are: left where they are, or copied beside the annotations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from advcam.export.item import Item
from advcam.io.files import writing


@dataclass(frozen=True)
class Pictures:
    """Whether pictures are copied. Copies are the files as they are, byte for byte."""

    copied: bool = False

    def place(self, item: Item, folder: Path) -> None:
        """Copy the picture of an item into a folder under the item's name, if pictures are copied."""
        if self.copied and not same_file(item.file, folder / item.name):
            with writing(folder / item.name) as temporary:
                temporary.write_bytes(item.file.read_bytes())


def same_file(source: Path, target: Path) -> bool:
    """Whether a copy is there already: same length, and not older than the original."""
    try:
        there, here = target.stat(), source.stat()
    except OSError:
        return False
    return there.st_size == here.st_size and there.st_mtime_ns >= here.st_mtime_ns
