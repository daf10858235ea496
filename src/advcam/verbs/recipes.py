"""Recipes and other YAML files of settings: where they are, what they extend, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import yaml

from advcam.errors import SettingsError, did_you_mean
from advcam.pipeline.config import RunConfig

# A file of settings is longer by mistake only.
MOST_BYTES = 2**20
# A list of nested files of settings.
MOST_EXTENDED = 8
EXTENDS = "extends"
_KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    tuple: 'a list such as "[1, 2]"',
}


class Loader(yaml.SafeLoader):
    """YAML 1.2's numbers: 1e-3 is one. Repeated names are refused, and nothing refers to anything else."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()
            raise yaml.MarkedYAMLError(None, None, "settings do not refer to others with *", event.start_mark)
        return super().compose_node(parent, index)


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"),
    list("-+0123456789."),
)
# The first resolver that fits counts: whole numbers stay whole.
for _first, _resolvers in Loader.yaml_implicit_resolvers.items():
    _resolvers.sort(key=lambda one: one[0] == "tag:yaml.org,2002:float")


def recipes() -> dict[str, Path]:
    """The recipes that come with the package, by name."""
    folder = Path(str(files("advcam") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find(name: str) -> Path:
    """A recipe's file by its name, or a YAML file by its path.

    Raises:
        SettingsError: neither is there.
    """
    known = recipes()
    if name in known:
        return known[name]
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        if (path / "run.yaml").exists():
            raise SettingsError(f"{name} is a run folder: go on with it by --out {name}")
        raise SettingsError(f"{name} is a folder, not a recipe: images are named with --data {name}")
    offer = did_you_mean(name, known)
    raise SettingsError(f"there is no recipe and no file {name!r}{offer}: `advcam recipes` lists the recipes")


def load(name: str) -> dict[str, Any]:
    """The settings of a recipe or a file, with those of the ones that it extends below them.

    Raises:
        SettingsError: the file is not YAML, or names a setting that there is not; says the file, the line and the
            nearest setting.
    """
    return _load(find(name), 0)


def _load(path: Path, depth: int) -> dict[str, Any]:
    if depth > MOST_EXTENDED:
        raise SettingsError(f"{path} extends itself, by way of others: correct its line `{EXTENDS}:`")
    value, node = read(path)
    # The record of a run can be given as well.
    if isinstance(value.get("settings"), dict) and "schema" in value:
        value = value["settings"]
        node = next((below for key, below in node.value if key.value == "settings"), node)
    below: dict[str, Any] = {}
    parent = value.pop(EXTENDS, None)
    if parent is not None:
        if not isinstance(parent, str):
            raise SettingsError(f"{path}, line {line_of(node, [EXTENDS])}: {EXTENDS} names one recipe or file")
        beside = path.parent / parent
        below = _load(beside if beside.is_file() else find(parent), depth + 1)
    check(RunConfig, value, path, node, [])
    return merged(below, value)


def read(path: Path) -> tuple[dict[str, Any], Any]:
    """A YAML file of settings, as values and as nodes that know their lines."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SettingsError(f"{path} is too large for a file of settings: correct the path")
        text = path.read_text(encoding="utf-8")
        value, node = yaml.load(text, Loader=Loader), yaml.compose(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(f"{path}{line}: this is not YAML ({error.problem}): correct the file") from error
    except RecursionError:
        raise SettingsError(f"{path}: settings are nested without end: correct the file") from None
    except (UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"{path} is not YAML in UTF-8 ({reason}): correct the file") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}): correct the path") from error
    if value is None:
        return {}, yaml.MappingNode("tag:yaml.org,2002:map", [])
    if not isinstance(value, dict):
        raise SettingsError(f"{path} holds no settings: it must have lines such as `climb: {{steps: 10}}`")
    return value, node


def check(kind: type, value: Mapping[Any, Any], path: Path, node: Any, place: list[str]) -> None:
    """Refuse settings that there are not, and values that do not fit, naming file and line."""
    for name, found in value.items():
        here = [*place, str(name)]
        told = f"{path}, line {line_of(node, here)}"
        inner = hints(kind).get(name)
        if inner is None:
            offer = did_you_mean(str(name), hints(kind), ".".join([*place, "{}"]))
            raise SettingsError(f"{told}: there is no setting {'.'.join(here)}{offer}")
        if hasattr(inner, "__dataclass_fields__"):
            if not isinstance(found, dict):
                raise SettingsError(
                    f"{told}: {'.'.join(here)} is a section, and is {found!r}: name its settings, such as "
                    f"`{name}: {{{next(iter(inner.__dataclass_fields__))}: ...}}`"
                )
            check(inner, found, path, node, here)
            continue
        try:
            msgspec.convert(found, inner)
        except (msgspec.ValidationError, RecursionError):
            try:
                msgspec.convert(str(found), inner)
                value[name] = str(found)  # type: ignore[index]
            except (msgspec.ValidationError, RecursionError):
                text = repr(found)
                shown = text if len(text) < 80 else f"{text[:80]}..."
                raise SettingsError(f"{told}: {'.'.join(here)} is {shown}, and must be {must_be(inner)}") from None


def line_of(node: Any, place: list[str]) -> int:
    """The line of a setting in its file, from 1."""
    line = node.start_mark.line + 1 if getattr(node, "start_mark", None) else 1
    for name in place:
        for key, below in getattr(node, "value", ()) or ():
            if str(key.value) == name:
                line, node = key.start_mark.line + 1, below
                break
    return line


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested settings, the second above the first.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    found = dict(below)
    for name, value in above.items():
        inner = found.get(name)
        found[name] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return found


@cache
def comments(path: Path) -> dict[str, str]:
    """What a recipe says of itself: its first lines, the cost, the expected figure, the source."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    found: dict[str, str] = {}
    part = "what"
    for line in lines:
        name, colon, rest = line.partition(":")
        if colon and name in ("Cost", "Expected", "Source"):
            part, line = name.lower(), rest.strip()
        found[part] = f"{found[part]} {line}" if part in found else line
    return found


@cache
def hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def must_be(kind: Any) -> str:
    """What a value must be, in words.

    >>> must_be(Literal["a", "b"]), must_be(float)
    ('one of a, b', 'a number')
    """
    origin = get_origin(kind)
    if origin is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(must_be(part) for part in get_args(kind)))
    if kind is NoneType:
        return "null"
    return _KINDS.get(origin or kind, str(kind))
