"""Who works through batches: the threads of this process, several processes, or Ray. The bytes are the same.

Each pass runs on one core, since rounding depends on how many share it, and as many passes go on side by side as there
are cores. What is handed to a process at a time is a piece: a few batches, so that little is lost with it and the work
is shared out evenly. A process that dies costs its piece, which is tried again; a batch that two processes died on is
left out and named.
"""

from __future__ import annotations

import multiprocessing
import pickle
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch

from advcam.errors import RunError
from advcam.io.helpers import begin
from advcam.pipeline.parts import Batch, Outcome, Work

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Missing = Mapping[str, frozenset[str]]
Outcomes = Iterator[tuple[Batch, Outcome]]
Build = Callable[[torch.device], Work]
# Images in a piece, at most.
PIECE = 32
# Pieces in turn that are given up before all is.
IN_VAIN = 5


@contextmanager
def one_core_each() -> Iterator[int]:
    """Every pass on one core; the number of cores that there are for them."""
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield cores
    finally:
        torch.set_num_threads(cores)


def go_through(
    build: Callable[[], Work], batches: Iterable[Batch], missing: Missing, threads: int = 1, *, on_gpu: bool = False
) -> Outcomes:
    """Batches in their order, each with what came of it.

    Args:
        build: makes the work. Threads share it where it says that they may; else each has its own.
        batches: what is worked on.
        missing: the artifacts that are to be written, by image.
        threads: that work side by side; with one, each batch is made while the next loads and the last is saved.
        on_gpu: one pass at a time takes all of it.
    """
    first = build()
    if not first.threaded and (threads == 1 or on_gpu):
        yield from _overlapping(first, batches, missing)
        return
    # All before the first begins: tracing a network, as the folding of its batch norms does, changes how modules are
    # called in every thread.
    more = 0 if first.threaded else min(threads, max(1, len(missing))) - 1
    own, spare = threading.local(), deque([first, *(build() for _ in range(more))])

    def whole(batch: Batch) -> tuple[Batch, Outcome]:
        if not hasattr(own, "work"):
            own.work = first if first.threaded else spare.popleft()
        work: Work = own.work
        return batch, work.save(batch, work.make(batch, work.load(batch)), missing)

    yield from in_threads(whole, batches, threads if first.threaded else more + 1)


def _overlapping(work: Work, batches: Iterable[Batch], missing: Missing) -> Outcomes:
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        saving: deque[tuple[Batch, Future[Outcome]]] = deque()
        try:
            for batch, loaded in _ahead(reader, work, batches):
                saving.append((batch, writer.submit(work.save, batch, work.make(batch, loaded.result()), missing)))
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


def _ahead(reader: ThreadPoolExecutor, work: Work, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Future[Any]]]:
    before: tuple[Batch, Future[Any]] | None = None
    for batch in batches:
        coming = (batch, reader.submit(work.load, batch))
        if before is not None:
            yield before
        before = coming
    if before is not None:
        yield before


def in_threads(work: Callable[[Item], Loaded], items: Iterable[Item], threads: int) -> Iterator[Loaded]:
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
        except GeneratorExit:
            pool.shutdown(cancel_futures=True)
            raise
        except BaseException:
            pool.shutdown(cancel_futures=True)
            # What was done before it counts.
            yield from (one.result() for one in waiting if not one.cancelled() and one.exception() is None)
            raise


# -- pieces, and the hands that they are given to --------------------------------------------------------------------


@dataclass
class Piece:
    """Batches that go to a process together."""

    batches: list[Batch]
    died: int = 0
    """Processes that died on it."""

    @property
    def images(self) -> list[str]:
        return [record.id for batch in self.batches for record in batch.records]


Result = list[tuple[Batch, Outcome]]


class Kept:
    """Works of a process, which are kept from one piece to the next, as many as its threads need."""

    def __init__(self, build: Callable[[], Work]) -> None:
        self.build = build
        self.works: list[Work] = []

    def through(self, batches: Sequence[Batch], missing: Missing, threads: int, on_gpu: bool) -> Result:
        free = iter(list(self.works))

        def work() -> Work:
            found = next(free, None)
            if found is None:
                found = self.build()
                self.works.append(found)
            return found

        return list(go_through(work, batches, missing, threads, on_gpu=on_gpu))


@dataclass
class Died:
    """In place of a result: the process ended."""

    count: int = 1
    """How often it was tried."""


@runtime_checkable
class Hands(Protocol):
    """Processes that pieces are given to."""

    def room(self) -> int:
        """Pieces that may be under way at a time."""

    def give(self, piece: Piece, missing: Missing) -> Any: ...

    def take(self, given: Sequence[Any], *, waiting: bool = True) -> dict[Any, Result | Died | Exception]:
        """What has come of those that were given: of at least one, unless nothing is waited for."""

    def end(self) -> None:
        """Stop whatever is under way."""

    @property
    def knows_who(self) -> bool:
        """Whether it is known which piece a process died on."""


