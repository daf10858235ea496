"""The graph of a run's artifacts: what is fresh, stale, partial or missing, and the stages that change that."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from advcam.errors import RunError, UserError
from advcam.io.files import remove
from advcam.pipeline import stages
from advcam.pipeline.config import RunConfig
from advcam.pipeline.record import LOCK_FILE, RUN_FILE, locked
from advcam.pipeline.run import KEYS, Run, StaleError
from advcam.pipeline.stages import BY_VERB, Artifact, Stage

Condition = Literal["fresh", "stale", "partial", "missing", "unfinished"]


@dataclass(frozen=True)
class State:
    """Of one artifact."""

    name: str
    verb: str
    condition: Condition
    why: str = ""

    @property
    def whole(self) -> bool:
        return self.condition in ("fresh", "partial")


def states(run: Run) -> dict[str, State]:
    """The state of every artifact that the run's settings ask for, in the order in which they are made."""
    found: dict[str, State] = {}
    for name, (artifact, stage) in stages.artifacts(run.config).items():
        found[name] = _state(run, artifact, stage, found)
    return found


def _state(run: Run, artifact: Artifact, stage: Stage, before: dict[str, State]) -> State:
    def state(condition: Condition, why: str = "") -> State:
        return State(artifact.name, stage.verb, condition, why)

    entry = run.record.artifacts.get(artifact.name)
    there = [output for output in artifact.outputs if (run.folder.root / output).exists()]
    if entry is None or not there:
        return state("missing")
    if artifact.facts is None:
        from advcam.pipeline.evaluate import measured
        from advcam.pipeline.keys import plain

        made_from = entry.facts.get("measured") or entry.facts.get("shown")
        older = made_from != plain(measured(run))
        stale = [name for name in artifact.inputs if name in before and before[name].condition == "stale"]
        if older or stale:
            return state("stale", "older than what it shows" if older else f"{stale[0]} is stale")
        return state(
            "fresh" if entry.status == "done" else "unfinished", "" if entry.status == "done" else entry.status
        )
    stale = [name for name in artifact.inputs if name in before and before[name].condition == "stale"]
    try:
        why = run.why_stale(artifact.name, artifact.facts(run), artifact.outputs)
    except UserError as error:
        missing = [name for name in artifact.inputs if name in before and not before[name].whole]
        return state("stale", f"{missing[0]} is {before[missing[0]].condition}" if missing else str(error))
    if why or stale:
        return state("stale", why or f"{stale[0]} is stale")
    if entry.status != "done":
        return state("unfinished", entry.status)
    if artifact.per_image is None:
        return state("fresh")
    keys, ledger = artifact.per_image(run), run.ledger(artifact.name)
    fresh = sum(ledger.key(image) == key for image, key in keys.items())
    other = sum(ledger.key(image) not in (None, key) for image, key in keys.items())
    told = f"{fresh} of {len(run.wanted)} images" + (
        f", {other} made from another picture, label or map" if other else ""
    )
    return (
        state("fresh", told)
        if fresh == len(run.wanted) or fresh == len(keys) == len(_expected(run, artifact))
        else state("partial", told)
    )


def _expected(run: Run, artifact: Artifact) -> Sequence[object]:
    """Images without a class, or without a saliency map to begin with, have no file of some artifacts."""
    entry = run.record.artifacts[artifact.name]
    return run.wanted[len(entry.result.get("missing", ())) :]


def status(config: RunConfig) -> None:
    """Print the graph, and the command that brings it up to date."""
    run = Run.open(config, clean=False)
    if not run.record.there:
        raise RunError(f"{run.folder.root} is not a run folder: it has no {RUN_FILE}")
    found = states(run)
    width = max(map(len, found))
    for state in found.values():
        _line(f"{state.name:<{width}}  {state.condition:<10}  {state.why}".rstrip())
    known = set(found) | {name for name in run.record.artifacts if _part_of(name, found)}
    for name in run.record.artifacts:
        if name not in known:
            _line(f"{name:<{width}}  {'kept':<10}  of other settings than the run goes on with")
    for split, problems in run.record.content.left_out.items():
        _line(f"left out of {split}: {len(problems)} images (first: {problems[0]})")
    gone = {image for name in found for image in run.ledger(name).lines} - {record.id for record in _all(run)}
    if gone:
        _line(f"no longer in the data set: {len(gone)} images, such as {min(gone)}")
    asked = {stage.verb for stage in stages.in_run(run.config)}
    todo = [state for state in found.values() if state.condition != "fresh" and state.verb in asked]
    stale = any(state.condition == "stale" and state.verb not in ("evaluate", "report") for state in todo)
    if todo:
        _line(f"\nto bring it up to date: advcam run --out {shlex.quote(config.out)}{' --overwrite' * stale}")
    else:
        _line("\nall is up to date")
    run.fingerprints.keep()


