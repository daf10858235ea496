"""What a stage makes, and when that is stale: what was made with another key.

The facts of an artifact are all that its numbers depend on: settings, digests of what it is made from, of weights and
of the data set. Its key is a hash over them. An image's key joins the artifact's with what is the image's own: its
picture, its labels, the keys of its maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advcam.errors import RunError, shortened
from advcam.io.files import remove
from advcam.io.keys import differences, key_of, plain
from advcam.io.lock import command, locked, now
from advcam.io.progress import say
from advcam.pipeline.record import Entry
from advcam.pipeline.run import KEYS, NETWORK_FILES, Run, saved_form
from advcam.report.wording import counted

if TYPE_CHECKING:
    from advcam.pipeline.config import RunConfig

Facts = dict[str, Any]


@dataclass(frozen=True)
class Artifact:
    """A result in the run folder that has a key."""

    name: str
    """Its place: "classifier", "advcam/maps", ..."""
    inputs: tuple[str, ...]
    """The artifacts that it is made from, where they are there."""
    facts: Callable[[Run], Facts] | None
    """All that its numbers depend on beside the images; None where it shows all that is there, and is made anew each
    time."""
    outputs: tuple[str, ...]
    """Files and folders of the run folder that go with it."""
    per_image: Callable[[Run], dict[str, str]] | None = None
    """The key that the file of each wanted image must have, where there is a file for each."""


@dataclass(frozen=True)
class Steps:
    """How a stage works; the module of each offers one."""

    make: Callable[[Run], None]
    artifacts: Callable[[RunConfig], Iterator[Artifact]]
    """What it makes with these settings; nothing where they do not ask for it."""
    check: Callable[[RunConfig], None] = lambda config: None
    """Refuses, before the first stage begins, settings that this stage would refuse after hours of others."""
    check_data: Callable[[Run], None] = lambda run: None
    """Refuses a data set that this stage would refuse, likewise."""


class StaleError(RunError):
    """An artifact was made with other facts, and nobody asked for it to be replaced."""

    def __init__(self, folder: Path, name: str, why: str) -> None:
        self.folder, self.name, self.why = folder, name, why
        super().__init__(
            f"{folder} holds {name} made otherwise ({why}): choose another --out, or give --overwrite to replace it"
        )


@dataclass(frozen=True)
class Making:
    """An artifact that is being made."""

    entry: Entry
    fresh: bool
    """It is there already, whole and made with these facts."""


@contextmanager
def making(
    run: Run, name: str, facts: Mapping[str, Any], outputs: Sequence[str] = (), *, always: bool = False
) -> Iterator[Making]:
    """Begin an artifact, or go on with it; one that was made with other facts is an error, or is replaced.

    Args:
        name: as in the stage table.
        facts: all that its numbers depend on.
        outputs: files and folders that go with it, in the run folder.
        always: it is made anew each time, so nothing of an earlier one matters.

    Raises:
        StaleError: it was made with other facts, and not ``overwrite``.
        RunError: likewise, for a part, which replaces nothing.
    """
    facts = plain(facts)
    if run.part is not None:
        yield _making_a_part(run, name, dict(facts), outputs)
        return
    why = "" if always else refuse_stale(run, name, facts, outputs)
    older = "" if always or why else outdated(run, name)
    entry = run.record.artifacts.get(name)
    if why:
        say(f"{name}: replacing what was made otherwise ({why})")
        for output in outputs:
            remove(run.folder.root / output)
        run.ledger(name).forget(list(run.ledger(name).lines))
        entry = None
    there = all((run.folder.root / output).exists() for output in outputs)
    if entry is not None and entry.content is not None:
        there &= all((run.folder.root / outputs[0] / part).is_file() for part in NETWORK_FILES)
    fresh = entry is not None and entry.status == "done" and there and not always
    if older and fresh:
        say(f"{name}: kept, though {older}; --overwrite makes it again")
    if entry is None or always:
        entry = Entry(key_of(facts), dict(facts))
        keep_learnt(run, name)
    run.folder.root.mkdir(parents=True, exist_ok=True)
    run.fingerprints.keep(gather=True)
    run.record.describe(saved_form(run.goes_on or run.config))
    with run.record.making(name, entry) as made:
        yield Making(made, fresh)


def _making_a_part(run: Run, name: str, facts: dict[str, Any], outputs: Sequence[str]) -> Making:
    """As ``making``, for one of several parts: the first that comes begins the artifact for all."""
    with _alone(run):
        why = why_stale(run, name, facts, outputs)
        if why:
            raise RunError(
                f"{run.folder.root} holds {name} made otherwise ({why}): parts replace nothing, so choose another "
                f"--out, or remove {', '.join(outputs)} in it first"
            )
        entry = run.record.artifacts.get(name)
        gone = not any((run.folder.root / output).exists() for output in outputs)
        if entry is None or (gone and entry.key != key_of(facts)):
            keep_learnt(run, name)
            entry = Entry(key_of(facts), facts, started=now(), command=command())
            run.record.artifacts[name] = entry
            run.record.describe(saved_form(run.goes_on or run.config))
            run.record.write()
        there = all((run.folder.root / output).exists() for output in outputs)
        return Making(entry, entry.status == "done" and there)


def settle(run: Run, names: Sequence[str], what: str, chosen: Callable[[], Any]) -> Any:
    """What holds for some artifacts from their beginning to their end, whoever works on them: chosen only once."""
    with _alone(run):
        entries = [run.record.artifacts[name] for name in names]
        known = [entry.settled[what] for entry in entries if what in entry.settled]
        value = known[-1] if known else chosen()
        for entry in entries:
            entry.settled[what] = value
        run.record.write()
        return value


@contextmanager
def _alone(run: Run) -> Iterator[None]:
    """For a part: write to ``run.yaml`` while no other part does, and from what is in it now."""
    if run.part is None:
        yield
        return
    with locked(run.folder.root, f"{KEYS}/run.lock", wait=True):
        run.record.reload()
        yield


def refuse_stale(run: Run, name: str, facts: Mapping[str, Any], outputs: Sequence[str] = ()) -> str:
    """As ``why_stale``; StaleError where an artifact would be replaced and ``overwrite`` is not given."""
    why = why_stale(run, name, facts, outputs)
    if why and not run.config.overwrite:
        raise StaleError(run.folder.root, name, why)
    return why or (outdated(run, name) if run.config.overwrite else "")


def why_stale(run: Run, name: str, facts: Mapping[str, Any], outputs: Sequence[str] = ()) -> str:
    """How an artifact that is there was made otherwise, in words; empty where it was not, or is not there.

    What was learnt from images holds while few of them change.
    """
    entry = run.record.artifacts.get(name)
    if entry is None or entry.key == key_of(facts):
        return ""
    if outputs and not any((run.folder.root / output).exists() for output in outputs):
        return ""
    own, now = ({k: v for k, v in one.items() if k != "learnt"} for one in (entry.facts, plain(facts)))
    found = differences(own, now)
    if not found and name in run.learnt_from:
        changed, of = changed_since(run, name)
        return "" if entry.status == "done" and few_of(len(changed), of) else _changed(changed, of)
    return "; ".join(found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")


def outdated(run: Run, name: str) -> str:
    """Which images have changed since a network that still holds learnt from them, in words; its facts are known
    already."""
    entry = run.record.done(name)
    if entry is None or name not in run.learnt_from:
        return ""
    same = entry.facts.get("learnt", {}).get("content") == key_of(run.learnt_from[name])
    return "" if same else _changed(*changed_since(run, name))


def _changed(changed: Sequence[str], of: int) -> str:
    if not changed:
        return ""
    named = shortened(changed, most=3)
    return f"{counted(len(changed), 'image')} of the {of} that it learnt from changed since: {named}"


def few_of(changed: int, of: int) -> bool:
    """Whether what was learnt from so many images still holds when some of them have changed: a tenth, in small sets a
    quarter but no more than three, and one in any.

    >>> few_of(1, 2), few_of(2, 6), few_of(2, 10), few_of(4, 30), few_of(100, 1000)
    (True, False, True, False, True)
    """
    return changed <= max(1, of // 10, min(3, of // 4))


def learnt_of(run: Run, name: str, images: Mapping[str, Any]) -> dict[str, Any]:
    """What an artifact is learnt or chosen from, image by image, as a fact of it: see ``changed_since``."""
    run.learnt_from[name] = keys = {image: key_of(value) for image, value in images.items()}
    return {"images": len(keys), "content": key_of(keys)}


def changed_since(run: Run, name: str) -> tuple[list[str], int]:
    """The images that differ from those that an artifact was learnt from: replaced, labelled otherwise, added or
    removed since. And the number of images."""
    now, then = run.learnt_from[name], run.ledger(f"{name}.learnt").of(run.ledger(f"{name}.learnt").lines)
    return sorted(i for i in now.keys() | then.keys() if now.get(i) != then.get(i)), max(len(now), len(then))


def keep_learnt(run: Run, name: str) -> None:
    """Note image by image what an artifact is learnt from."""
    if name in run.learnt_from:
        run.ledger(f"{name}.learnt").renew(run.learnt_from[name])
