"""Settings as their dataclasses have them, and the help of verbs: from the fields and what stands below them."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any

import yaml

from advcam.io.keys import plain
from advcam.pipeline.config import RunConfig
from advcam.pipeline.stages import BY_VERB, STAGES
from advcam.verbs.recipes import hints, must_be

# Lines of a verb's help, at most.
HELP_LINES = 60
# Settings that every stage has.
COMMON = (
    "data", "out", "labels", "classes", "splits", "device", "processes", "engine", "ray_address", "part", "limit",
    "overwrite", "skip_bad",
)  # fmt: skip
# Verbs that are no stage and take the settings of one.
AS_OF = {"tune": "refine"}


@dataclass(frozen=True)
class Owned:
    """A field of a dataclass of settings."""

    owner: type
    name: str


def leaves(kind: type, prefix: str = "") -> Iterator[tuple[str, Owned]]:
    """All settings of a dataclass and of those within it, by name."""
    for field in fields(kind):
        inner = hints(kind)[field.name]
        if is_dataclass(inner):
            yield from leaves(inner, f"{prefix}{field.name}.")  # type: ignore[arg-type]
        else:
            yield prefix + field.name, Owned(kind, field.name)


def field_of(kind: type, name: str) -> Owned | None:
    """A setting by its name."""
    return _leaves(kind).get(name)


@cache
def _leaves(kind: type) -> dict[str, Owned]:
    return dict(leaves(kind))


@cache
def documented(kind: type) -> dict[str, str]:
    """What stands below each field of a dataclass, its own and those it inherits."""
    found: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        if not is_dataclass(owner):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        assert isinstance(body, ast.ClassDef)
        for statement, following in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
                and isinstance(following.value.value, str)
            ):
                found[statement.target.id] = " ".join(following.value.value.split())
    return found


def help_text(verb: str, description: str, config: RunConfig, everything: bool) -> str:
    """The help of a verb on a run folder: its own settings, in at most ``HELP_LINES`` lines unless all are wanted."""
    recipe = "[RECIPE | FILE.yaml] " if verb == "run" else ""
    lines = [f"usage: advcam {verb} {recipe}[--out RUN] [--data DATA] [--SETTING VALUE ...]", "", description, ""]
    if verb in ("run", "demo"):
        sections = [field.name for field in fields(RunConfig) if is_dataclass(hints(RunConfig)[field.name])]
        shown = [] if not everything else sections
    else:
        own = BY_VERB.get(AS_OF.get(verb, verb))
        shown = [] if own is None else list(own.sections if everything or own.shown is None else own.shown(config))
    common = [name for name in COMMON if name != "splits"] + (["classifier"] if verb in ("run", "classify") else [])
    lines += option_lines(RunConfig, "", config, everything, only=common)
    if everything:
        lines += option_lines(RunConfig, "", config, True, only=["splits"])
    tail = []
    if verb == "run" and not everything:
        for stage in STAGES:
            tail.append(f"  {stage.verb:<10} --{', --'.join(f'{name}.*' for name in stage.sections)}")
        tail = ["", "settings of each stage (`advcam STAGE --help` lists them):", *tail]
        tail += ["", "`advcam recipes` lists the recipes; `advcam run --out RUN` goes on with a run."]
    elif not everything:
        tail = ["", f"`advcam {verb} --help-all` has all settings, those of splits and other methods too, in full."]
    if not everything:
        room = HELP_LINES - len(lines) - len(tail) - 2 - 2 * len(shown)
        listed = {name: option_lines(RunConfig, "", config, False, only=[name]) for name in shown}
        while sum(map(len, listed.values())) > room:
            longest = max(listed, key=lambda name: len(listed[name]))
            listed[longest] = listed[longest][:-1]
        for name in shown:
            count = sum(leaf.startswith(f"{name}.") for leaf, _ in leaves(RunConfig)) - len(listed[name])
            more = f" ({count} more: --help-all)" if count else ""
            lines += ["", f"{documented(RunConfig)[name].rstrip('.')}{more}:"[:100], *listed[name]]
    else:
        for name in shown:
            lines += ["", documented(RunConfig)[name], *option_lines(RunConfig, "", config, True, only=[name])]
    tail += ["", f"`advcam {verb} --print_config` writes the settings as YAML, --config FILE.yaml reads them."]
    return "\n".join([*lines, *tail])


def option_lines(
    kind: type, prefix: str, values: Any, full: bool, only: Sequence[str] | None = None, skip: Sequence[str] = ()
) -> list[str]:
    """A line for each setting, with its value and what it is; its whole text where ``full``."""
    width = max(80, min(120, shutil.get_terminal_size((110, 24)).columns))
    lines: list[str] = []
    for field in fields(kind):
        if (only is not None and field.name not in only) or field.name in skip:
            continue
        inner, value = hints(kind)[field.name], getattr(values, field.name)
        if is_dataclass(inner):
            lines += option_lines(inner, f"{prefix}{field.name}.", value, full)  # type: ignore[arg-type]
            continue
        text = documented(kind).get(field.name, "")
        head = f"  --{prefix}{field.name} {typed(value)}"
        if full:
            choices = must_be(inner)
            lines += [
                f"{head}   ({choices})",
                *textwrap.wrap(text, width - 8, initial_indent=" " * 6, subsequent_indent=" " * 6),
            ]
        else:
            first = re.split(r"\.\s+(?=[A-Z\"])", text)[0].rstrip(".")
            line = f"{head:<36} {first}"
            lines.append(line if len(line) <= width else line[: width - 1] + "…")
    return lines


def typed(value: Any) -> str:
    """A value as it is typed."""
    if isinstance(value, str):
        return value
    text = yaml.safe_dump(plain(value), default_flow_style=True, width=1000).strip()
    return text.removesuffix("...").strip()
