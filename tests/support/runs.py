"""What is in a run folder, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from advcam.pipeline.record import Entry, RunRecord


def entry(config: Any, name: str) -> Entry:
    """What ``run.yaml`` says of an artifact."""
    return RunRecord(Path(config.out)).artifacts[name]


def contents(config: Any, *folders: str) -> dict[str, bytes]:
    """The bytes of all files in some folders of a run, by path."""
    root = Path(config.out)
    found = [path for folder in folders for path in (root / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in found}
