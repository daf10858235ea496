"""From a command line, recipes and YAML files to a ``RunConfig``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import TypeVar, get_type_hints

import jsonargparse

from advcam.errors import SettingsError
from advcam.pipeline.config import RunConfig
from advcam.pipeline.settings import CONFIG_FILE

Settings = TypeVar("Settings")
# What the parser calls a type, and what a person does.
_KINDS = {
    "class 'int'": "a whole number",
    "class 'float'": "a number",
    "class 'bool'": "true or false",
    "class 'tuple'": 'a list such as "[1.0, 2.0]"',
    "class 'str'": "text",
}


def parse(verb: str, words: Sequence[str], *, goes_on: bool, description: str) -> RunConfig:
    """The configuration of a verb: defaults, then a recipe or a YAML file, then the command line.

    Args:
        verb: its name, for the help.
        words: the command line after the verb. A first word that is no option names a recipe or a YAML file.
        goes_on: whether a run folder's own configuration takes the place of the defaults.
        description: first line of the help.

    Raises:
        SettingsError: an unknown setting, or a value that does not fit.
        SystemExit: after ``--help``.
    """
    words = spelled_out(words)
    positional = [words.pop(0)] if words and not words[0].startswith("-") else []
    recipe = [] if not positional else ["--config", str(find_recipe(positional[0]))]
    parser = parser_of(verb, description)
    saved = Path(_option(words, "--out") or RunConfig.out) / CONFIG_FILE
    if goes_on and saved.exists() and not recipe and "--config" not in words:
        recipe = ["--config", str(saved)]
    try:
        namespace = parser.instantiate(parser.parse_args([*recipe, *words]))
    except jsonargparse.ArgumentError as error:
        raise SettingsError(explain(str(error), parser)) from error
    return RunConfig(**{field.name: getattr(namespace, field.name) for field in fields(RunConfig)})


def parser_of(verb: str, description: str) -> jsonargparse.ArgumentParser:
    """A parser of all settings; the names, types, defaults and help come from the dataclasses."""
    parser = _empty_parser(verb, description)
    parser.add_argument("--config", action="config", help="a YAML file with settings; --print_config writes one")
    parser.add_class_arguments(RunConfig, nested_key=None)
    return parser


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
    """
    parser = _empty_parser(verb, description)
    skipped: set[str | int] = set() if positional is None else {positional}
    parser.add_class_arguments(kind, nested_key=None, skip=skipped)
    if positional is not None:
        parser.add_argument(positional, type=str)
    try:
        return kind(**vars(parser.parse_args(spelled_out(words, kind))))
    except jsonargparse.ArgumentError as error:
        raise SettingsError(explain(str(error), parser)) from error


def spelled_out(words: Sequence[str], kind: type = RunConfig) -> list[str]:
    """A command line with underscores in its settings' names, and a value behind every yes-or-no setting.

    >>> spelled_out(["--skip-bad", "--out", "a-b", "--refine.baseline"])
    ['--skip_bad', 'true', '--out', 'a-b', '--refine.baseline', 'true']
    """
    flags = set(_flags(kind))
    spelled: list[str] = []
    for index, word in enumerate(words):
        if not word.startswith("--"):
            spelled.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        name = name.replace("-", "_")
        spelled.append(f"--{name}{equals}{value}")
        following = words[index + 1] if index + 1 < len(words) else "--"
        if name in flags and not equals and following.startswith("-"):
            spelled.append("true")
    return spelled


def _flags(kind: type, prefix: str = "") -> Iterator[str]:
    """The names of all yes-or-no settings of a dataclass and of those within it."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        if hints[field.name] is bool:
            yield prefix + field.name
        elif is_dataclass(hints[field.name]):
            yield from _flags(hints[field.name], f"{prefix}{field.name}.")


def _empty_parser(verb: str, description: str) -> jsonargparse.ArgumentParser:
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    return jsonargparse.ArgumentParser(
        prog=f"advcam {verb}", description=description, exit_on_error=False, allow_abbrev=False
    )


def config_from_file(path: Path) -> RunConfig:
    """The configuration that a YAML file alone gives, as the tests parse every recipe."""
    return parse("run", ["--config", str(path)], goes_on=False, description="")


def recipes() -> dict[str, Path]:
    """The recipes that come with the package, by name."""
    folder = Path(str(files("advcam") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_recipe(name: str) -> Path:
    """A recipe's file by its name, or a YAML file by its path.

    Raises:
        SettingsError: neither is there.
    """
    known = recipes()
    if name in known:
        return known[name]
    if Path(name).is_file():
        return Path(name)
    close = get_close_matches(name, known, n=1)
    hint = f", did you mean {close[0]}?" if close else ""
    raise SettingsError(f"there is no recipe and no file {name!r}{hint}: the recipes are {', '.join(known)}")


def explain(message: str, parser: jsonargparse.ArgumentParser) -> str:
    """A parser's complaint as one sentence, with the nearest setting where one is unknown."""
    flat = " ".join(message.split())
    misfit = re.search(r'Parser key "([\w.]+)":.*Got value: (.*)$|Parser key "([\w.]+)":.*Given value: (.*)$', flat)
    if misfit:
        name, value = (misfit[1] or misfit[3]), (misfit[2] or misfit[4])
        flat = flat.split(" Errors: ")[0]
        kind = " or ".join(dict.fromkeys(word for pattern, word in _KINDS.items() if pattern in flat))
        options = ", ".join(re.findall(r"'([^']*)'", "".join(re.findall(r"Literal\[([^\]]*)\]", flat))))
        asked = " or ".join(part for part in (kind, f"one of {options}" if options else "") if part)
        return f"--{name} is {value.rstrip('.')}, and must be {asked}: see --help"
    unknown = [word for word in flat.split() if word.startswith("--")] if "unrecognized" in flat.lower() else []
    if not unknown:
        return f"{flat.rstrip('.')}: see --help"
    known = [option for action in parser._actions for option in action.option_strings]
    close = get_close_matches(unknown[0].split("=")[0], known, n=1)
    hint = f", did you mean {close[0]}?" if close else ""
    return f"there is no setting {unknown[0].split('=')[0]}{hint}: see --help"


def _option(words: Sequence[str], name: str) -> str | None:
    """The value of an option before the command line is parsed."""
    for index, word in enumerate(words):
        if word == name and index + 1 < len(words):
            return words[index + 1]
        if word.startswith(f"{name}="):
            return word.split("=", 1)[1]
    return None