def _all(run: Run) -> list:
    extra = [run.splits.val, run.splits.train, *run.config.segment.score]
    sets = [run.image_set(name) for name in dict.fromkeys(extra) if name is not None]
    return [*run.records, *(record for images in sets for record in images.records)]


def _part_of(name: str, found: dict[str, State]) -> bool:
    """Whether an artifact is made on the way to one of the table, such as the edges of an IRN."""
    return any(name.startswith(f"{other}/") for other in found)


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")


def run_stages(config: RunConfig, verbs: Sequence[str]) -> None:
    """Work through stages on one run folder, which no other command may hold meanwhile."""
    wanted = [BY_VERB[verb] for verb in verbs]
    for stage in wanted:
        if len(wanted) > 1:
            stage.check(config)
    root = Path(config.out)
    fresh = not root.exists()
    # Whatever is wrong with the folder is said before anything is written to it.
    Run.open(config, clean=False)
    try:
        with locked(root):
            _work(config, wanted)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"what is done is kept in {root}") from None
    finally:
        if fresh:
            remove_if_empty(root)


def _work(config: RunConfig, wanted: Sequence[Stage]) -> None:
    from advcam.pipeline.checks import check_sets

    run = Run.open(config)
    before = run.record.content.settings
    checked = False
    made: list[str] = []
    done: list[Stage] = []
    for stage in wanted:
        if len(wanted) > 1 and not checked:
            checked = True
            check_sets(run)
            for other in wanted:
                other.check_data(run)
        refuse_stale_inputs(run, stage, made)
        done.append(stage)
        run = replace(run, goes_on=settled(run, before, done))
        try:
            stage.make(run)
        except StaleError as error:
            # The settings of a command that is refused are not those that the folder goes on with.
            if run.record.there:
                run.record.content.settings = settled(run, before, done[:-1])
                run.record.write()
            raise told(run, error) from None
        made += [artifact.name for artifact in stage.artifacts(config)]
    run.fingerprints.keep()


def settled(run: Run, before: RunConfig, done: Sequence[Stage]) -> RunConfig:
    """What the folder goes on with: of a stage that this command has not come to, what its results were made with."""
    kept = {
        section: getattr(before, section)
        for stage in stages.STAGES
        if stage not in done and any(artifact.name in run.record.artifacts for artifact in stage.artifacts(before))
        for section in stage.sections
        if not any(section in other.sections for other in done)
    }
    return replace(run.config, **kept, overwrite=False, limit=None)


def told(run: Run, error: StaleError) -> RunError:
    """What would be replaced, and what becomes stale with it."""
    later = [name for name in stages.after(run.config, error.name) if name in run.record.artifacts]
    also = f"; after it {', '.join(later)} {'is' if len(later) == 1 else 'are'} to be made again" if later else ""
    return RunError(f"{error}{also}")


def refuse_stale_inputs(run: Run, stage: Stage, made: Sequence[str]) -> None:
    """Refuse to make anything from a result that is stale; what this command has made is not."""
    inputs = {
        name
        for artifact in stage.artifacts(run.config)
        if artifact.facts is not None
        for name in artifact.inputs
        if name not in made and name in run.record.artifacts
    }
    own = {artifact.name for artifact in stage.artifacts(run.config)}
    if not inputs - own:
        return
    found = states(run)
    for name in found:
        if name in inputs - own and found[name].condition == "stale":
            raise RunError(
                f"{run.folder.root}: {stage.verb} would use {name}, which is stale ({found[name].why}): run `advcam "
                f"{found[name].verb} --out {shlex.quote(run.config.out)} --overwrite` first"
            )


def remove_if_empty(root: Path) -> None:
    """Delete a folder in which nothing was made: it holds no file but what says so."""
    if not root.is_dir():
        return
    files = {path.relative_to(root).parts[0] for path in root.rglob("*") if path.is_file()}
    if files <= {RUN_FILE, LOCK_FILE, KEYS}:
        remove(root)


def check_ahead(config: RunConfig, verbs: Sequence[str]) -> None:
    """Refuse settings that a later stage would refuse after hours of the earlier ones."""
    for verb in verbs:
        BY_VERB[verb].check(config)
