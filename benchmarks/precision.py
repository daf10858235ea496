"""What a narrower precision does to the seeds: the same images mapped in each, and compared.

    python benchmarks/precision.py --data VOC --split train --classifier runs/voc/classifier --images 20

Prints for each precision the processor time, the mIoU of the seeds at their best threshold on these very images, how
far the maps are from those in single precision, and the share of pixels whose seed label is the same at the single
precision's threshold. A float32 climb amplifies rounding by itself; "32 again" shows by how much: the same in single
precision with the batch norms left unfolded, which is the same function up to rounding.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from advcam.attribute.engine import map_pictures
from advcam.attribute.grid import full_size
from advcam.attribute.maps.cam import CAM
from advcam.attribute.methods import Climb
from advcam.attribute.settings import ClimbSettings, adapted
from advcam.data import open_dataset, read_image, read_mask
from advcam.data.transforms import scale_image
from advcam.evaluate import SweepCounts, SweepSettings
from advcam.models import load_classifier
from advcam.models.fold import fold_batch_norm
from advcam.models.precision import in_precision
from advcam.refine.seeds import local_seed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split")
    parser.add_argument("--classifier", required=True, help="a classifier's folder")
    parser.add_argument("--images", type=int, default=20, help="spread evenly over the split")
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--precision", nargs="+", default=["bf16"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    images = open_dataset(asked.data, asked.split)
    records = images.records[:: max(1, len(images) // asked.images)][: asked.images]
    classifier, _ = load_classifier(asked.classifier, images.class_names)
    plain = classifier.to(asked.device).to(memory_format=torch.channels_last).mapper().eval()
    folded = fold_batch_norm(plain)
    mappers = {"32": folded, "32 again": plain} | {name: in_precision(folded, name) for name in asked.precision}
    settings = adapted(ClimbSettings(steps=asked.steps), CAM(folded).units)
    climb, scales = Climb(settings, tuple(asked.scales)), asked.scales
    thresholds = SweepSettings(high=0.9).thresholds
    counts = {name: SweepCounts(len(images.class_names) + 1, thresholds) for name in mappers}
    seconds = dict.fromkeys(mappers, 0.0)
    apart = {name: [] for name in mappers}
    kept: dict[str, list[torch.Tensor]] = {name: [] for name in mappers}
    for record in records:
        picture = read_image(record.image)
        size = picture.shape[:2]
        pictures = [[scale_image(picture, scale)] for scale in scales]
        target = torch.from_numpy(read_mask(record, size))
        for name, mapper in mappers.items():
            start = time.process_time()
            found = (
                map_pictures(mapper, pictures, [record.classes], climb, scales=scales, size=size, batch_pixels=2**19)
                .maps.float()
                .cpu()
            )
            seconds[name] += time.process_time() - start
            full = full_size(found, size)
            counts[name].update(full, torch.tensor(record.classes), target)
            kept[name].append(full)
            apart[name].append(float((full - kept["32"][-1]).abs().mean()))
    best = {name: count.compute() for name, count in counts.items()}
    threshold = best["32"].best_threshold
    print(
        f"{len(records)} images of {asked.split}, scales {scales}, {asked.steps} steps, seeds at their best threshold"
    )
    print(f"{'precision':<10} {'cpu s':>7} {'mIoU':>6} {'at':>5} {'maps apart':>11} {'same labels':>12}")
    for name in mappers:
        seeds = [[local_seed(maps, threshold) for maps in kept[which]] for which in (name, "32")]
        same = sum(int((one == other).sum()) for one, other in zip(*seeds, strict=True))
        share = same / sum(seed.numel() for seed in seeds[0])
        figures = f"{100 * best[name].best.miou:6.2f} {best[name].best_threshold:5.2f}"
        print(f"{name:<10} {seconds[name]:7.1f} {figures} {sum(apart[name]) / len(records):11.4f} {share:12.2%}")


if __name__ == "__main__":
    main()
