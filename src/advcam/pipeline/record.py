"""Where everything of a run lies; ``run.yaml``, what each artifact was made with; and the lock beside it."""

from __future__ import annotations

import platform
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from advcam import __version__
from advcam.errors import RunError
from advcam.io.files import write_text
from advcam.io.keys import plain
from advcam.io.lock import command, now
from advcam.io.yaml import read_yaml
from advcam.pipeline.config import RunConfig

RUN_FILE = "run.yaml"
SCHEMA = 2
PACKAGES = ("torch", "torchvision", "timm", "lightning-fabric", "numpy", "numba", "pillow")


# Of the files of artifacts whose names end so; all others are PNG.
SUFFIXES = {
    **dict.fromkeys(("maps", "scores", "irn/edges", "psa/labels", "instances"), ".npz"),
    **dict.fromkeys(("overlays", "box_overlays"), ".jpg"),
    "boxes/images": ".json",
}


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run (section 4 of the design). Ids keep their sub-folders."""

    root: Path

    def file(self, name: str, image: str) -> Path:
        """An image's file of an artifact, such as "advcam/masks"."""
        suffix = next((suffix for end, suffix in SUFFIXES.items() if f"/{name}".endswith(f"/{end}")), ".png")
        return self.root / name / f"{image}{suffix}"

    @property
    def classifier(self) -> Path:
        return self.root / "classifier"

    @property
    def segmentation(self) -> Path:
        return self.root / "segmentation"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.json"

    @property
    def flagged(self) -> Path:
        return self.root / "flagged.csv"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def boxes(self) -> Path:
        """Boxes of all images as a table; COCO's JSON lies beside it."""
        return self.root / "boxes.csv"


class Paused(Exception):
    """The work that one command does ends here, and nothing is wrong: others, or a later command, go on with it."""


class Entry(msgspec.Struct, omit_defaults=True):
    """How one artifact was made."""

    key: str
    facts: dict[str, Any]
    """All that its numbers depend on."""
    status: Literal["running", "done", "interrupted", "failed"] = "running"
    content: str | None = None
    """A digest of what came out, where later artifacts depend on that: a network's weights."""
    started: str = ""
    seconds: float = 0.0
    command: str = ""
    settled: dict[str, Any] = {}
    """What was settled when it was begun and holds to its end, such as the size of the batches."""
    result: dict[str, Any] = {}
    """What there is to say of it."""


class Content(msgspec.Struct):
    """All of ``run.yaml``."""

    schema: int
    created: str
    settings: RunConfig
    """What the next command goes on with: the settings of each stage as it was last begun."""
    place: str = ""
    """The working folder that relative paths of the settings start from."""
    versions: dict[str, str] = {}
    platform: dict[str, str] = {}
    git: dict[str, Any] | None = None
    left_out: dict[str, list[str]] = {}
    """Images that are passed over, and why, by split."""
    artifacts: dict[str, Entry] = {}


class RunRecord:
    """``run.yaml`` of one run folder. Every change is written at once, whole.

    Raises:
        RunError: it is of another version, or damaged.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / RUN_FILE
        self.there = self.path.exists()
        if not self.there and (root / "manifest.json").exists() and (root / "config.yaml").exists():
            raise RunError(
                f"{root} was made by version 0.1, whose results do not say what they were made from: choose another "
                "--out, and take over its trained classifier with --classifier " + shlex.quote(str(root / "classifier"))
            )
        self.content = _read(self.path) if self.there else Content(SCHEMA, now(), RunConfig())

    def reload(self) -> None:
        """Take over what another process wrote."""
        if self.path.exists():
            self.content, self.there = _read(self.path), True

    @property
    def artifacts(self) -> dict[str, Entry]:
        return self.content.artifacts

    def done(self, name: str) -> Entry | None:
        """The entry of an artifact that is whole."""
        entry = self.artifacts.get(name)
        return entry if entry is not None and entry.status == "done" else None

    def write(self) -> None:
        value = msgspec.to_builtins(self.content) | {"settings": plain(self.content.settings)}
        write_text(self.path, yaml.dump(value, Dumper=_DUMPER, sort_keys=False, allow_unicode=True))
        self.there = True

    def describe(self, settings: RunConfig) -> None:
        """Note what the run goes on with and what it runs on."""
        self.content.settings, self.content.place = settings, str(Path.cwd())
        self.content.versions, self.content.platform, self.content.git = versions(), machine(), git_state()

    @contextmanager
    def making(self, name: str, entry: Entry) -> Iterator[Entry]:
        """Work on an artifact: its entry is given to the block to add to, and says afterwards whether it was done."""
        started = time.monotonic()
        entry.status, entry.started, entry.command = "running", now(), command()
        self.artifacts[name] = entry
        self.write()
        try:
            yield entry
            entry.status = "done"
        except (KeyboardInterrupt, SystemExit):
            entry.status = "interrupted"
            raise
        except Paused:
            raise
        except BaseException:
            entry.status = "failed"
            raise
        finally:
            entry.seconds = round(entry.seconds + time.monotonic() - started, 2)
            self.write()


_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def _read(path: Path) -> Content:
    fix = (
        "restore it from a copy, or choose another --out; the trained classifier can be taken over with --classifier "
        + shlex.quote(str(path.parent / "classifier"))
    )
    value = read_yaml(path, dict[str, Any], fix)
    found = value.get("schema")
    if isinstance(found, int) and found > SCHEMA:
        raise RunError(f"{path} has schema {found}, and this version reads {SCHEMA}: update advcam")
    try:
        return msgspec.convert(value, Content)
    except msgspec.ValidationError as error:
        raise RunError(f"{path} is damaged ({error}): {fix}") from error


def versions() -> dict[str, str]:
    found = {"advcam": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str]:
    return {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "host": socket.gethostname(),
    }


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
