"""Corrected masks and labels in a run folder. They are truth: nothing that the run makes ever replaces them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from advcam.data.masks import write_mask
from advcam.errors import RunError
from advcam.io.files import read_table, write_table

FOLDER, LABELS = "corrected", "labels.csv"


@dataclass(frozen=True)
class Corrected:
    """The folder ``corrected`` of a run: ``masks/<id>.png`` as the run's own are, and ``labels.csv``."""

    run: Path

    @property
    def folder(self) -> Path:
        return self.run / FOLDER

    def mask(self, image_id: str) -> Path:
        """Where the mask is that a person corrected or accepted."""
        return self.folder / "masks" / f"{image_id}.png"

    def has(self, image_id: str) -> bool:
        return self.mask(image_id).is_file()

    def keep(self, image_id: str, mask: UInt8[np.ndarray, "H W"]) -> None:
        """Write a corrected mask; an earlier correction of the same image gives way to the later one."""
        write_mask(self.mask(image_id), mask)

    def labels(self) -> dict[str, tuple[str, ...]]:
        """The class names of images whose labels were corrected.

        Raises:
            RunError: the table is broken.
        """
        path = self.folder / LABELS
        if not path.exists():
            return {}
        try:
            rows = read_table(path, ("image", "labels"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path} is not a whole table with the columns image and labels: restore it") from error
        return {row["image"]: tuple(filter(None, row["labels"].split(";"))) for row in rows}

    def relabel(self, labels: Mapping[str, Sequence[str]]) -> None:
        """Note the labels of images, beside those noted before."""
        rows = ((image, ";".join(names)) for image, names in sorted({**self.labels(), **labels}.items()))
        write_table(self.folder / LABELS, [("image", "labels"), *rows])
