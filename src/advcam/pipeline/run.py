"""One run: its settings, its folder, its record, its data. The stages work on it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from advcam.attribute.result import LocalizationMaps
from advcam.data import leave_out_unreadable, open_dataset, splits
from advcam.data.images import image_size
from advcam.data.record import ImageSet, Record
from advcam.errors import RunError, SettingsError
from advcam.io.files import remove_leftovers
from advcam.io.keys import key_of, plain
from advcam.io.ledger import Fingerprints, Ledger
from advcam.io.lock import LOCK_FILE
from advcam.io.share import Part
from advcam.pipeline.config import RunConfig
from advcam.pipeline.record import RUN_FILE, RunFolder, RunRecord
from advcam.report.wording import Notice
from advcam.review.truth import with_corrections

if TYPE_CHECKING:
    from advcam.attribute.wsol import ScoreMapFile

# Which lists are taken where none is named, in this order.
TRAIN_LISTS = ("train_aug", "train", "train2017", "train2014", "trainval")
VAL_LISTS = ("val", "val2017", "val2014", "test")
# Ledgers and fingerprints.
KEYS = "keys"
# Of a trained network.
NETWORK_FILES = ("model.safetensors", "config.json")
# What a method of training leaves beside a classifier.
BRANCH_FILES = ("method.json", "method.safetensors")


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
    record: RunRecord
    goes_on: RunConfig | None = None
    """What the folder goes on with, where that is not all of ``config`` yet."""
    verb: str = ""
    """The stage that is being made."""
    collecting: bool = False
    """Whether the stage is closed over what parts have made, and no image is worked on."""
    notices: tuple[Notice, ...] = ()
    """What a reader of the figures must know of the artifacts that they show."""
    opened: dict[str, Any] = field(default_factory=dict, repr=False)
    """What stages look through once."""
    _sets: dict[str | None, ImageSet] = field(default_factory=dict, repr=False)
    learnt_from: dict[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    _ledgers: dict[str, Ledger] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, config: RunConfig, *, clean: bool = True) -> Run:
        """Open the run folder, which need not exist yet: the first stage makes it.

        ``clean`` removes what killed commands left behind; only who holds the lock may.
        """
        folder = RunFolder(Path(config.out))
        record = RunRecord(folder.root)
        if folder.root.is_dir():
            own = {LOCK_FILE, KEYS}
            if config.data is not None and Path(config.data).absolute().parent == folder.root.absolute():
                own.add(Path(config.data).name)  # the demo keeps its scenes in its run folder
            others = {path.name for path in folder.root.iterdir()} - own
            if not record.there and any(not name.startswith(".") for name in others):
                raise RunError(f"{folder.root} holds other files and no {RUN_FILE}: choose an empty --out")
            if clean:
                remove_leftovers(folder.root)
        return cls(config, folder, record)

    # -- the data ----------------------------------------------------------------------------------------------------

    @cached_property
    def device(self) -> torch.device:
        return choose_device(self.config.device)

    @cached_property
    def part(self) -> Part | None:
        """The part of the images that is worked on; None where it is all of them."""
        return None if self.config.part is None else Part.parse(self.config.part)

    @property
    def part_name(self) -> str | None:
        return None if self.part is None else self.part.name

    def again(self, part: Part | None = None) -> str:
        """The command that works on the stage, or on a part of it."""
        return f"advcam {self.verb} --out {shlex.quote(self.config.out)}" + (f" --part {part}" if part else "")

    def for_one(self, what: str) -> None:
        """Stop before what no part can do: it needs all images, or makes one file.

        Raises:
            RunError: this is the work of a part.
        """
        if self.part is not None:
            raise RunError(f"{what} is no work for a part: run `advcam collect --out {shlex.quote(self.config.out)}`")

    def image_set(self, split: str | None) -> ImageSet:
        """All labelled images of one split, without regard to ``limit``; what was left out is noted."""
        if split in self._sets:
            return self._sets[split]
        config = self.config
        if config.data is None:
            raise SettingsError("no data set is named: give --data FOLDER")
        found = open_dataset(config.data, split, labels=config.labels, classes=config.classes, skip_bad=config.skip_bad)
        if config.skip_bad:
            found = leave_out_unreadable(found)
        self.leave_out(split, [str(problem) for problem in found.left_out])
        found = with_corrections(found, self.folder.root)
        self._sets[split] = found
        return found

    def limited(self, images: ImageSet) -> ImageSet:
        """At most ``limit`` images of a set, spread evenly over it: lists are often sorted by class."""
        return replace(images, records=tuple(spread(images.records, self.config.limit)))

    def leave_out(self, split: str | None, problems: Sequence[str]) -> None:
        """Note images that are passed over."""
        listed = self.record.content.left_out.setdefault(split or "all", [])
        new = [problem for problem in problems if problem not in listed]
        listed += new
        if not listed:
            del self.record.content.left_out[split or "all"]
        if new and self.record.there and self.part is None:
            self.record.write()

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

    # -- kinds of maps -----------------------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """The kind of maps that the run is about: the folder of its maps and masks."""
        return self.config.attribute.kind

    @property
    def baseline(self) -> str:
        """The kind that it is compared with: the same map of the unchanged images."""
        return self.config.attribute.map

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of maps to compare: the baseline and the run's own, unless they are one."""
        return tuple(dict.fromkeys((self.baseline, self.kind)))

    # -- keys --------------------------------------------------------------------------------------------------------

    def ledger(self, name: str) -> Ledger:
        """Which images of an artifact are there."""
        if name not in self._ledgers:
            self._ledgers[name] = Ledger(self.folder.root / KEYS / f"{name}.jsonl", self.part_name)
        return self._ledgers[name]

    @cached_property
    def fingerprints(self) -> Fingerprints:
        return Fingerprints(self.folder.root / KEYS / "files.jsonl", self.part_name)

    def pictures(self, records: Sequence[Record]) -> dict[str, str]:
        """The content of each image's file."""
        return self.fingerprints.of({record.id: record.image for record in records})

    def described(self, records: Sequence[Record]) -> dict[str, list[Any]]:
        """What a training depends on of each image: its picture, its labels, its boxes."""
        pictures = self.pictures(records)
        return {record.id: [pictures[record.id], record.classes, plain(record.boxes)] for record in records}

    def mapped(self, kind: str) -> list[Record]:
        """The wanted images that have maps of a kind."""
        return [record for record in self.wanted if self.has_maps(kind, record)]

    def has_maps(self, kind: str, record: Record) -> bool:
        if self.ledger(f"{kind}/maps").key(record.id) is None:
            return False
        # A part would ask the file system for every image of all.
        return self.part is not None or self.folder.file(f"{kind}/maps", record.id).exists()

    def read_maps(self, kind: str, record: Record) -> LocalizationMaps:
        """The maps of an image; RunError unless they are of its size, and of classes that there are."""
        path = self.folder.file(f"{kind}/maps", record.id)
        return LocalizationMaps.load(path, image_size(record.image), len(self.class_names))

    def read_scores(self, kind: str, record: Record) -> ScoreMapFile:
        """As ``read_maps``, the raw maps of a localization run."""
        from advcam.attribute.wsol import ScoreMapFile

        path = self.folder.file(f"{kind}/scores", record.id)
        return ScoreMapFile.load(path, image_size(record.image), len(self.class_names))

    def need(self, name: str, verb: str) -> None:
        """RunError, which names the verb that makes them, unless all maps or masks of a kind are there."""
        if self.record.done(name) is None:
            whole = f"whole set of {name.rpartition('/')[2]}"
            raise RunError(f"{self.folder.root} has no {whole} yet: run `advcam {verb}` with the same --out")

    def content(self, name: str, verb: str, folder: str = "") -> str:
        """The digest of a network in the run folder, which others are made from.

        Of the files that are there, whatever was noted of them: ``folder`` says where, unless it is the name.

        Raises:
            RunError: it is not there yet; the sentence names the verb that makes it.
        """
        entry, root = self.record.done(name), self.folder.root / (folder or name)
        files = {part: root / part for part in NETWORK_FILES}
        if entry is None or entry.content is None or not all(path.is_file() for path in files.values()):
            what = "trained classifier" if name == "classifier" else name
            raise RunError(f"{self.folder.root} has no {what} yet: run `advcam {verb}` with the same --out")
        return self.network_content(root)

    def network_content(self, folder: Path) -> str:
        """The digest of a network that was just made."""
        parts = (*NETWORK_FILES, *(part for part in BRANCH_FILES if (folder / part).is_file()))
        files = {f"{folder.relative_to(self.folder.root)}/{part}": folder / part for part in parts}
        return key_of(list(self.fingerprints.of(files).values()))


def spread(items: Sequence[Any], limit: int | None) -> Sequence[Any]:
    """At most ``limit`` of some items, spread evenly over them: the one rule of ``--limit``.

    >>> spread("abcdef", 3), spread("ab", None)
    (['a', 'c', 'e'], 'ab')
    """
    if limit is None or limit >= len(items):
        return items
    return [items[index * len(items) // limit] for index in range(limit)]


def saved_form(config: RunConfig) -> RunConfig:
    """Settings as a run folder keeps them: what was asked of one command only is not kept."""
    return replace(config, overwrite=False, limit=None, part=None)


def choose_device(name: str) -> torch.device:
    """The device of a setting; SettingsError where it is not there."""
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise SettingsError("--device cuda: torch sees no CUDA device here; use --device cpu, or fix the driver")
    # Not torch's own choice: the same numbers whichever verb runs first, and attribute.precision can ask for it.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda" if there and name != "cpu" else "cpu")
