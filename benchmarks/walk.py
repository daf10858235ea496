"""IRN's random walk by sparse steps, against squaring the dense transition matrix as the reference programs do.

    python benchmarks/walk.py            one of the eight squarings is timed and counted eight times
    python benchmarks/walk.py --full     all eight, and the results compared: minutes

Both ways run here, one after the other, each in a process of its own, in float32 from the same maps and the same edge
map, the affinities included. Memory is the highest resident size above that before the call (Linux only). The dense
way here keeps two matrices and no copies, which is less than the reference programs keep. Threads: OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from advcam.bench.timing import resident
from advcam.bench.walk import EXP_TIMES, dense, scene, sparse

LARGE = (250, 250)


def measure(
    walk: Callable[[Tensor, Tensor, int], Tensor], size: tuple[int, int], num_classes: int, squarings: int, repeat: int
) -> tuple[float, int, Tensor]:
    """The best time of ``repeat``, the highest memory of one run, and the walked maps."""
    walk(*scene(12, 16, num_classes), 1)
    maps, edge = scene(*size, num_classes)
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM back to VmRSS
    before = resident("VmRSS")
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        walked = walk(maps, edge, squarings)
        times.append(time.perf_counter() - start)
    return min(times), resident("VmHWM") - before, walked


def apart(*arguments: object) -> tuple[float, int, Tensor]:
    """``measure`` in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()  # type: ignore[arg-type]


def difference(one: Tensor, other: Tensor) -> float:
    return ((one - other).abs().max() / other.abs().max()).item()


def line(name: str, seconds: float, size: int) -> str:
    return f"  {name:<16} {seconds:9.3f} s  {size / 2**20:9.1f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs=2, default=(94, 125), metavar=("H", "W"), help="default: 94 125")
    parser.add_argument("--classes", type=int, default=4, help="default: 4")
    parser.add_argument("--full", action="store_true", help="take all eight squarings of the dense matrix")
    arguments = parser.parse_args()
    if not sys.platform.startswith("linux"):
        sys.exit("benchmarks/walk.py reads memory from /proc, which only Linux has")
    size, num_classes = tuple(arguments.cells), arguments.classes

    maps, edge = (tensor.double() for tensor in scene(24, 32, num_classes))
    apart_by = difference(sparse(maps, edge, EXP_TIMES), dense(maps, edge, EXP_TIMES))
    print(f"24 x 32 cells in float64: the two ways differ by {apart_by:.1e} of the maximum")

    print(f"{size[0]} x {size[1]} cells, {num_classes} classes, float32, {torch.get_num_threads()} thread(s)")
    fast, little, walked = apart(sparse, size, num_classes, EXP_TIMES, 5)
    print(line("sparse steps", fast, little))
    if arguments.full:
        slow, much, squared = apart(dense, size, num_classes, EXP_TIMES, 1)
        print(
            line("dense squaring", slow, much), f" (results differ by {difference(walked, squared):.1e} of the maximum)"
        )
    else:
        none, _, _ = apart(dense, size, num_classes, 0, 1)
        once, much, _ = apart(dense, size, num_classes, 1, 1)
        slow = none + EXP_TIMES * (once - none)
        print(line("dense squaring", slow, much), f" (one squaring of {once - none:.1f} s, times {EXP_TIMES})")
    print(f"  {slow / fast:.0f} times as fast in 1/{much / little:.0f} of the memory")

    cells = LARGE[0] * LARGE[1]
    print(f"{LARGE[0]} x {LARGE[1]} cells: two dense matrices would take {2 * 4 * cells**2 / 2**30:.0f} GiB")
    print(line("sparse steps", *apart(sparse, LARGE, num_classes, EXP_TIMES, 3)[:2]))


if __name__ == "__main__":
    main()
