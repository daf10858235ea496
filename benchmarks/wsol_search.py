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

from advcam.classify.wsol.search import TRIALS, draw_settings
from advcam.classify.wsol.train import train_method
from advcam.data import open_dataset
from advcam.errors import SettingsError
from advcam.evaluate.validation import BoxValidation, boxed
from advcam.training.progress import FitProgress
from advcam.verbs.arguments import parse


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="where everything that is not drawn comes from")
    parser.add_argument("--data", required=True)
    parser.add_argument("--labels")
    parser.add_argument("--method", required=True)
    parser.add_argument("--weights", help="of the backbone, where the recipe's are not to be had")
    parser.add_argument("--trials", type=int, default=TRIALS)
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
