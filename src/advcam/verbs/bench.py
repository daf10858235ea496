"""The performance claims on this machine, in minutes: the verb ``bench``."""

from __future__ import annotations

import torch

from advcam.attribute.settings import AttributeSettings, ClimbSettings
from advcam.bench import walk
from advcam.bench.contest import Contest, Outcome, hold
from advcam.bench.timing import in_turns
from advcam.io.progress import duration, say, show
from advcam.pipeline.run import choose_device
from advcam.verbs.settings import BenchSettings

# Pairs of an image and one of its classes in the lists that the paper maps; COCO's at 2.9 classes per image.
DATA_SETS = {"VOC 2012 train_aug": 16_458, "COCO 2014 train": 240_000}
# Cells and classes of the random walk: small enough for the dense matrix on any machine.
CELLS, CLASSES = (47, 63), 4


def bench(settings: BenchSettings) -> None:
    """Print how fast the climb and the random walk are here, beside the authors' way and beside the least there is."""
    device = choose_device(settings.device)
    threads = torch.get_num_threads()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {threads} threads"
    show(f"climb on {name}, {settings.size[0]} x {settings.size[1]} pixels, batches of {settings.pairs}")
    show("ms per image, class and step: a the authors' structure, b advcam, c one bare forward and backward pass")
    show(f"{'network':<14}{'bits':>5}{'threads':>8}{'a':>9}{'b':>9}{'c':>9}{'a/b':>7}{'b/c':>7}{'27 steps a/b':>14}")
    for network in settings.networks:
        for precision in settings.precision:
            for count in (1, threads) if device.type == "cpu" and threads > 1 else (threads,):
                contest = Contest(network, settings.size, settings.pairs, 1, device.type, precision, count)
                found = hold(contest, settings.turns)
                show(f"{network:<14}{precision:>5}{count:>8}{_figures(found)}")
            say(f"bench: {network} in {precision} at four scales: {_forecast(found, settings.pairs)}")
    torch.set_num_threads(threads)
    _random_walk(settings.turns)


def _figures(found: Outcome) -> str:
    a, b, c = found.authors.wall, found.climb.wall, found.floor.wall
    times = "".join(f"{1000 * time:9.1f}" for time in (a, b, c))
    return f"{times}{a / b:7.2f}{b / c:7.2f}{found.whole('wall'):14.2f}"


def _forecast(found: Outcome, pairs: int) -> str:
    """How long whole data sets would take at this speed, if all their images had this size."""
    climb, scales = ClimbSettings.released(), AttributeSettings.scales
    steps = sum(scale**2 * climb.steps_at(scale) for scale in scales)
    return ", ".join(f"{name} {duration(count * steps * found.climb.wall)}" for name, count in DATA_SETS.items())


def _random_walk(turns: int) -> None:
    maps, edge = walk.scene(*CELLS, CLASSES)
    times = in_turns(
        {
            "sparse": lambda: walk.sparse(maps, edge, walk.EXP_TIMES),
            "dense": lambda: walk.dense(maps, edge, walk.EXP_TIMES),
        },
        turns,
    )
    sparse, dense = times["sparse"].wall, times["dense"].wall
    show(f"random walk on the CPU, {CELLS[0]} x {CELLS[1]} cells, {CLASSES} classes, 256 steps")
    show(f"dense matrix {1000 * dense:.0f} ms, advcam {1000 * sparse:.0f} ms: {dense / sparse:.0f} times as fast")
