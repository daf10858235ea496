"""One run: its configuration, its folder, its manifest, its data. The stages work on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import yaml

from advcam.data import leave_out_unreadable, open_dataset, splits
from advcam.data.files import remove_leftovers, write_text
from advcam.data.record import ImageSet, Record
from advcam.errors import RunError, SettingsError
from advcam.pipeline.config import RunConfig
from advcam.pipeline.folder import RunFolder
from advcam.pipeline.manifest import Manifest, plain
from advcam.pipeline.progress import say

# Which lists are taken where none is named, in this order.
TRAIN_LISTS = ("train_aug", "train", "train2017", "train2014", "trainval")
VAL_LISTS = ("val", "val2017", "val2014", "test")


@dataclass(frozen=True)
class SplitsInUse:
    """Names of the lists; None stands for all images of a data set without lists."""

    train: str | None
    val: str | None
    maps: tuple[str | None, ...]
    tune: str | None


@dataclass(frozen=True)
class Run:
    """A run in its folder.

    Raises:
        RunError: the folder cannot be written or was made by another schema.
    """

    config: RunConfig
    folder: RunFolder
    manifest: Manifest
    earlier: dict[str, Any] | None = None
    """The configuration that the folder had when it was opened."""
    leads: bool = True
    """Whether this process writes the manifest; of several that share a stage, one does."""
    _sets: dict[str | None, ImageSet] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, config: RunConfig, leads: bool = True) -> Run:
        """Open the run folder, which need not exist yet: the first stage makes it."""
        folder = RunFolder(Path(config.out))
        manifest = Manifest(folder.root)
        if leads and folder.root.is_dir():
            if not manifest.path.exists() and any(folder.root.iterdir()):
                raise RunError(f"{folder.root} holds other files and no {manifest.path.name}: choose an empty --out")
            remove_leftovers(folder.root)
        return cls(config, folder, manifest, manifest.content.get("config"), leads)

    @cached_property
    def device(self) -> torch.device:
        return choose_device(self.config.device)

    def image_set(self, split: str | None) -> ImageSet:
        """All labelled images of one split, without regard to ``limit``; what was left out goes to the manifest."""
        if split in self._sets:
            return self._sets[split]
        config = self.config
        if config.data is None:
            raise SettingsError("no data set is named: give --data FOLDER")
        found = open_dataset(config.data, split, labels=config.labels, classes=config.classes, skip_bad=config.skip_bad)
        if config.skip_bad:
            found = leave_out_unreadable(found)
        self.leave_out(split, [str(problem) for problem in found.left_out])
        self._sets[split] = found
        return found

    def limited(self, images: ImageSet) -> ImageSet:
        """At most ``limit`` images of a set, spread evenly over it: lists are often sorted by class."""
        limit, count = self.config.limit, len(images)
        if limit is None or limit >= count:
            return images
        return replace(images, records=tuple(images.records[index * count // limit] for index in range(limit)))

    def leave_out(self, split: str | None, problems: list[str]) -> None:
        """Note images that are passed over."""
        if problems:
            listed = self.manifest.content.setdefault("left_out", {}).setdefault(split or "all", [])
            listed += [problem for problem in problems if problem not in listed]
            self.manifest.write()

    @cached_property
    def splits(self) -> SplitsInUse:
        """The lists in use, the settings' or those that suit the data set."""
        asked = self.config.splits
        there = splits(self.config.data, labels=self.config.labels) if self.config.data is not None else ()
        train = asked.train or next((name for name in TRAIN_LISTS if name in there), None)
        if train is None and there:
            raise SettingsError(
                f"{self.config.data} has the lists {', '.join(there)}: name the one to train on with --splits.train"
            )
        val = asked.val or next((name for name in VAL_LISTS if name in there and name != train), None)
        maps = asked.maps or (train,)
        tune = maps[0] if asked.tune is None else asked.tune
        if tune not in maps:
            raise SettingsError(f"splits.tune is {tune}, which is not one of splits.maps {list(maps)}")
        return SplitsInUse(train, val, maps, tune)

    @cached_property
    def mapped_sets(self) -> dict[str, ImageSet]:
        """The splits that get maps and masks, by name ("all" where there are no lists)."""
        return {name or "all": self.image_set(name) for name in self.splits.maps}

    @cached_property
    def tune_name(self) -> str:
        """Name, among ``mapped_sets``, of the split on which thresholds may be chosen."""
        return self.splits.tune or "all"

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        return next(iter(self.mapped_sets.values())).class_names

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """All images that get maps, each once, without regard to ``limit``: what the batches are planned over."""
        unique = {record.id: record for images in self.mapped_sets.values() for record in images.records}
        return tuple(unique.values())

    @cached_property
    def wanted(self) -> tuple[Record, ...]:
        """The images whose outputs are asked for, each once."""
        sets = [self.limited(images) for images in self.mapped_sets.values()]
        unique = {record.id: record for images in sets for record in images.records}
        return tuple(unique.values())

    @contextmanager
    def stage(
        self, name: str, settings: Any, outputs: tuple[str, ...], keep: tuple[str, ...] = ()
    ) -> Iterator[dict[str, Any]]:
        """Begin a stage, or go on with it; other settings than those of its outputs are an error.

        ``keep`` names facts of the entry that were settled when the stage was begun and hold when it goes on.

        Raises:
            RunError: the folder holds outputs of this stage made with other settings, and not ``overwrite``.
        """
        if listed := self.changes(name, settings, outputs):
            say(f"{name}: replacing results made with other settings ({listed})")
            self.folder.remove(*outputs)
            self.manifest.stages.pop(name)
        self.note_configuration(saved_form(self.config))
        with self.manifest.stage(name, settings, keep) as entry:
            yield entry

    def changes(self, name: str, settings: Any, outputs: tuple[str, ...], partly: bool = False) -> str:
        """How settings differ from those of the outputs of a stage, in words; empty where they do not.

        ``partly``: they are those that are known before the stage begins, and the others are not compared.

        Raises:
            RunError: they differ, and not ``overwrite``.
        """
        changed = self.manifest.differences(name, settings, partly)
        if not changed or not any((self.folder.root / output).exists() for output in outputs):
            return ""
        listed = "; ".join(changed[:3]) + (f"; and {len(changed) - 3} more" if len(changed) > 3 else "")
        if not self.config.overwrite:
            self.note_configuration(self.earlier)
            raise RunError(
                f"{self.folder.root} holds the results of `{name}` made with other settings "
                f"({listed}): choose another --out, or give --overwrite to replace them"
            )
        return listed

    def note_configuration(self, config: dict[str, Any] | None) -> None:
        """Write the configuration that the folder goes on with; a command that is refused leaves the earlier one."""
        if config is not None:
            self.manifest.describe(config)
            write_text(self.folder.config, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def saved_form(config: RunConfig) -> dict[str, Any]:
    """A configuration as a run folder keeps it: what was asked of one command only is not kept."""
    return plain(replace(config, overwrite=False, limit=None))


def choose_device(name: str) -> torch.device:
    """The device of a setting; SettingsError where it is not there."""
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise SettingsError("--device cuda: torch sees no CUDA device here; use --device cpu, or mend the driver")
    # Not torch's own choice: the same numbers whichever verb runs first, and attribute.precision can ask for it.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda" if there and name != "cpu" else "cpu")
