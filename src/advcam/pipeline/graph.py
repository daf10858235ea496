"""The graph of a run's artifacts: what is fresh, stale, partial or missing, and the stages that change that."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from advcam.errors import RunError, SettingsError, UserError
from advcam.io.files import remove
from advcam.io.keys import plain
from advcam.io.lock import LOCK_FILE, locked
from advcam.io.progress import say, show
from advcam.pipeline import stages
from advcam.pipeline.config import RunConfig
from advcam.pipeline.evaluate import measured
from advcam.pipeline.keys import Artifact, StaleError, outdated, why_stale
from advcam.pipeline.record import RUN_FILE, Entry, Paused
from advcam.pipeline.run import KEYS, Run, saved_form
from advcam.pipeline.stages import BY_VERB, Stage
from advcam.report.wording import Notice, calibrated

Condition = Literal["fresh", "stale", "partial", "missing", "unfinished"]


@dataclass(frozen=True)
class State:
    """Of one artifact."""

    name: str
    verb: str
    condition: Condition
    why: str = ""
    changed: frozenset[str] = frozenset()
    """Images whose files were made from another picture, label or map."""


def states(run: Run) -> dict[str, State]:
    """The state of every artifact that the run's settings ask for, in the order in which they are made."""
    found: dict[str, State] = {}
    for name, (artifact, stage) in stages.artifacts(run.config).items():
        found[name] = _state(run, artifact, stage, found)
    return found


def _state(run: Run, artifact: Artifact, stage: Stage, before: dict[str, State]) -> State:
    def state(condition: Condition, why: str = "", changed: frozenset[str] = frozenset()) -> State:
        return State(artifact.name, stage.verb, condition, why, changed)

    entry = run.record.artifacts.get(artifact.name)
    if entry is None or not any((run.folder.root / output).exists() for output in artifact.outputs):
        return state("missing")
    inputs = [before[name] for name in artifact.inputs if name in before]
    stale = next((one.name for one in inputs if one.condition == "stale"), None)
    changed: frozenset[str] = frozenset().union(*(one.changed for one in inputs))
    if artifact.facts is None:
        made_from = entry.facts.get("measured") or entry.facts.get("shown")
        older = changed or made_from != plain(measured(run))
        why = "older than what it shows" if older else ""
    else:
        try:
            why = why_stale(run, artifact.name, artifact.facts(run), artifact.outputs)
        except UserError as error:
            waits = next((one for one in inputs if one.condition != "fresh"), None)
            if waits is not None and waits.condition == "partial":
                return state("partial", f"{waits.name} is partial", changed)
            why = f"{waits.name} is {waits.condition}" if waits else str(error)
    if why or stale:
        return state("stale", why or f"{stale} is stale")
    if entry.status != "done":
        return state("unfinished", entry.status)
    if artifact.per_image is None:
        return state("fresh", outdated(run, artifact.name))
    if run.part is not None:
        # A part looks at its own images.
        return state("fresh")
    keys, ledger = artifact.per_image(run), run.ledger(artifact.name)
    changed = frozenset(i for i, key in keys.items() if i in changed or ledger.key(i) not in (None, key))
    fresh = sum(ledger.key(image) == key for image, key in keys.items() if image not in changed)
    told = f"{fresh} of {len(run.wanted)} images"
    told += f", {len(changed)} made from another picture, label or map" if changed else ""
    # Images without a class, or without a saliency map to begin with, have no file of some artifacts.
    expected = len(run.wanted) - len(entry.result.get("missing", ()))
    whole = fresh == len(run.wanted) or fresh == len(keys) == expected
    return state("fresh" if whole else "partial", told, changed)


