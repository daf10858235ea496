"""From a folder to a network, with a person in between, and what the person's corrections bring.

    python benchmarks/corrections.py OUT

Every step is a command, printed with what it says: generated scenes, run, review, out to Label Studio, corrected there,
import, segment, predict. The person is simulated: of 60 masks 5 %, 20 % or all become the true ones, the first of the
queue or drawn by chance. The network is trained from three seeds on the masks of `val` and measured on `test`; the
masks themselves are measured too. Some ten minutes of one core.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
import yaml

from advcam.cli import main as advcam
from advcam.data import open_dataset
from advcam.data.masks import read_mask
from advcam.evaluate import ConfusionMatrix, SegmentationScores
from advcam.export.runs import brush_runs
from advcam.export.source import open_view
from advcam.review.table import by_image, read_table

IMAGES, COUNTS, SEEDS = 60, (3, 12), (0, 1, 2)
SHARES, DRAWS = (3, 6, 12, 30), 200
RUN = "--refine.baseline true --segment.method none --splits.maps [val] --classify.epochs 12 --seed.threshold auto"
NETWORK = "--segment.method deeplab --segment.updates 80 --segment.train val --segment.score [test]"


def do(line: str) -> None:
    """One command, as it would be typed."""
    print(f"\n$ advcam {line}", flush=True)
    if advcam(line.split()) != 0:
        sys.exit(f"advcam {line.split()[0]} failed")


def annotate(tasks: Path, scenes: Path, ids: list[str], out: Path) -> None:
    """What Label Studio exports once a person has painted the true masks of some images."""
    images = open_dataset(scenes, "val")
    truth = {record.id: record for record in images.records}
    content = json.loads(tasks.read_text())
    for task in content:
        if (name := task["data"]["advcam_id"]) in ids:
            mask = read_mask(truth[name])
            head = {"from_name": "mask", "to_name": "image", "type": "brushlabels"}
            head |= {"original_width": mask.shape[1], "original_height": mask.shape[0]}
            labels = [value for value in np.unique(mask).tolist() if value not in (0, 255)]
            values = [
                {"format": "rle", "rle": brush_runs(mask == value), "brushlabels": [images.class_names[value - 1]]}
                for value in labels
            ]
            task["annotations"] = [{"result": [head | {"value": value} for value in values]}]
    out.write_text(json.dumps(content))


def masks_after(run: Path, scenes: Path, queue: list[str]) -> None:
    """The mIoU of the masks that a network learns from, by how many of them became the true ones."""
    view, truth = open_view(run), {record.id: record for record in open_dataset(scenes, "val").records}
    names = len(view.class_names) + 1
    counts: dict[bool, dict[str, torch.Tensor]] = {False: {}, True: {}}
    for name in queue:
        mask, target = view.mask(name), read_mask(truth[name])
        for right, own in counts.items():
            matrix = ConfusionMatrix(names)
            matrix.update(target if right else mask, target)
            own[name] = matrix.counts

    def miou(ids: list[str]) -> float:
        right = set(ids)
        return 100 * SegmentationScores(sum(counts[name in right][name] for name in queue), len(queue)).miou

    print(f"\nmIoU of the {len(queue)} masks: {miou([]):.1f}; corrected by the queue, and by chance in {DRAWS} draws")
    for count in SHARES:
        drawn = [miou(random.Random(seed).sample(sorted(queue), count)) for seed in range(DRAWS)]
        first = miou(queue[:count])
        said = f"{np.mean(drawn):.1f} ± {np.std(drawn):.1f}, below it in {np.mean(np.less(drawn, first)):.0%}"
        print(f"{count:>3} of {len(queue)}: {first:.1f}, {said}", flush=True)


def network_miou(run: Path) -> float:
    made = yaml.safe_load((run / "run.yaml").read_text())["artifacts"]["segmentation"]
    return 100 * made["result"]["kept"]["mIoU"]


def main() -> None:
    root = Path(sys.argv[1])
    scenes, run = root / "scenes", root / "run"
    if not (run / "report.html").exists():
        do(f"scenes --out {scenes} --train 200 --val {IMAGES} --test {IMAGES}")
        do(f"run demo --data {scenes} --out {run} {RUN}")
    do(f"review --out {run}")
    do(f"export --out {run} --format labelstudio")
    queue = list(by_image(read_table(run / "review.csv")))
    masks_after(run, scenes, queue)
    chosen = {"none": dict.fromkeys(SEEDS, queue[:0]), "all": dict.fromkeys(SEEDS, queue)}
    for count in COUNTS:
        chosen[f"queue, {count}"] = dict.fromkeys(SEEDS, queue[:count])
        chosen[f"chance, {count}"] = {seed: random.Random(seed).sample(sorted(queue), count) for seed in SEEDS}
    found: dict[str, list[float]] = {}
    for how, by_seed in chosen.items():
        for seed, ids in by_seed.items():
            own = root / f"{how.replace(', ', '_')}_{seed}"
            shutil.rmtree(own, ignore_errors=True)
            shutil.copytree(run, own)
            if ids:
                annotate(run / "export/labelstudio/tasks.json", scenes, ids, own.with_suffix(".json"))
                do(f"import {own.with_suffix('.json')} --out {own}")
            do(f"segment --out {own} {NETWORK} --segment.seed {seed}")
            found.setdefault(how, []).append(network_miou(own))
    do(f"predict {scenes / 'JPEGImages'} --model {own} --out {root / 'predictions'} --limit 5")
    print(f"\nmIoU of the network on {IMAGES} images of test, seeds {SEEDS}, by what was corrected of {IMAGES} masks")
    for how, values in found.items():
        each = "".join(f"{value:6.1f}" for value in values)
        print(f"{how:<11}{each}   {np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}")


if __name__ == "__main__":
    main()
