"""Keys: hashes over facts, which tell one state of a thing from another; and how facts differ, in words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any


def plain(value: Any) -> Any:
    """Settings as YAML has them: dataclasses as objects, tuples as lists, paths as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def key_of(facts: Any) -> str:
    """A hash over facts, whatever their order, and whether a whole number came as an integer or, from YAML, as none.

    >>> key_of({"a": 1, "b": (2,)}) == key_of({"b": [2.0], "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(_whole(plain(facts)), sort_keys=True).encode()).hexdigest()[:16]


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """How facts differ, a few words for every leaf.

    >>> differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}})
    ['a.b 1 there, 3 now']
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for key in sorted(old.keys() | new.keys()):
            found += differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
        return found
    return [] if old == new else [f"{name} {old!r} there, {new!r} now"]