def notices(run: Run, renewed: Sequence[str] = ()) -> tuple[Notice, ...]:
    """What a reader of figures must know of the artifacts behind them: stale ones, parts, networks that learnt from
    images which have changed since. Not of those that are about to be made anew."""
    found = []
    for name, state in states(run).items():
        entry = run.record.artifacts.get(name)
        if name in renewed or (name in ("report", "metrics") and state.condition != "stale"):
            continue
        if name == "metrics":
            text = "Maps, masks or boxes were made again after they were measured: run `advcam evaluate` to measure."
            found.append(Notice("warning", "The figures are older than the masks", text))
        elif state.condition == "stale" and name != "report":
            text = f"It was made otherwise than the run now asks ({state.why}): run `advcam status` for the way on."
            found.append(Notice("warning", f"{name} is stale", text))
        elif state.condition == "unfinished" and entry is not None:
            text = f"It was {entry.status}: run the same command again."
            found.append(Notice("warning", f"{name} is not whole", text))
        elif state.condition == "partial" or (entry is not None and _part(entry)):
            covers = state.why.split(",")[0] if state.condition == "partial" else _part(entry)
            text = "The others were not asked for yet, or have changed since: `advcam run` makes them."
            found.append(Notice("note", f"{name} covers {covers}", text))
        elif outdated(run, name):
            text = f"It is kept, though {outdated(run, name)}; --overwrite makes it again."
            found.append(Notice("note", f"{name} is older than its images", text))
    return tuple(found)


def _part(entry: Entry | None) -> str:
    """How many images a dry run covers."""
    images, of = (entry.result.get(name) for name in ("images", "of")) if entry else (None, None)
    return f"{images} of {of} images" if isinstance(images, int) and isinstance(of, int) and images < of else ""


def status(config: RunConfig) -> None:
    """Print the graph, and the command that brings it up to date."""
    run = Run.open(config, clean=False)
    if not run.record.there:
        raise RunError(f"{run.folder.root} is not a run folder: it has no {RUN_FILE}")
    found = states(run)
    width = max(map(len, found))
    for state in found.values():
        show(f"{state.name:<{width}}  {state.condition:<10}  {state.why}".rstrip())
    for name, entry in run.record.artifacts.items():
        if "calibrated" in entry.settled:
            show(f"{name}: {calibrated(entry.settled['calibrated'])}")
        # Some are made on the way to one of the table, such as the edges of an IRN.
        if not any(name == other or name.startswith(f"{other}/") for other in found):
            show(f"{name:<{width}}  {'kept':<10}  of other settings than the run goes on with")
    for split, problems in run.record.content.left_out.items():
        show(f"left out of {split}: {len(problems)} images (first: {problems[0]})")
    gone = {image for name in found for image in run.ledger(name).lines} - {record.id for record in _all(run)}
    if gone:
        show(f"no longer in the data set: {len(gone)} images, such as {min(gone)}")
    asked = {stage.verb for stage in stages.in_run(run.config)}
    todo = [state for state in found.values() if state.condition != "fresh" and state.verb in asked]
    stale = any(state.condition == "stale" and state.verb not in ("evaluate", "report") for state in todo)
    if todo:
        show(f"\nto bring it up to date: advcam run --out {shlex.quote(config.out)}{' --overwrite' * stale}")
    else:
        show("\nall is up to date")
    run.fingerprints.keep()


def _all(run: Run) -> list:
    extra = [run.splits.val, run.splits.train, *run.config.segment.score]
    sets = [run.image_set(name) for name in dict.fromkeys(extra) if name is not None]
    return [*run.records, *(record for images in sets for record in images.records)]


def collect(config: RunConfig) -> None:
    """Close the stage that parts have worked on, up to the next work for parts.

    Raises:
        RunError: no part has worked on any stage, or not all parts are there.
    """
    run = Run.open(replace(config, part=None), clean=False)
    begun = {folder.relative_to(run.folder.root / KEYS) for folder in (run.folder.root / KEYS).rglob("*.parts")}
    names = {folder.with_suffix("").as_posix() for folder in begun}
    for stage in stages.STAGES:
        own = [artifact.name for artifact in stage.load().artifacts(run.config)]
        if any(name == one or name.startswith(f"{one}/") for name in names for one in own):
            run_stages(run.config, (stage.verb,), collecting=True)
            return
    raise RunError(f"{run.folder.root}: no part of a stage is there: run some, such as `advcam attribute --part 1/8`")


