"""Commands that are killed at random moments, over all stages, end in the bytes of an undisturbed run.

    python benchmarks/kills.py                        30 SIGKILLs, some ten minutes of one core
    python benchmarks/kills.py --kills 5 --chain psa  fewer, with PSA in place of IRN
    python benchmarks/kills.py --kills 0 --keep runs  the undisturbed run alone, to compare two versions of the program

The data are generated. `irn`: classifier, saliency maps, maps, masks by IRN, objects, DeepLab-v2 on the masks, boxes,
figures, report. `psa` and `cct` (with `advcam predict` after it) take these ways instead. A command is killed while it
works on an artifact that is drawn, at a moment drawn evenly over the time that this took; the same command then goes on
in the same folder, and the run is compared at its end. Expected: all files that hold numbers are equal, exit code 0.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import multiprocessing
import os
import pkgutil
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

NETWORK = {"architecture": "timm/test_resnet", "weights": None, "output_stride": 16}
FIT = {"batch_size": 4, "workers": 0, "checkpoint_seconds": 0.1}
BASE = {
    "device": "cpu",
    "skip_bad": True,
    "splits": {"train": "train", "val": "val", "maps": ["train", "val"], "tune": "val"},
    "backbone": NETWORK,
    "classify": FIT
    | {"epochs": 3, "optimizer": "adamw", "lr": 0.004, "head_lr_factor": 1.0, "freeze": None}
    | {"freeze_batch_norm": False, "long_side": [80, 96], "crop": 80, "val_long_side": 96},
    "attribute": {"scales": [0.5, 1.0], "batch_pixels": 40000},
    "climb": {"steps": 4},
    "refine": {"baseline": True},
    "localize": {"in_run": True},
    "report": {"gallery": 3, "strips": 1},
}
DEEPLAB = {"method": "deeplab", "weights": "classifier", "output_stride": 16, "rates": [1, 2], "pyramid": []} | {
    "architecture": NETWORK["architecture"],
    "updates": 6,
    "crop": 64,
    "freeze_batch_norm": False,
    **FIT,
}
CHAINS = {
    "irn": {
        "refine": {"method": "irn", "baseline": True},
        "irn": FIT | {"epochs": 3, "features": "classifier", "crop": 64, "radius": 4},
        "irn_walk": {"exp_times": 4},
        "instances": {"method": "irn"},
        "segment": DEEPLAB,
    },
    "psa": {
        "refine": {"method": "psa", "baseline": False},
        "psa": FIT | {"architecture": None, "epochs": 2, "crop": 64, "radius": 4},
    },
    "cct": {
        "segment": {"method": "cct", "multi_scale": True},
        "cct": FIT
        | {"architecture": NETWORK["architecture"], "weights": None, "output_stride": 16, "psp_channels": 8}
        | {"labelled": 6, "updates": 4, "crop": 48, "long_side": [64, 96]},
    },
}
# Seconds that helpers outlived the killed.
LASTED = [0.0]
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Files that say when and how long, or that only a stopped command has use for.
WITHOUT_NUMBERS = {
    "run.yaml",
    "run.lock",
    "report.html",
    "log.csv",
    "validation.csv",
    "training.pt",
    "predict.json",
} | {
    "keys",
    "tensorboard",
}


def write_data(folder: Path) -> None:
    """Scenes in VOC's layout, their objects as saliency maps beside them, and pictures to predict."""
    advcam("scenes", "--out", folder, "--train", 10, "--val", 5, "--test", 3, "--size", 96)
    for path in sorted((folder / "SegmentationClass").glob("*.png")):
        with Image.open(path) as mask:
            shown = (np.asarray(mask) > 0) * np.uint8(255)
        target = folder.parent / "saliency" / path.name
        target.parent.mkdir(exist_ok=True)
        Image.fromarray(shown).save(target)


def commands(chain: str, root: Path, out: Path, helpers: int = 0) -> list[list[str]]:
    """The command lines of a chain, one after the other; with so many processes, and as many to load for a training."""
    told = {**BASE, **CHAINS[chain], "data": str(root / "scenes"), "out": str(out), "processes": max(1, helpers)}
    told |= {
        name: {**section, "workers": helpers}
        for name, section in told.items()
        if isinstance(section, dict) and "workers" in section
    }
    if chain == "irn":
        told["saliency"] = {"source": "folder", "folder": str(root / "saliency")}
    (root / f"{chain}.yaml").write_text(yaml.safe_dump(told))
    found = [["run", str(root / f"{chain}.yaml"), "--out", str(out)]]
    if chain == "cct":
        images = root / "scenes" / "JPEGImages"
        found.append(["predict", str(images), "--model", str(out), "--out", f"{out} predicted", "--device", "cpu"])
    return found


