"""YAML files that the project wrote, read back: values of a type, and nothing that builds objects or grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, overload

import msgspec
import yaml

from advcam.errors import RunError

Kind = TypeVar("Kind")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Deeper than any file of ours; libyaml goes on to 10,000, and Python's stack ends before.
_DEEPEST = 100


@overload
def read_yaml(path: Path, kind: type[Kind], fix: str) -> Kind: ...
@overload
def read_yaml(path: Path, kind: Any, fix: str) -> Any: ...
def read_yaml(path: Path, kind: Any, fix: str) -> Any:
    """Read a YAML file that has the fields of a type.

    Args:
        fix: what to do about a damaged file; the end of the error's sentence.

    Raises:
        RunError: the file cannot be read, is not YAML, or is something else.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "a.yaml")
    >>> _ = path.write_text("names: [cat, dog]")
    >>> read_yaml(path, dict[str, list[str]], "write it again")
    {'names': ['cat', 'dog']}
    """
    try:
        text = path.read_bytes()
        _refuse_growth(text)
        return msgspec.convert(yaml.load(text, Loader=_LOADER), kind)
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}): fix its permissions, or restore it") from error
    except (yaml.YAMLError, msgspec.ValidationError, ArithmeticError, TypeError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged ({' '.join(str(error).split())}): {fix}") from error


def _refuse_growth(text: bytes) -> None:
    """ValueError where a file refers to parts of itself, which can make gigabytes of a few lines, or nests too deep."""
    depth = 0
    if b"*" in text or text.count(b"[") + text.count(b"{") > _DEEPEST:
        for event in yaml.parse(text, Loader=_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or depth > _DEEPEST:
                raise ValueError("it refers to parts of itself, or is nested without end")
