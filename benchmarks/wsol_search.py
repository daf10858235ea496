"""Random search over a method's hyper-parameters: trains every trial, and lists them by their validation boxes.

    python benchmarks/wsol_search.py voc12_wsol_mobilenet --data VOC/wsol --method has --trials 30 --out runs/search

Every trial is a folder of its own; a stopped search goes on with the same command. The best settings are printed as
they are given to ``advcam run``.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from advcam.classify.wsol.settings import WSOLSettings
from advcam.classify.wsol.train import train_method
from advcam.data import open_dataset
from advcam.errors import SettingsError
from advcam.evaluate.validation import BoxValidation, boxed
from advcam.training.progress import FitProgress
from advcam.verbs.arguments import parse


def draw_settings(base: WSOLSettings, trial: int, seed: int = 0) -> tuple[WSOLSettings, int]:
    """The settings of one trial, and its output stride: a function of the seed and the trial alone.

    Ranges (Choe et al. 2020): learning rate log-uniform in [1e-5, 1]; cells of 16 or 8 pixels; HaS rate and area
    uniform in [0, 1], the area as the side of a square relative to the image's; ACoL's threshold, ADL's rate and
    threshold uniform in [0, 1]; SPG's thresholds uniform with each low one below its high one; CutMix's rate uniform
    in [0, 1], its beta ``1 / U - 1/2`` with U uniform in (0, 2].

    Args:
        base: everything that is not drawn.
        trial: number of the trial.
        seed: of all trials together.

    Raises:
        SettingsError: the method is "none".

    """
    if base.method == "none":
        raise SettingsError("wsol.method is none, so there is nothing to search: name a method")
    generator = np.random.default_rng((seed, trial))
    drawn: dict[str, Any] = {"lr": float(10 ** generator.uniform(-5, 0))}
    stride = int(generator.choice((8, 16)))
    match base.method:
        case "has":
            area = generator.uniform()
            drawn |= {"has_rate": float(generator.uniform()), "has_grid": round(float(np.sqrt(area)) * base.crop)}
        case "acol":
            drawn["acol_threshold"] = float(generator.uniform())
        case "spg":
            pairs = np.sort(generator.uniform(size=(3, 2)), axis=1)[:, ::-1]
            drawn["spg_thresholds"] = tuple(float(value) for value in pairs.ravel())
        case "adl":
            drawn |= {"adl_rate": float(generator.uniform()), "adl_threshold": float(generator.uniform())}
        case "cutmix":
            beta = 1 / (2 - generator.uniform(0, 2)) - 0.5
            drawn |= {"cutmix_rate": float(generator.uniform()), "cutmix_beta": max(float(beta), 1e-3)}
    return replace(base, **drawn), stride


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="where everything that is not drawn comes from")
    parser.add_argument("--data", required=True)
    parser.add_argument("--labels")
    parser.add_argument("--method", required=True)
    parser.add_argument("--weights", help="of the backbone, where the recipe's are not to be had")
    parser.add_argument("--trials", type=int, default=30, help="the benchmark has 30")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fixed-stride", action="store_true", help="keep the recipe's output stride")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    config = parse("run", [asked.recipe])
    train, val = (open_dataset(asked.data, split, labels=asked.labels) for split in ("train", "val"))
    backbone = config.backbone if asked.weights is None else replace(config.backbone, weights=asked.weights)
    base = replace(config.wsol, method=asked.method)
    measure = BoxValidation(config.box_acc) if boxed(val) else None
    name = "boxes" if measure is not None else "top1_cls"
    found = []
    for trial in range(asked.trials):
        settings, stride = draw_settings(base, trial, asked.seed)
        network = backbone if asked.fixed_stride else replace(backbone, output_stride=stride)
        folder = asked.out / f"{trial:02d}"
        try:
            with FitProgress(f"trial {trial}") as progress:
                trained = train_method(network, train, val, settings, folder, measure=measure, on_event=progress)
        except SettingsError as error:
            # A learning rate near 1 may well end in a loss that is no number; the trial then counts as lost.
            print(f"trial {trial}: {error}")
            continue
        drawn = {key: value for key, value in asdict(settings).items() if value != getattr(base, key)}
        found.append({"trial": trial, "score": trained.scores[name], "stride": network.output_stride, **drawn})
        (asked.out / "trials.json").write_text(json.dumps(found, indent=2) + "\n")
    for row in sorted(found, key=lambda row: -row["score"]):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