class Command:
    """A command at work. ``--warm`` forks it, and its helpers, from this process, which has imported what commands do:
    a tenth of the cost of a new interpreter, and the same code from the command line on."""

    warm = False

    def __init__(self, words: Sequence[str]) -> None:
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.code: int | None = None
        sys.stdout.flush()
        if not self.warm:
            line = [sys.executable, "-m", "advcam", *words]
            self.process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=self.said, start_new_session=True)
            self.pid = self.process.pid
            return
        self.pid = os.fork()
        if self.pid:
            return
        code = 1
        try:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(self.said.fileno(), 2)
            multiprocessing.get_context = lambda method=None, own=multiprocessing.get_context: own("fork")
            code = importlib.import_module("advcam.cli").main(words)
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    @classmethod
    def warm_up(cls) -> None:
        """Import all that commands import; no thread may have begun, since what is forked has the one."""
        cls.warm = True
        for module in pkgutil.walk_packages(importlib.import_module("advcam").__path__, "advcam."):
            if module.name.split(".")[1] not in ("__main__", "app", "bench"):
                with contextlib.suppress(ImportError):
                    importlib.import_module(module.name)

    def poll(self) -> int | None:
        """The exit code, once it has ended; that of a signal is negative."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def wait(self) -> int:
        while self.poll() is None:
            time.sleep(0.02)
        return self.code  # type: ignore[return-value]

    def kill(self) -> float:
        """Kill it; the seconds until its helpers were gone, too."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait()
        began = time.monotonic()
        while time.monotonic() - began < 20 and self.session():
            time.sleep(0.02)
        return time.monotonic() - began

    def session(self) -> list[str]:
        """Processes of the command that are still there."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.pid and state not in "ZX":
                    found.append(stat.parent.name)
        return found

    def stderr(self) -> str:
        self.said.seek(0)
        return self.said.read()


def advcam(*words: object) -> None:
    command = Command([str(word) for word in words])
    if command.wait():
        sys.exit(f"advcam {words} failed: {command.stderr()[-800:]}")


def digests(*folders: Path) -> dict[str, str]:
    """A hash of every file that holds numbers."""
    return {
        f"{folder.name}/{path.relative_to(folder)}": hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not WITHOUT_NUMBERS & set(path.relative_to(folder).parts)
    }


def entries(out: Path) -> dict[str, dict[str, Any]]:
    """What a run folder says of each artifact, in the order in which they were begun."""
    try:
        return yaml.load((out / "run.yaml").read_text(), Loader=LOADER)["artifacts"]
    except (OSError, yaml.YAMLError, TypeError):
        return {}


def changed_at(out: Path) -> int:
    try:
        return (out / "run.yaml").stat().st_mtime_ns
    except OSError:
        return 0


def killed(words: Sequence[str], out: Path, target: str = "", delay: float = 0.0) -> str:
    """Start a command and, so many seconds after it has begun an artifact, kill it; what it was at then, and nothing
    where it ended before, and well."""
    command = Command(words)
    moment = seen = None
    while command.poll() is None:
        one = None
        if target and moment is None and (changed := changed_at(out)) != seen:
            one, seen = entries(out).get(target), changed
        if one is not None and one.get("status", "running") == "running":
            moment = time.monotonic() + delay
        if moment is not None and time.monotonic() >= moment:
            LASTED.append(command.kill())
            found = [name for name, one in entries(out).items() if one.get("status", "running") == "running"]
            return found[0] if found else "between stages"
        time.sleep(0.005 if target else 0.05)
    if command.code:
        sys.exit(f"advcam {' '.join(words)} failed: {command.stderr()[-800:]}")
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--chain", choices=CHAINS, default="irn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--helpers", type=int, default=0, help="processes, and processes that load for a training")
    parser.add_argument("--warm", action="store_true", help="commands are forked from a process that has imported all")
    parser.add_argument("--keep", type=Path, help="a folder for data and runs, which is kept")
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
    if asked.warm:
        Command.warm_up()
    with tempfile.TemporaryDirectory() as temporary:
        root = (asked.keep or Path(temporary)).resolve()
        return series(asked.chain, asked.kills, random.Random(asked.seed), root, asked.helpers)


def series(chain: str, kills: int, draw: random.Random, root: Path, helpers: int = 0) -> int:
    """An undisturbed run of one process, and runs that are killed so often altogether; 1 where they differ."""
    root.mkdir(parents=True, exist_ok=True)
    if not (root / "scenes").exists():
        write_data(root / "scenes")
    whole, out = root / chain / "whole", root / chain / "killed"
    began = time.monotonic()
    for words in commands(chain, root, whole):
        killed(words, whole)
    wanted, lasted = digests(*whole.parent.glob("whole*")), entries(whole)
    print(f"{chain}: {len(wanted)} files, undisturbed in {time.monotonic() - began:.0f} s", flush=True)
    hit: Counter[str] = Counter()
    wrong = 0
    number = 0
    while hit.total() < kills:
        # Each artifact is begun once more after a kill, so the next kill is at a later one.
        count = min(len(lasted), kills - hit.total())
        targets = sorted(draw.sample(list(lasted), count), key=list(lasted).index)
        for words in commands(chain, root, out, helpers):
            for target in targets if words[0] == "run" else ():
                at = killed(words, out, target, draw.uniform(0, float(lasted[target].get("seconds", 0)) + 0.2))
                if at:
                    hit[at] += 1
            killed(words, out)
        found = digests(*out.parent.glob("killed*"))
        found = {name.replace("killed", "whole", 1): value for name, value in found.items()}
        differing = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
        wrong, number = wrong + len(differing), number + 1
        print(f"  run {number}: {len(differing)} of {len(wanted)} files differ {differing[:5]}", flush=True)
        for folder in out.parent.glob("killed*"):
            shutil.rmtree(folder)
    if kills:
        print(f"{hit.total()} kills, {wrong} files that differ; killed at {dict(hit)}", flush=True)
        print(f"helpers of the killed were gone after {max(LASTED):.1f} s at most", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
