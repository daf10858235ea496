"""What a run folder says about itself: how each stage was made, with what, and how far it got."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from advcam import __version__
from advcam.data.files import read_json, write_json
from advcam.errors import RunError
from advcam.pipeline.settings import MANIFEST_FILE
from advcam.training.settings import WITHOUT_EFFECT

SCHEMA = 1
PACKAGES = ("torch", "torchvision", "timm", "lightning", "numpy", "numba", "pillow")


class Manifest:
    """``manifest.json`` of one run folder. Every change is written at once, whole.

    Raises:
        RunError: the folder holds another schema, or cannot be written.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.path = run / MANIFEST_FILE
        if self.path.exists():
            self.content: dict[str, Any] = read_json(self.path)
            if self.content.get("schema") != SCHEMA:
                raise RunError(
                    f"{self.path} has schema {self.content.get('schema')}, and this version reads {SCHEMA}: "
                    "use the version that made it, or choose another --out"
                )
        else:
            self.content = {"schema": SCHEMA, "created": now(), "stages": {}}

    @property
    def stages(self) -> dict[str, Any]:
        return self.content["stages"]

    def describe(self, config: Any) -> None:
        """Note the resolved configuration and what it runs on."""
        self.content |= {"config": plain(config), "versions": versions(), "git": git_state(), "platform": machine()}
        self.write()

    def write(self) -> None:
        write_json(self.path, self.content)

    def differences(self, stage: str, settings: Any, partly: bool = False) -> list[str]:
        """How the settings of a stage differ from those its outputs were made with; empty for a new stage.

        ``partly``: only what ``settings`` names is compared.
        """
        known = self.stages.get(stage)
        return [] if known is None else differences(known["settings"], plain(settings), partly=partly)

    @contextmanager
    def stage(self, name: str, settings: Any, keep: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
        """Run a stage: its entry is given to the block to add to, and says afterwards whether it was done.

        Of an earlier entry, the facts that ``keep`` names go on into the new one.
        """
        started = time.monotonic()
        earlier = self.stages.get(name, {})
        entry = {"status": "running", "started": now(), "settings": plain(settings)}
        entry |= {fact: earlier[fact] for fact in keep if fact in earlier}
        spent = earlier.get("seconds", 0.0)
        self.stages[name] = entry
        self.write()
        try:
            yield entry
            entry["status"] = "done"
        except KeyboardInterrupt:
            entry["status"] = "interrupted"
            raise
        except BaseException:
            entry["status"] = "failed"
            raise
        finally:
            entry["seconds"] = round(spent + time.monotonic() - started, 2)
            self.write()


def plain(value: Any) -> Any:
    """Settings as JSON has them: dataclasses as objects, tuples as lists, paths as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def differences(old: Any, new: Any, name: str = "", *, partly: bool = False) -> list[str]:
    """Sentences ``name is old, and was asked to be new`` for every leaf that differs and that numbers depend on.

    ``partly``: of those in ``new`` alone.

    >>> differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, partly=True)
    ['a.b 1 there, 3 now']
    """
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        keys = new.keys() if partly else old.keys() | new.keys()
        for key in sorted(set(keys).difference(WITHOUT_EFFECT)):
            found += differences(old.get(key), new.get(key), f"{name}.{key}" if name else key, partly=partly)
        return found
    return [] if old == new else [f"{name} {old!r} there, {new!r} now"]


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def versions() -> dict[str, str]:
    found = {"advcam": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str]:
    return {"system": platform.platform(), "processor": platform.processor() or platform.machine()}


def git_state() -> dict[str, Any] | None:
    """Commit and cleanness of the checkout that this package runs from; None for an installed one."""
    source = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            answer = subprocess.run(("git", "-C", str(source), *arguments), capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    if git("ls-files", "--error-unmatch", str(Path(__file__).resolve())) is None:
        return None
    commit = git("rev-parse", "HEAD")
    return None if commit is None else {"commit": commit, "clean": git("status", "--porcelain") == ""}
