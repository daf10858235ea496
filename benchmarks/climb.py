"""The climb three ways, on the same network, images and classes, in turns; the best turn of each counts.

    python benchmarks/climb.py                                  ResNet-50 and MobileNetV2, 375 x 500, one pair
    python benchmarks/climb.py --pairs 1 4 16 --threads 1 2     batches and threads
    python benchmarks/climb.py --scales 0.5 1 1.5 2 --memory    the four scales, and peak memory
    python benchmarks/climb.py --device cuda --pairs 16 64 --precision 32 tf32 bf16

  a  the authors' cost structure, written anew from its description (``advcam.bench.authors``): one pair at a time,
     parameters in autograd, Grad-CAM weights by a backward pass, maps and pixels to the host and back at each step
  b  ``advcam.climb``
  c  the floor: a bare forward pass and its gradient to the input, of b's network (batch norms folded, channels last),
     for the same batch, and nothing else

Times are milliseconds per image, class and step, of a step in the middle of a climb. "27 steps" is a / b of a whole
climb, in which b's last step goes forward only. Weights and images are random: they do not change the time of a pass.
"cpu" is processor time of all threads, which other programs on the same cores do not enter.

What to expect of a ResNet-50, counted in forward passes, a backward pass to the input being one and the gradients of
the parameters another one: a 1 + 2 + 2 = 5, b 1 + 1 = 2, c 2. So a / b is 2.5, and more by what unfolded batch norms
cost; b / c is 1. With two threads in b and one in a, twice that less what is lost between threads.
"""

from __future__ import annotations

import argparse
import os
import sys
from itertools import product

# Before torch is loaded, as the command line does: threads that wait sleep instead of using up processor time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from advcam.bench.contest import Contest, Outcome, hold
from advcam.data.transforms import scaled_size

NETWORKS = {"resnet50": "irn_resnet50", "mobilenet_v2": "mobilenet_v2"}


def row(contest: Contest, found: Outcome) -> str:
    cells = [f"{contest.size[0]:4} x{contest.size[1]:5} {contest.pairs:5} {contest.threads:7} {contest.precision:>6}"]
    for clock in ("wall", "cpu"):
        a, b, c = (getattr(time, clock) for time in (found.authors, found.climb, found.floor))
        times = f"{1000 * a:8.0f} {1000 * b:8.0f} {1000 * c:8.0f}"
        cells.append(f"{clock:>5} {times} {a / b:6.2f} {b / c:6.3f} {found.whole(clock):9.2f}")
    memory = [f"{size / 2**20:7.0f}" for size in found.memory if size is not None]
    return f"{cells[0]} {cells[1]}  {' '.join(memory)}\n{'':{len(cells[0])}} {cells[2]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--size", type=int, nargs=2, default=(375, 500), metavar=("H", "W"))
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0])
    parser.add_argument("--pairs", type=int, nargs="+", default=[1])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", nargs="+", choices=("32", "tf32", "bf16"), default=["32"])
    parser.add_argument("--steps", type=int, default=2, help="steps that are timed (default: 2)")
    parser.add_argument("--turns", type=int, default=3, help="of which the best counts (default: 3)")
    parser.add_argument("--memory", action="store_true", help="measure peak memory as well, in processes of their own")
    asked = parser.parse_args()
    best: dict[tuple[float, int, str], dict[int, tuple[float, float]]] = {}
    for network in asked.networks:
        print(f"{network}, {asked.device}, ms per image, class and step, best of {asked.turns} turns of {asked.steps}")
        print(f"{'size':>10} pairs threads  bits clock        a        b        c    a/b    b/c  27 steps  a, b MiB")
        for scale, pairs, threads, precision in product(asked.scales, asked.pairs, asked.threads, asked.precision):
            size = scaled_size(tuple(asked.size), scale)
            contest = Contest(NETWORKS[network], size, pairs, asked.steps, asked.device, precision, threads)
            found = hold(contest, asked.turns, asked.memory)
            print(row(contest, found), flush=True)
            key = (scale, pairs, precision)
            best.setdefault(key, {})[threads] = (found.authors.wall, found.climb.wall)
        for (scale, pairs, precision), by_threads in best.items():
            if 1 in by_threads and len(by_threads) > 1:
                most = max(by_threads)
                ratio = by_threads[1][0] / by_threads[most][1]
                asked_for = f"scale {scale}, {pairs} pairs, {precision}"
                print(f"{asked_for}: a with 1 thread / b with {most} = {ratio:.2f} (wall)")
        best.clear()


if __name__ == "__main__":
    if not sys.platform.startswith("linux") and "--memory" in sys.argv and "cuda" not in sys.argv:
        sys.exit("benchmarks/climb.py --memory reads memory from /proc, which only Linux has")
    main()
