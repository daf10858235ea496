"""The one way in which stages go through images: planned batches, kept results, processes, resume.

A per-image stage hands over a ``Work``: how a batch is loaded, made and saved. The batches are planned over the whole
data set, whatever is already done or wanted: rounding in float32 depends on the batch, and a climb amplifies it. So
neither where a run was stopped, nor how many processes share it, nor ``--limit`` changes a byte. A batch is the
smallest part of the work: a pure function of the run folder and its place in the plan.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch

from advcam.data.images import image_size
from advcam.data.record import Record
from advcam.errors import DataError, RunError, SettingsError
from advcam.io.progress import progress, say
from advcam.pipeline.config import RunConfig
from advcam.pipeline.keys import Line
from advcam.pipeline.run import Run, StaleError, few_of, spread

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Size = tuple[int, int]
# Batches that a process is handed at a time, at most: within them it loads ahead and writes behind.
CHUNK = 8


@dataclass(frozen=True)
class Batch:
    """Images that are worked on together; of one size, (height, width), where that matters."""

    records: tuple[Record, ...]
    size: Size | None = None


@dataclass
class Outcome:
    """What came of a batch."""

    files: list[tuple[str, str, Path]] = field(default_factory=list)
    """Artifact, image and file of what was written."""
    problems: list[str] = field(default_factory=list)
    """Images that were left out, with the reasons."""
    told: Counter[str] = field(default_factory=Counter)
    """What else is worth counting."""


@runtime_checkable
class Work(Protocol):
    """What a per-image stage does with a batch. Every process builds its own."""

    @property
    def threaded(self) -> bool:
        """Batches go through threads side by side; else each is made while the next loads and the last is saved."""

    def load(self, batch: Batch) -> Any: ...

    def make(self, batch: Batch, loaded: Any) -> Any: ...

    def save(self, batch: Batch, made: Any, missing: Mapping[str, frozenset[str]]) -> Outcome:
        """Write what is missing, the artifacts by image."""


@dataclass(frozen=True)
class Wanted:
    """An artifact with a file for every image: the keys that the files must have, and where they are."""

    name: str
    keys: Mapping[str, str]
    file: Callable[[str], Path]


def todo(run: Run, wanted: Sequence[Wanted], what: str) -> dict[str, frozenset[str]]:
    """The images that are missing or stale, and what of them is; says what is kept and what is made again.

    Raises:
        StaleError: images would be replaced because another data set is named, and not ``overwrite``.
    """
    missing: dict[str, set[str]] = {}
    changed: set[str] = set()
    elsewhere: set[str] = set()
    place = str(Path(run.config.data or "").resolve())
    for one in wanted:
        ledger = run.ledger(one.name)
        for image, key in one.keys.items():
            if not ledger.fresh(image, key, one.file(image)):
                missing.setdefault(image, set()).add(one.name)
                line = ledger.lines.get(image)
                if line is not None and line.key != key:
                    changed.add(image)
                    elsewhere |= {line.data} - {place}
    images = {image for one in wanted for image in one.keys}
    if elsewhere and not few_of(len(changed), len(images)) and not run.config.overwrite:
        raise StaleError(
            run.folder.root, wanted[0].name, f"{len(changed)} images of another data set, {min(elsewhere)}"
        )
    if changed:
        names = ", ".join(sorted(changed)[:3]) + (", ..." if len(changed) > 3 else "")
        say(f"{what}: {counted(len(changed))} made again, since what they come from has changed ({names})")
    if kept := len(images) - len(missing):
        say(f"{what}: {kept} of {len(images)} images are there already and kept")
    gone = {image for one in wanted for image in run.ledger(one.name).lines} - {record.id for record in run.records}
    if gone:
        say(f"{what}: {counted(len(gone))} no longer in the data set, such as {min(gone)}: not used")
    return {image: frozenset(names) for image, names in missing.items()}


def counted(images: int) -> str:
    return "1 image is" if images == 1 else f"{images} images are"


def work_through(
    run: Run,
    wanted: Sequence[Wanted],
    batches: Sequence[Batch],
    build: Callable[[Run], Work],
    what: str,
    *,
    processes: int = 1,
) -> tuple[dict[str, frozenset[str]], Counter[str]]:
    """Make what is missing of some artifacts.

    Args:
        wanted: the artifacts, which are made together.
        batches: of the whole data set, as they are planned.
        build: makes the work of one process, from a run that it opened; it can be pickled where there are several.
        what: the stage, for the progress.
        processes: that share the work.

    Returns:
        What was missing, and what the work counted.
    """
    missing = todo(run, wanted, what)
    keys = {one.name: one.keys for one in wanted}
    for one in wanted:
        run.ledger(one.name).forget([image for image, names in missing.items() if one.name in names])
    mine = [batch for batch in batches if any(record.id in missing for record in batch.records)]
    told: Counter[str] = Counter()
    total = len({image for one in wanted for image in one.keys})
    place = str(Path(run.config.data or "").resolve())
    with progress(what, total, total - len(missing)) as advance:
        outcomes = (
            _alone(run, mine, build, missing)
            if processes == 1 or len(mine) < 2
            else _together(run, mine, build, missing, min(processes, len(mine)))
        )
        for batch, outcome in outcomes:
            run.leave_out(None, outcome.problems)
            told += outcome.told
            for name in keys:
                made = [(image, path) for artifact, image, path in outcome.files if artifact == name]
                run.ledger(name).note(
                    [Line(image, keys[name][image], path.stat().st_size, place) for image, path in made]
                )
            advance(sum(record.id in missing for record in batch.records))
    return missing, told


Outcomes = Iterator[tuple[Batch, Outcome]]


def _alone(
    run: Run, batches: Sequence[Batch], build: Callable[[Run], Work], missing: Mapping[str, frozenset[str]]
) -> Outcomes:
    if batches:
        yield from go_through(build(run), batches, missing)


def go_through(work: Work, batches: Sequence[Batch], missing: Mapping[str, frozenset[str]]) -> Outcomes:
    """Batches in their order, each with what came of it."""
    if work.threaded:

        def whole(batch: Batch) -> Outcome:
            return work.save(batch, work.make(batch, work.load(batch)), missing)

        yield from zip(batches, in_threads(whole, batches, torch.get_num_threads()), strict=True)
        return
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        saving: deque[tuple[Batch, Future[Outcome]]] = deque()
        coming = reader.submit(work.load, batches[0])
        try:
            for index, batch in enumerate(batches):
                loaded = coming.result()
                if index + 1 < len(batches):
                    coming = reader.submit(work.load, batches[index + 1])
                saving.append((batch, writer.submit(work.save, batch, work.make(batch, loaded), missing)))
                while len(saving) > 2 or (saving and saving[0][1].done()):
                    ready, saved = saving.popleft()
                    yield ready, saved.result()
        except GeneratorExit:
            raise
        except BaseException:
            # What is being written is finished, and counted.
            for ready, saved in saving:
                if saved.exception() is None:
                    yield ready, saved.result()
            raise
        for ready, saved in saving:
            yield ready, saved.result()


# -- several processes -----------------------------------------------------------------------------------------------


def process_count(run: Run) -> int:
    """How many processes work on a stage: as many as asked for, else one per GPU, or one.

    Raises:
        SettingsError: more than there are GPUs.
    """
    asked = run.config.processes
    if run.device.type != "cuda":
        return asked or 1
    there = torch.cuda.device_count()
    if asked is not None and asked > there:
        raise SettingsError(f"--processes {asked}: torch sees {there} GPUs here, and each process takes one")
    return asked or there


def _together(
    run: Run, batches: Sequence[Batch], build: Callable[[Run], Work], missing: Mapping[str, frozenset[str]], count: int
) -> Outcomes:
    context = multiprocessing.get_context("spawn")
    size = max(1, min(CHUNK, len(batches) // (4 * count)))
    chunks = deque(batches[start : start + size] for start in range(0, len(batches), size))
    threads = max(1, torch.get_num_threads() // count)
    number = context.Value("i", 0)
    pool = ProcessPoolExecutor(
        count, context, initializer=_begin, initargs=(run.config, build, threads, number, run.device.type)
    )
    working: set[Future[list[tuple[Batch, Outcome]]]] = set()
    try:
        while chunks or working:
            while chunks and len(working) < 2 * count:
                chunk = chunks.popleft()
                own = {
                    record.id: missing[record.id] for batch in chunk for record in batch.records if record.id in missing
                }
                working.add(pool.submit(_chunk, chunk, own))
            finished, working = wait(working, return_when=FIRST_COMPLETED)
            for future in finished:
                yield from future.result()
    except BrokenProcessPool:
        raise RunError(
            f"one of the {count} processes ended, short of memory it may be: the same command goes on from there; "
            "--processes takes another number of them"
        ) from None
    finally:
        for future in working:
            future.cancel()
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


_WORK: list[Work] = []


def _begin(config: RunConfig, build: Callable[[Run], Work], threads: int, number: Any, device: str) -> None:
    # Ctrl-C reaches every process of a terminal; the leader ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    torch.set_num_threads(threads)
    with number.get_lock():
        own = number.value
        number.value += 1
    run = Run.open(config, clean=False)
    if device == "cuda":
        run.__dict__["device"] = torch.device("cuda", own)
    _WORK.append(build(run))


def _end_with(parent: Any) -> None:
    """A helper does not outlive who started it."""
    parent.join()
    os._exit(1)


def _chunk(batches: Sequence[Batch], missing: Mapping[str, frozenset[str]]) -> list[tuple[Batch, Outcome]]:
    return list(go_through(_WORK[0], batches, missing))


# -- plans -----------------------------------------------------------------------------------------------------------


def plan(images: Iterable[tuple[Record, Size]], max_pairs: Callable[[Size], int]) -> list[Batch]:
    """Group images of equal size into batches of a bounded number of (image, class) pairs; at least one image each.

    Args:
        images: with height and width, in the order of the data set. One without a class counts as one pair.
        max_pairs: for a size, the largest number of pairs in a batch of several images.

    Returns:
        Batches in the order of their first images.

    >>> one, two = (Record(name, Path(name), (0,)) for name in "ab")
    >>> [batch.size for batch in plan([(one, (2, 3)), (two, (3, 2)), (one, (2, 3))], lambda size: 3)]
    [(2, 3), (3, 2)]
    """
    batches: list[tuple[Size, list[Record]]] = []
    filling: dict[Size, tuple[list[Record], int]] = {}
    for record, size in images:
        pairs = max(1, len(record.classes))
        together, there = filling.get(size, ([], 0))
        if not together or there + pairs > max_pairs(size):
            together, there = [], 0
            batches.append((size, together))
        together.append(record)
        filling[size] = together, there + pairs
    return [Batch(tuple(together), size) for size, together in batches]


def singles(records: Iterable[Record]) -> list[Batch]:
    """Every image by itself: for what does not depend on its batch."""
    return [Batch((record,)) for record in records]


def sized(run: Run, records: Iterable[Record]) -> Iterator[tuple[Record, Size]]:
    """Images with their sizes; those whose header cannot be read are an error, or left out."""
    problems = []
    for record in records:
        try:
            yield record, image_size(record.image)
        except DataError as error:
            problems.append(pass_over(error, run.config.skip_bad))
    run.leave_out(None, problems)


def pass_over(problem: DataError, skip_bad: bool) -> str:
    """What is noted of an image that is left out; where none may be, the problem itself is raised."""
    if not skip_bad:
        raise problem
    return str(problem)


def in_threads(work: Callable[[Item], Loaded], items: Sequence[Item], threads: int) -> Iterator[Loaded]:
    """The results in the order of the items, a few ahead of what is consumed; the first error stops the rest.

    >>> list(in_threads(lambda item: item + 1, [1, 2, 3], threads=2))
    [2, 3, 4]
    """
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        waiting: deque[Future[Loaded]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def ahead(items: Sequence[Item], load: Callable[[Item], Loaded]) -> Iterator[Loaded]:
    """``load`` of every item in order, the next one loading in a thread while the caller works on the current one."""
    return in_threads(load, items, 1)


__all__ = ["Batch", "Outcome", "Wanted", "Work", "ahead", "in_threads", "plan", "singles", "sized", "spread"]
