"""All that `make attack` does to a run: kills and full disks at random moments, two processes, every way to masks.

    python benchmarks/attack.py --warm                   100 kills and 30 full disks, some twelve minutes of one core
    python benchmarks/attack.py                          each in an interpreter of its own, hours
    python benchmarks/attack.py --kills 0 --disks 5 --chains psa --warm

The runs and their commands are those of ``kills.py``. A disk is a file system in memory that is as large as what a run
has written so far and a part, drawn evenly, of what it would still write; it is mounted in a name space of this
process. The command must end with exit code 2 and one sentence that says that the disk is full; then there is room
again, and the same command goes on. Expected: all files that hold numbers are equal, after kills of two processes
and of trainings with two that load, after full disks of one process, and undisturbed.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import kills

ENOUGH = 2**31
# Of a full disk: the smallest room, in bytes.
LEAST = 2**14


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--disks", type=int, default=30)
    parser.add_argument("--chains", nargs="+", choices=kills.CHAINS, default=list(kills.CHAINS))
    parser.add_argument("--helpers", type=int, default=2, help="of the killed: processes, and such that load")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--warm", action="store_true", help="commands are forked from a process that has imported all")
    asked = parser.parse_args()
    if asked.disks and not os.environ.get("ADVCAM_ATTACK_INSIDE"):
        # Mounts of its own, gone with the process.
        there = shutil.which("unshare") and subprocess.run(["unshare", "-rm", "true"], check=False).returncode == 0
        if not there:
            sys.exit("unshare -rm does not work here, so no small disk can be mounted: give --disks 0")
        os.environ["ADVCAM_ATTACK_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "-rm", sys.executable, *sys.argv])
    os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
    if asked.warm:
        kills.Command.warm_up()
    draw, wrong = random.Random(asked.seed), 0
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary).resolve()
        for number, chain in enumerate(asked.chains):
            share = [
                count // len(asked.chains) + (number < count % len(asked.chains))
                for count in (asked.kills, asked.disks)
            ]
            wrong += kills.series(chain, share[0], draw, root, asked.helpers)
            wrong += full_disks(chain, share[1], draw, root) if share[1] else 0
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(f"{sum(one.ru_utime + one.ru_stime for one in used) / 60:.1f} minutes of a core, but for the killed")
    return int(wrong > 0)


def full_disks(chain: str, count: int, draw: random.Random, root: Path) -> int:
    """So many full disks; returns the number of files that differ in the end, and of commands that ended otherwise."""
    whole, disk = root / chain / "whole", root / chain / "disk"
    wanted = kills.digests(*whole.parent.glob("whole*"))
    size = used(whole.parent)
    disk.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ENOUGH}", "tmpfs", str(disk)], check=True)
    wrong = met = runs = 0
    while met < count:
        shutil.rmtree(disk / "killed", ignore_errors=True)
        for words in kills.commands(chain, root, disk / "killed"):
            while True:
                # What is there stays; of what is left, a part fits.
                last = met >= count
                room = ENOUGH if last else used(disk) + int(draw.uniform(LEAST, max(2 * LEAST, size - used(disk))))
                resize(disk, room)
                command = kills.Command(words)
                code, said = command.wait(), command.stderr()
                resize(disk, ENOUGH)
                if code == 0:
                    break
                full = code == 2 and "the disk is full" in said.strip().splitlines()[-1] and "Traceback" not in said
                met, wrong = met + 1, wrong + (not full)
                if not full:
                    print(f"  ended with {code}: {said[-3000:]}", flush=True)
        runs += 1
        found = kills.digests(*disk.glob("killed*"))
        found = {name.replace("killed", "whole", 1): value for name, value in found.items()}
        differing = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
        wrong += len(differing)
        print(f"  {chain}: {len(differing)} of {len(wanted)} files differ after full disks {differing[:5]}", flush=True)
    print(f"{chain}: {met} full disks, {runs} runs, {wrong} wrong", flush=True)
    subprocess.run(["umount", str(disk)], check=True)
    return wrong


def used(folder: Path) -> int:
    """What a folder takes, in whole pages."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


def resize(disk: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


if __name__ == "__main__":
    sys.exit(main())