def run_stages(config: RunConfig, verbs: Sequence[str], *, collecting: bool = False) -> None:
    """Work through stages on one run folder, which no other command may hold meanwhile, but for parts of a stage."""
    wanted = [BY_VERB[verb] for verb in verbs]
    if config.part is not None and len(wanted) > 1:
        raise SettingsError("--part is for one stage: name it, such as `advcam attribute --part 1/8`")
    if len(wanted) > 1:
        check_ahead(config, verbs)
    root = Path(config.out)
    fresh = not root.exists()
    # Whatever is wrong with the folder is said before anything is written to it.
    Run.open(config, clean=False)
    try:
        with locked(root, shared=config.part is not None):
            _work(config, wanted, collecting)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"what is done is kept in {root}") from None
    finally:
        if fresh and config.part is None:
            remove_if_empty(root)


def check_ahead(config: RunConfig, verbs: Sequence[str]) -> None:
    """Refuse settings that a later stage would refuse after hours of the earlier ones."""
    for verb in verbs:
        BY_VERB[verb].load().check(config)


def _work(config: RunConfig, wanted: Sequence[Stage], collecting: bool) -> None:
    from advcam.pipeline.classify import tell_notices

    run = replace(Run.open(config, clean=config.part is None), collecting=collecting)
    before = run.record.content.settings
    for stage in wanted if len(wanted) > 1 else ():
        stage.load().check_data(run)
    if len(wanted) > 1:
        tell_notices(run)
    made: list[str] = []
    for number, stage in enumerate(wanted):
        refuse_stale_inputs(run, stage, made)
        run = replace(run, goes_on=settled(run, before, wanted[: number + 1]), verb=stage.verb)
        own = list(stage.load().artifacts(config))
        if any(artifact.facts is None for artifact in own):
            run = replace(run, notices=notices(run, [artifact.name for artifact in own]))
        try:
            stage.load().make(run)
        except Paused as pause:
            say(str(pause))
            return
        except StaleError as error:
            # The settings of a command that is refused are not those that the folder goes on with.
            if run.record.there:
                run.record.content.settings = settled(run, before, wanted[:number])
                run.record.write()
            raise told(run, error) from None
        made += [artifact.name for artifact in own]
    run.fingerprints.keep()


def settled(run: Run, before: RunConfig, done: Sequence[Stage]) -> RunConfig:
    """What the folder goes on with: of a stage that this command has not come to, what its results were made with."""
    kept = {
        section: getattr(before, section)
        for stage in stages.STAGES
        if stage not in done
        and any(artifact.name in run.record.artifacts for artifact in stage.load().artifacts(before))
        for section in stage.sections
        if not any(section in other.sections for other in done)
    }
    return replace(saved_form(run.config), **kept)


def told(run: Run, error: StaleError) -> RunError:
    """What would be replaced, and what becomes stale with it."""
    later = [name for name in stages.after(run.config, error.name) if name in run.record.artifacts]
    also = f"; after it {', '.join(later)} {'is' if len(later) == 1 else 'are'} to be made again" if later else ""
    return RunError(f"{error}{also}")


def refuse_stale_inputs(run: Run, stage: Stage, made: Sequence[str]) -> None:
    """Refuse to make anything from a result that is stale; what this command has made is not."""
    own = [artifact for artifact in stage.load().artifacts(run.config) if artifact.facts is not None]
    wanted = {name for artifact in own for name in artifact.inputs if name in run.record.artifacts}
    wanted -= {*made, *(artifact.name for artifact in own)}
    if not wanted:
        return
    for name, state in states(run).items():
        if name in wanted and state.condition == "stale":
            raise RunError(
                f"{run.folder.root}: {stage.verb} would use {name}, which is stale ({state.why}): run `advcam "
                f"{state.verb} --out {shlex.quote(run.config.out)} --overwrite` first"
            )


def remove_if_empty(root: Path) -> None:
    """Delete a folder in which nothing was made: it holds no file but what says so."""
    if not root.is_dir():
        return
    files = {path.relative_to(root).parts[0] for path in root.rglob("*") if path.is_file()}
    if files <= {RUN_FILE, LOCK_FILE, KEYS}:
        remove(root)
