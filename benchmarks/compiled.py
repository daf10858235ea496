"""Bare passes of a network to its class maps and back to the pixels, as they are and by ``torch.compile``.

    python benchmarks/compiled.py
    python benchmarks/compiled.py --network irn_resnet50 --device cuda --pairs 16

Expected on a CPU: a tenth less time, for a minute of compiling per size of the images. Times are the best of several
turns; "first" is the first compiled pass, compiling included.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from advcam.bench.contest import Contest
from advcam.bench.timing import in_turns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="mobilenet_v2")
    parser.add_argument("--sizes", nargs="+", default=["188x250", "375x500"])
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--turns", type=int, default=4)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    for size in asked.sizes:
        height, width = map(int, size.split("x"))
        eager = Contest(asked.network, (height, width), asked.pairs, 1, asked.device)
        compiled = Contest(asked.network, (height, width), asked.pairs, 1, asked.device)
        compiled.mapper.features = torch.compile(compiled.mapper.features)
        start = time.perf_counter()
        compiled.floor()
        first = time.perf_counter() - start
        found = in_turns({"eager": eager.floor, "compiled": compiled.floor}, asked.turns, torch.device(asked.device))
        wall = [1000 * found[name].wall for name in ("eager", "compiled")]
        cpu = [1000 * found[name].cpu for name in ("eager", "compiled")]
        print(
            f"{asked.network} {size}: wall {wall[0]:.0f} and {wall[1]:.0f} ms, cpu {cpu[0]:.0f} and {cpu[1]:.0f} ms",
            end="",
        )
        print(f", first {first:.0f} s", flush=True)


if __name__ == "__main__":
    main()
