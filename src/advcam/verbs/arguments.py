"""From a command line, recipes and YAML files to settings. Names, types, defaults, help: from the dataclasses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import yaml

from advcam.errors import Help, SettingsError, did_you_mean
from advcam.io.files import found_from
from advcam.io.keys import plain
from advcam.pipeline.config import RunConfig
from advcam.pipeline.record import RUN_FILE, RunRecord
from advcam.pipeline.stages import BY_VERB, STAGES
from advcam.verbs import recipes
from advcam.verbs.help import AS_OF, COMMON, Owned, field_of, help_text, leaves, option_lines
from advcam.verbs.limits import check_limits
from advcam.verbs.recipes import hints, must_be

Settings = TypeVar("Settings")
# Characters of a value that is refused.
LONGEST_SHOWN = 100


@dataclass(frozen=True)
class Words:
    """A command line, taken apart."""

    positional: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    """Names, with underscores, and values as they were typed."""
    config: str | None = None
    help: Literal["", "short", "all", "config"] = ""


def parse(verb: str, words: Sequence[str], description: str = "") -> RunConfig:
    """The settings of a stage's verb, or of ``run``: defaults, or what the run folder goes on with, or a recipe or a
    YAML file; above them the command line.

    Args:
        verb: its name.
        words: the command line after the verb. A first word that is no option names a recipe or a YAML file.
        description: first line of the help.

    Raises:
        SettingsError: an unknown setting, or a value that does not fit.
        Help: after ``--help``.
    """
    found = take_apart(words, RunConfig)
    own = own_sections(verb)
    if len(found.positional) > 1:
        raise SettingsError(
            f"advcam {verb} takes one recipe, not {' and '.join(found.positional)}: name settings with --"
        )
    if found.positional and found.config:
        raise SettingsError(f"give a recipe, {found.positional[0]}, or a file with --config, not both")
    for name, _ in found.settings:
        check_name(verb, name, own)
    source = found.positional[0] if found.positional else found.config
    out = next((value for name, value in reversed(found.settings) if name == "out"), None)
    if source is not None:
        asked = recipes.load(source)
        base = {name: value for name, value in asked.items() if name in (*COMMON, *own) or verb == "run"}
        if verb not in ("run", "demo"):
            # What other stages were made with stays as the folder has it.
            base = recipes.merged(_saved(out or asked.get("out")), base)
    else:
        base = _saved(out)
    if found.help in ("short", "all"):
        config = settings_from(RunConfig, _with(base, found.settings, RunConfig), source)
        raise Help(help_text(verb, description, config, found.help == "all"))
    config = settings_from(RunConfig, _with(base, found.settings, RunConfig), source)
    if found.help == "config":
        raise Help(yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True).rstrip())
    return config


def _saved(out: Any) -> dict[str, Any]:
    """The settings that a run folder goes on with; nothing where there is none."""
    root = Path(str(out or RunConfig.out))
    if not (root / RUN_FILE).exists():
        return {}
    content = RunRecord(root).content
    found = plain(content.settings)
    for name in ("data", "labels", "classes", "classifier"):
        if found[name]:
            found[name] = found_from(content.place, found[name])
    # The folder may have been moved, or be reached from another working folder.
    return found | {"out": str(root)}


def own_sections(verb: str) -> tuple[str, ...]:
    """The names of ``RunConfig`` that a verb takes beside the common ones."""
    verb = AS_OF.get(verb, verb)
    if verb in BY_VERB:
        return (*BY_VERB[verb].sections, *(("classifier",) if verb == "classify" else ()))
    if verb in ("run", "demo"):
        return tuple(field.name for field in fields(RunConfig) if field.name not in COMMON)
    return ()


def check_name(verb: str, name: str, own: Sequence[str]) -> None:
    """Refuse a setting that there is not, or that is another verb's."""
    head = name.split(".")[0]
    if field_of(RunConfig, name) is None:
        known = [known for known, _ in leaves(RunConfig) if known.split(".")[0] in (*COMMON, *own)]
        raise no_setting(verb, name, known)
    if head not in (*COMMON, *own):
        owners = [stage.verb for stage in STAGES if name.split(".")[0] in stage.sections]
        where = f"`advcam {owners[0]}`" if owners else "`advcam classify`"
        raise SettingsError(f"--{name} is a setting of {where}, and {verb} goes by what that has made: leave it out")


