"""Ray against one process: the ratio, and what is lost when workers, drivers and nodes are killed. Same bytes, always.

python benchmarks/engines.py ratio                # 2 workers against 1, in turns
python benchmarks/engines.py workers --kills 10   # SIGKILL of a worker at random moments
python benchmarks/engines.py drivers --kills 5    # SIGKILL of the driver, which is then started again
python benchmarks/engines.py nodes                # `ray start` twice on the loopback, one killed in mid-stage
python benchmarks/engines.py listens              # the addresses that Ray listens on
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from advcam.models import BackboneSettings, build_classifier, save_classifier

ADVCAM = (sys.executable, "-m", "advcam")


def set_up(root: Path, count: int, side: int) -> Path:
    """Pictures with labels and a run folder with a classifier of random weights: what it says does not matter here."""
    generator = np.random.default_rng(0)
    (root / "data").mkdir(parents=True)
    rows = ["image,labels"]
    for number in range(count):
        pixels = generator.integers(0, 256, (side, side * 4 // 3, 3), np.uint8)
        Image.fromarray(pixels).save(root / "data" / f"{number:04}.png")
        rows.append(f"{number:04}.png,{'cat' if number % 2 else 'dog'}")
    (root / "data" / "labels.csv").write_text("\n".join(rows) + "\n")
    torch.manual_seed(0)
    settings = BackboneSettings(architecture="timm/resnet10t", weights=None, output_stride=16)
    save_classifier(root / "classifier", build_classifier(settings, 2), settings, ("cat", "dog"))
    command = [*ADVCAM, "classify", "--data", root / "data", "--classifier", root / "classifier", "--device", "cpu"]
    subprocess.run([*map(str, command), "--out", str(root / "begun")], check=True, stderr=subprocess.DEVNULL)
    return root / "begun"


class Stage:
    """The stage of a run folder of its own."""

    def __init__(self, begun: Path, name: str, steps: int) -> None:
        self.root = begun.parent / name
        shutil.copytree(begun, self.root)
        self.steps = steps

    def start(self, *more: str) -> subprocess.Popen[str]:
        words = [*ADVCAM, "attribute", "--out", str(self.root), "--climb.steps", str(self.steps), *more]
        words += ["--attribute.batch_pixels", "2000"]
        return subprocess.Popen(words, stderr=subprocess.PIPE, text=True)

    def run(self, *more: str) -> float:
        start = time.monotonic()
        process = self.start(*more)
        _, said = process.communicate()
        if process.returncode:
            raise SystemExit(said)
        return time.monotonic() - start

    def files(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.root)): path.read_bytes() for path in sorted(self.root.rglob("*/maps/*.npz"))}


def below(process: int) -> list[tuple[int, str]]:
    """The processes that a process started, directly or not, with their command lines."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        parents.setdefault(parent, []).append(int(folder.name))
    found, waiting = [], [process]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            waiting.append(child)
            try:
                found.append((child, Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")))
            except OSError:
                continue
    return found


def workers_of(process: int) -> list[int]:
    """Workers of Ray that are at a task."""
    return [number for number, words in below(process) if words.startswith("ray::_task")]


def ratio(begun: Path, asked: argparse.Namespace, expected: dict[str, bytes]) -> None:
    times: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(asked.turns):
        for count in (1, 2) if turn % 2 == 0 else (2, 1):
            stage = Stage(begun, f"ratio-{turn}-{count}", asked.steps)
            times[count].append(stage.run("--engine", "ray", "--processes", str(count)))
            assert stage.files() == expected
            print(f"turn {turn}: {count} workers {times[count][-1]:.1f} s, same bytes", flush=True)
    pairs = [one / two for one, two in zip(times[1], times[2], strict=True)]
    print(
        f"2 workers against 1: {', '.join(f'{pair:.2f}' for pair in pairs)}; load {os.getloadavg()[0]:.1f} at the end"
    )


def kill_workers(begun: Path, asked: argparse.Namespace, expected: dict[str, bytes]) -> None:
    done, turn = 0, 0
    while done < asked.kills:
        turn += 1
        stage = Stage(begun, f"workers-{turn}", asked.steps)
        process = stage.start("--engine", "ray", "--processes", "2")
        killed = 0
        while process.poll() is None and done + killed < asked.kills:
            time.sleep(random.uniform(0.2, asked.pause))
            if there := workers_of(process.pid):
                os.kill(random.choice(there), signal.SIGKILL)
                killed += 1
        _, said = process.communicate()
        done += killed
        there = stage.files()
        print(
            f"run {turn}: {killed} workers killed, code {process.returncode}, same bytes: {there == expected}",
            flush=True,
        )
        if there != expected:
            # An image that two workers were killed on is left out and named; the next run tries it again.
            print("\n".join(line for line in said.splitlines() if "left out" in line))
            wrong = [name for name, data in there.items() if data != expected[name]]
            stage.run("--engine", "ray", "--processes", "2")
            print(
                f"  {len(there)} of {len(expected)} files there, {len(wrong)} of them wrong; the same command again: "
                f"same bytes: {stage.files() == expected}",
                flush=True,
            )


def kill_drivers(begun: Path, asked: argparse.Namespace, expected: dict[str, bytes]) -> None:
    stage, kept = Stage(begun, "drivers", asked.steps), []
    for number in range(asked.kills):
        process = stage.start("--engine", "ray", "--processes", "2")
        wanted = len(stage.files()) + random.randrange(0, 2 * len(expected) // (asked.kills + 1) + 1)
        while process.poll() is None and len(stage.files()) < wanted:
            time.sleep(0.2)
        process.kill()
        process.communicate()
        kept.append(len(stage.files()))
        print(f"driver {number + 1} killed with {kept[-1]} of {len(expected)} files there", flush=True)
    stage.run("--engine", "ray", "--processes", "2")
    print(f"then on to the end: same bytes: {stage.files() == expected}; files at the kills: {kept}")


def kill_node(begun: Path, asked: argparse.Namespace, expected: dict[str, bytes]) -> None:
    environment = os.environ | {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_raylet_start_wait_time_s": "300",
        "RAY_worker_niceness": "0",
    }
    ray, port = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus", "1"], "26379"
    head = ["--head", "--node-ip-address", "127.0.0.1", "--port", port, "--include-dashboard", "false"]
    nodes = []
    try:
        for words in (head, ["--address", f"127.0.0.1:{port}", "--node-ip-address", "127.0.0.1"]):
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
            nodes.append(subprocess.Popen([*ray, *words], env=environment, **quiet))
            time.sleep(asked.wait)
            assert nodes[-1].poll() is None, "a node of Ray did not start"
        stage = Stage(begun, "nodes", asked.steps)
        process = stage.start("--engine", "ray", "--ray-address", f"127.0.0.1:{port}")
        while process.poll() is None and len(stage.files()) < len(expected) // 3:
            time.sleep(0.2)
        at = len(stage.files())
        own = [number for number, _ in below(nodes[1].pid)]
        busy = len(workers_of(nodes[1].pid))
        for number in (nodes[1].pid, *own):
            os.kill(number, signal.SIGKILL)
        _, said = process.communicate()
        same = stage.files() == expected
        print(f"a node of {len(own)} processes, {busy} workers at a task, killed with {at} of {len(expected)} files")
        print(f"code {process.returncode}, same bytes: {same}")
        if not same:
            print(said)
    finally:
        for node in nodes:
            for number in [*(number for number, _ in below(node.pid)), node.pid]:
                try:
                    os.kill(number, signal.SIGKILL)
                except OSError:
                    continue


def listens(begun: Path, asked: argparse.Namespace, expected: dict[str, bytes]) -> None:
    stage, found = Stage(begun, "listens", asked.steps), set()
    before = listening()
    process = stage.start("--engine", "ray", "--processes", "2")
    while process.poll() is None:
        found |= listening() - before
        time.sleep(0.5)
    process.communicate()
    print("listens on", ", ".join(f"{address} ({count} ports)" for address, count in addresses(found).items()))


def listening() -> set[tuple[str, int]]:
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            _, local, _, state = line.split()[:4]
            if state == "0A":
                address, port = local.split(":")
                found.add((address, int(port, 16)))
    return found


def addresses(found: set[tuple[str, int]]) -> dict[str, int]:
    words = {"0100007F": "127.0.0.1", "00000000": "0.0.0.0", "0" * 32: "::", "0" * 24 + "01000000": "::1"}
    counts: dict[str, int] = {}
    for address, _ in found:
        name = words.get(address, address)
        counts[name] = counts.get(name, 0) + 1
    return counts


WHAT = {"ratio": ratio, "workers": kill_workers, "drivers": kill_drivers, "nodes": kill_node, "listens": listens}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=WHAT)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--pause", type=float, default=5.0, help="seconds between two kills, at most")
    parser.add_argument("--wait", type=float, default=20.0, help="seconds that a node gets to start")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    random.seed(asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        begun = set_up(Path(folder), asked.images, asked.side)
        alone = Stage(begun, "alone", asked.steps)
        print(f"one process, no Ray: {alone.run():.1f} s for {asked.images} images", flush=True)
        expected = alone.files()
        assert len(expected) == 2 * asked.images
        for what in asked.what:
            WHAT[what](begun, asked, expected)


if __name__ == "__main__":
    main()
