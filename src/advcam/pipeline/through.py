"""The one way in which stages go through images: kept results, whoever works, parts, resume, progress."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from advcam.data.record import Record
from advcam.errors import RunError, SettingsError, shortened
from advcam.io.files import read_json, write_json
from advcam.io.ledger import Line, of_parts
from advcam.io.lock import locked
from advcam.io.progress import progress, say
from advcam.io.share import Mark, lacking_parts, read_marks
from advcam.pipeline.config import RunConfig
from advcam.pipeline.engines import (
    PIECE,
    Driver,
    Hands,
    Missing,
    Outcomes,
    Processes,
    go_through,
    one_core_each,
    pieces,
)
from advcam.pipeline.keys import StaleError, few_of
from advcam.pipeline.parts import Batch, Plan, Wanted, Work
from advcam.pipeline.record import Paused
from advcam.pipeline.run import KEYS, Run


@dataclass(frozen=True)
class Known:
    """Wanted files and their keys, of the images that are worked on."""

    wanted: Sequence[Wanted]
    keys: Mapping[str, Mapping[str, str]]
    """By artifact and image."""

    @classmethod
    def of(cls, wanted: Sequence[Wanted], records: Sequence[Record]) -> Known:
        return cls(wanted, {one.name: one.keys_of(records) for one in wanted})

    @property
    def images(self) -> set[str]:
        return {image for keys in self.keys.values() for image in keys}


def todo(run: Run, known: Known, what: str) -> dict[str, frozenset[str]]:
    """The images that are missing or stale, and what of them is; says what is kept and what is made again.

    Raises:
        StaleError: images would be replaced because another data set is named, and not ``overwrite``.
    """
    missing: dict[str, set[str]] = {}
    changed: set[str] = set()
    elsewhere: set[str] = set()
    place = str(Path(run.config.data or "").resolve())
    for one in known.wanted:
        ledger = run.ledger(one.name)
        for image, key in known.keys[one.name].items():
            if not ledger.fresh(image, key, run.folder.file(one.name, image)):
                missing.setdefault(image, set()).add(one.name)
                line = ledger.lines.get(image)
                if line is not None and line.key != key:
                    changed.add(image)
                    elsewhere |= {line.data} - {place}
    images = known.images
    if elsewhere and not few_of(len(changed), len(images)) and not run.config.overwrite:
        raise StaleError(
            run.folder.root, known.wanted[0].name, f"{len(changed)} images of another data set, {min(elsewhere)}"
        )
    if changed:
        names = shortened(sorted(changed), most=3)
        say(f"{what}: {counted(len(changed))} made again, since what they come from has changed ({names})")
    if kept := len(images) - len(missing):
        say(f"{what}: {kept} of {len(images)} images are there already and kept")
    if run.part is None:
        gone = {image for one in known.wanted for image in run.ledger(one.name).lines}
        gone -= {record.id for record in run.records}
        if gone:
            say(f"{what}: {counted(len(gone))} no longer in the data set, such as {min(gone)}: not used")
    shared = {names: names for names in map(frozenset, missing.values())}
    return {image: shared[frozenset(names)] for image, names in missing.items()}


def counted(images: int) -> str:
    return "1 image is" if images == 1 else f"{images} images are"


def work_through(
    run: Run,
    wanted: Sequence[Wanted],
    plan: Plan,
    asked: Sequence[Record],
    build: Callable[[Run], Work],
    what: str,
    ready: Work | None = None,
) -> Mark:
    """Make what is missing of some artifacts: all of it, or a part; or close what parts have made.

    Args:
        wanted: the artifacts, which are made together.
        plan: of the whole data set.
        asked: the images whose files are asked for.
        build: makes the work of one process, from a run that it opened; it can be pickled.
        what: the stage, for the progress.
        ready: one that is built already, for this process.

    Returns:
        What was made, and what was counted.

    Raises:
        Paused: the part is done; or, where parts are closed, there are none yet of this work.
        RunError: parts are closed, and some are lacking.
    """
    if run.collecting:
        return close(run, Known.of(wanted, asked), what)
    if run.part is None:
        return _make(run, Known.of(wanted, asked), plan.of(), build, what, ready)
    folder = of_parts(run.ledger(wanted[0].name).path)
    ids = {record.id for record in asked}
    if not folder.exists():
        own = [asked[place] for place in run.part.of(len(asked))]
        aside, known = set_aside(run, wanted[0].name), Known.of(wanted, own)
        closed = all(ids <= run.ledger(one.name).lines.keys() | aside.keys() for one in wanted) and all(
            key in (run.ledger(name).key(image), aside.get(image))
            for name, keys in known.keys.items()
            for image, key in keys.items()
        )
        if closed:
            return Mark(str(run.part))
    with locked(run.folder.root, f"{KEYS}/{run.part.name}.lock"):
        batches = list(plan.of(run.part))
        known = Known.of(wanted, [record for batch in batches for record in batch.records if record.id in ids])
        mark = _make(run, known, batches, build, what, ready)
        run.fingerprints.keep()
        # After all files of the part, and their names.
        mark.write(folder)
    raise Paused(f"{what}: part {run.part} is done; after all of them run `advcam collect --out {run.config.out}`")


def _make(
    run: Run,
    known: Known,
    batches: Iterator[Batch] | Sequence[Batch],
    build: Callable[[Run], Work],
    what: str,
    ready: Work | None,
) -> Mark:
    missing = todo(run, known, what)
    for one in known.wanted:
        run.ledger(one.name).forget([image for image, names in missing.items() if one.name in names])
    mark = Mark(str(run.part or "1/1"))
    told: Counter[str] = Counter()
    died: list[str] = []
    images, first = known.images, known.keys[known.wanted[0].name]
    place = str(Path(run.config.data or "").resolve())
    mine = (batch for batch in batches if any(record.id in missing for record in batch.records))
    with progress(what, len(images), len(images) - len(missing)) as advance, one_core_each() as cores:
        for batch, outcome in outcomes(run, mine, build, missing, cores, ready):
            mark.problems += outcome.problems
            run.leave_out(None, outcome.problems)
            told += outcome.told
            died += outcome.died
            for name, keys in known.keys.items():
                made = [(image, path) for artifact, image, path in outcome.files if artifact == name]
                run.ledger(name).note([Line(image, keys[image], path.stat().st_size, place) for image, path in made])
            written = {image for _, image, _ in outcome.files}
            own = [record.id for record in batch.records if record.id in missing]
            mark.made += len(written)
            mark.without |= {image: first.get(image, "") for image in own if image not in written}
            advance(len(own))
    mark.told = dict(told)
    if died:
        say(
            f"{what}: {counted(len(died))} left out, since processes ended while they worked on them: {', '.join(died)}"
        )
    return mark


def close(run: Run, known: Known, what: str) -> Mark:
    """Take over what parts have made, whole; see ``work_through``."""
    ledgers = [run.ledger(one.name) for one in known.wanted]
    folder = of_parts(ledgers[0].path)
    begun, marks = folder.is_dir(), read_marks(folder)
    missing, first = todo(run, known, what), known.keys[known.wanted[0].name]
    without = set_aside(run, known.wanted[0].name)
    for mark in marks:
        without |= mark.without
    lacking = [image for image in missing if without.get(image) != first.get(image)]
    if lacking and not begun:
        raise Paused(
            f"{what}: {counted(len(lacking))} to be worked on, in parts such as `{run.again()} --part 1/8`; then "
            f"`advcam collect --out {run.config.out}` again"
        )
    if lacking:
        parts = lacking_parts(folder)
        numbers = shortened([str(part.index) for part in parts], most=20)
        which = f"part {numbers} of {parts[0].count} is not done" if parts else f"such as {lacking[0]}"
        raise RunError(
            f"{what}: {counted(len(lacking))} missing ({which}): run `{run.again(parts[0] if parts else None)}`"
        )
    for mark in marks:
        run.leave_out(None, mark.problems)
    if without:
        write_json(aside_file(run, known.wanted[0].name), without)
    made = {line.id for ledger in ledgers for line in ledger.of_parts() if line.key is not None}
    for ledger in ledgers:
        ledger.gather()
        shutil.rmtree(of_parts(ledger.path), ignore_errors=True)
    told = sum((Counter(mark.told) for mark in marks), Counter())
    return Mark("1/1", len(made), told=dict(told))


def aside_file(run: Run, name: str) -> Path:
    return run.ledger(name).path.with_suffix(".without.json")


def set_aside(run: Run, name: str) -> dict[str, str]:
    """Images that parts left out when the stage was closed, with the keys that their files would have."""
    path = aside_file(run, name)
    return read_json(path, dict[str, str]) if path.exists() else {}


# -- who works -------------------------------------------------------------------------------------------------------


def outcomes(
    run: Run, batches: Iterator[Batch], build: Callable[[Run], Work], missing: Missing, cores: int, ready: Work | None
) -> Outcomes:
    """What comes of batches, by whoever the settings say."""
    on_gpu = run.device.type == "cuda"
    count = process_count(run)
    if not missing:
        return
    if run.config.engine == "local" and (count == 1 or len(missing) < 2):
        built = [] if ready is None else [ready]
        work = lambda: built.pop() if built else build(run)  # noqa: E731
        yield from go_through(work, batches, missing, cores, on_gpu=on_gpu)
        return
    make = partial(_opened, run.config, build)
    hands: Hands
    if run.config.engine == "ray":
        from advcam.pipeline.ray_engine import RayHands

        hands = RayHands(make, run.device.type, run.config.ray_address, run.config.processes)
        count = max(1, hands.workers())
    else:
        hands = Processes(make, count, run.device.type, cores)
    size = max(1, min(PIECE, len(missing) // (4 * count)))
    yield from Driver(hands, missing).through(pieces(batches, size))


def _opened(config: RunConfig, build: Callable[[Run], Work], device: torch.device) -> Work:
    run = Run.open(config, clean=False)
    run.__dict__["device"] = device
    return build(run)


def process_count(run: Run) -> int:
    """How many processes work on a stage: as many as asked for, else one per GPU, or one.

    Raises:
        SettingsError: more than there are GPUs.
    """
    asked = run.config.processes
    if run.device.type != "cuda" or run.config.engine == "ray":
        return asked or 1
    there = torch.cuda.device_count()
    if asked is not None and asked > there:
        raise SettingsError(f"--processes {asked}: torch sees {there} GPUs here, and each process takes one")
    return asked or there