def pieces(batches: Iterable[Batch], most: int) -> Iterator[Piece]:
    """Batches in pieces of at most so many images, and one batch at least."""
    piece: list[Batch] = []
    count = 0
    for batch in batches:
        if piece and count + len(batch.records) > most:
            yield Piece(piece)
            piece, count = [], 0
        piece.append(batch)
        count += len(batch.records)
    if piece:
        yield Piece(piece)


@dataclass
class Driver:
    """Gives pieces to hands and collects what comes of them."""

    hands: Hands
    missing: Missing
    suspects: deque[Piece] = field(default_factory=deque)
    """Pieces on which a process has died, or may have."""
    in_vain: int = 0
    """Pieces in turn that were given up."""

    def through(self, work: Iterator[Piece]) -> Outcomes:
        under_way: dict[Any, Piece] = {}
        more = True
        try:
            while more or self.suspects or under_way:
                while len(under_way) < self._room():
                    piece = self.suspects.popleft() if self.suspects else next(work, None)
                    if piece is None:
                        more = False
                        break
                    own = {image: self.missing[image] for image in piece.images if image in self.missing}
                    under_way[self.hands.give(piece, own)] = piece
                if not under_way:
                    continue
                yield from self._finished(under_way)
        except GeneratorExit:
            raise
        except BaseException:
            # What was done before it counts.
            for result in self.hands.take(list(under_way), waiting=False).values():
                if isinstance(result, list):
                    yield from result
            raise
        finally:
            self.hands.end()

    def _room(self) -> int:
        # One at a time, so that it is known who is to blame.
        return 1 if self.suspects and not self.hands.knows_who else self.hands.room()

    def _finished(self, under_way: dict[Any, Piece]) -> Outcomes:
        alone = len(under_way) == 1
        wrong: Exception | None = None
        for given, result in self.hands.take(list(under_way)).items():
            piece = under_way.pop(given)
            if isinstance(result, list):
                self.in_vain = 0
                yield from result
                continue
            if isinstance(result, Exception):
                wrong = wrong or result
                continue
            if self.hands.knows_who or alone:
                piece.died += result.count
            if piece.died and len(piece.batches) > 1:
                self.suspects += [Piece([batch]) for batch in piece.batches]
            elif piece.died < 2:
                self.suspects.append(piece)
            else:
                self.in_vain += 1
                if self.in_vain > IN_VAIN:
                    raise RunError(
                        "processes end again and again, short of memory it may be: the same command goes on from "
                        "there; --processes takes fewer of them"
                    )
                yield piece.batches[0], left_out(piece)
        if wrong is not None:
            raise wrong


def left_out(piece: Piece) -> Outcome:
    """What is told of a piece that processes died on."""
    names = ", ".join(piece.images)
    reason = f"{names}: left out, since {piece.died} processes ended while they worked on it, short of memory it may be"
    return Outcome(problems=[reason], died=piece.images)


# -- processes of this machine ---------------------------------------------------------------------------------------


@dataclass
class Processes:
    """Processes of this machine, each with its part of the cores, or with a GPU of its own."""

    build: Build
    count: int
    device: str
    cores: int
    knows_who = False

    def __post_init__(self) -> None:
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        ready = pickle.dumps(partial(_begin, self.build, max(1, self.cores // self.count), self.device))
        self.pool = ProcessPoolExecutor(self.count, context, initializer=begin, initargs=(ready, context.Value("i", 0)))

    def room(self) -> int:
        return 2 * self.count

    def give(self, piece: Piece, missing: Missing) -> Future[Result]:
        try:
            return self.pool.submit(_piece, piece.batches, missing)
        except BrokenProcessPool:
            self.end()
            self._start()
            return self.pool.submit(_piece, piece.batches, missing)

    def take(self, given: Sequence[Future[Result]], *, waiting: bool = True) -> dict[Any, Result | Died | Exception]:
        finished, _ = wait(given, None if waiting else 0, FIRST_COMPLETED)
        if any(isinstance(future.exception(), BrokenProcessPool) for future in finished):
            # None of them goes on.
            finished, _ = wait(given)
        return {one: _come_of(one) for one in finished}

    def end(self) -> None:
        for process in list((self.pool._processes or {}).values()):
            process.terminate()
        self.pool.shutdown(wait=True, cancel_futures=True)


def _come_of(future: Future[Result]) -> Result | Died | Exception:
    try:
        return future.result()
    except BrokenProcessPool:
        return Died()
    except Exception as error:
        return error


_BUILT: list[tuple[Kept, int, bool]] = []


def _begin(build: Build, threads: int, device: str, number: Any) -> None:
    torch.set_num_threads(1)
    with number.get_lock():
        # One that takes the place of a dead one takes its GPU.
        own = number.value
        number.value += 1
    found = torch.device("cuda", own % torch.cuda.device_count()) if device == "cuda" else torch.device(device)
    _BUILT.append((Kept(partial(build, found)), threads, device == "cuda"))


def _piece(batches: Sequence[Batch], missing: Missing) -> Result:
    kept, threads, on_gpu = _BUILT[0]
    return kept.through(batches, missing, threads, on_gpu)