def parse_settings(
    kind: type[Settings], verb: str, words: Sequence[str], description: str, positional: str | None = None
) -> Settings:
    """The settings of a verb that has no run folder, from its command line.

    Args:
        kind: the dataclass of its settings.
        verb, words, description: as in ``parse``.
        positional: a setting, of type str, that is named by its place instead of an option.

    Raises:
        SettingsError: an unknown setting, or a value that does not fit.
        Help: after ``--help``.
    """
    found = take_apart(words, kind)
    names = [name for name, _ in leaves(kind)]
    if found.help:
        place = f" {positional.upper()}" if positional else ""
        lines = [f"usage: advcam {verb}{place} [--SETTING VALUE ...]", "", description, ""]
        raise Help("\n".join([*lines, *option_lines(kind, "", kind(), found.help == "all", skip=(positional or "",))]))
    for name, _ in found.settings:
        if name not in names:
            raise no_setting(verb, name, names)
    settings = list(found.settings)
    if len(found.positional) > (positional is not None):
        extra = found.positional[positional is not None]
        raise SettingsError(f"advcam {verb} does not know what to do with {extra!r}: settings begin with --")
    if positional is not None:
        if not found.positional:
            raise SettingsError(f"advcam {verb} needs {positional.upper()}: see `advcam {verb} --help`")
        settings.append((positional, found.positional[0]))
    return settings_from(kind, _with({}, settings, kind), None)


# -- words -----------------------------------------------------------------------------------------------------------


def take_apart(words: Sequence[str], kind: type) -> Words:
    """A command line's positional words and settings; a yes-or-no setting needs no value.

    >>> take_apart(["demo", "--skip-bad", "--out", "a-b", "--climb.steps=3"], RunConfig).settings
    (('skip_bad', 'true'), ('out', 'a-b'), ('climb.steps', '3'))
    """
    positional: list[str] = []
    settings: list[tuple[str, str]] = []
    config, asked_help = None, ""
    flags = {name for name, field in leaves(kind) if hints(field.owner)[field.name] is bool}
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word in ("-h", "--help"):
            asked_help = "short"
        elif word in ("--help-all", "--help_all"):
            asked_help = "all"
        elif word in ("--print_config", "--print-config"):
            asked_help = "config"
        elif not word.startswith("--"):
            positional.append(word)
        else:
            name, equals, value = word[2:].partition("=")
            name = name.replace("-", "_")
            if not equals:
                if name in flags and (not waiting or waiting[0].startswith("-")):
                    value = "true"
                elif waiting and not waiting[0].startswith("--"):
                    value = waiting.pop(0)
                else:
                    raise SettingsError(f"--{name} needs a value behind it, such as --{name} VALUE")
            if name == "config":
                config = value
            else:
                settings.append((name, value))
    return Words(tuple(positional), tuple(settings), config, asked_help)  # type: ignore[arg-type]


def _with(base: Mapping[str, Any], settings: Sequence[tuple[str, str]], kind: type) -> dict[str, Any]:
    """Settings with those of the command line above them."""
    found: dict[str, Any] = dict(base)
    for name, text in settings:
        *sections, last = name.split(".")
        place = found
        for section in sections:
            place[section] = dict(place.get(section) or {})
            place = place[section]
        field = field_of(kind, name)
        assert field is not None
        place[last] = value_of(field, text, f"--{name}")
    return found


def value_of(field: Owned, text: str, name: str) -> Any:
    """A value as it was typed, as the setting's type has it."""
    kind = hints(field.owner)[field.name]
    try:
        value = yaml.load(text, Loader=recipes.Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        value = text
    for candidate in (value, text):
        try:
            return msgspec.convert(candidate, kind)
        except (msgspec.ValidationError, RecursionError) as error:
            if isinstance(error.__cause__, SettingsError):
                raise SettingsError(str(error.__cause__)) from None
    shown = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
    raise SettingsError(f"{name} is {shown}, and must be {must_be(kind)}: see --help")


def settings_from(kind: type[Settings], found: Mapping[str, Any], source: str | None) -> Settings:
    """Settings from nested values, checked."""
    try:
        settings = msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        place = f"{source}: " if source else ""
        if isinstance(error.__cause__, SettingsError):
            raise SettingsError(f"{place}{error.__cause__}") from None
        raise SettingsError(f"{place}{str(error).replace('`', '').replace('$.', '')}: see --help") from None
    except RecursionError:
        raise SettingsError(f"{source}: settings are nested without end: correct the file") from None
    check_limits(settings)
    return settings


def no_setting(verb: str, name: str, known: Sequence[str]) -> SettingsError:
    offer = did_you_mean(name, known, "--{}")
    return SettingsError(f"there is no setting --{name}{offer}: see `advcam {verb} --help`")
