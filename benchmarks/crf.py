"""The dense CRF here against pydensecrf, the compiled program that the field uses.

    python benchmarks/crf.py                         generated images of 375 x 500 pixels
    python benchmarks/crf.py --data VOC/JPEGImages   photographs, at their own size

Both run in this process, one after the other on the same image, on one thread; the time of an image is the best of
--repeats, and the table shows the mean over images in milliseconds. "2 threads" is ours with two images at a time:
time divided by images. "agreement" is the share of pixels on which the two results have the same label. Compilation
is done before and shown apart. pydensecrf is optional: pip install pydensecrf2, which needs a C++ compiler.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from advcam.data.images import open_picture
from advcam.refine import CRFSettings, dense_crf, unary_from_labels, unary_from_scores

try:
    import pydensecrf.densecrf as pydensecrf
except ImportError:
    pydensecrf = None

PRESETS = {"irn": CRFSettings.irn(), "psa": CRFSettings.psa(), "deeplab": CRFSettings.deeplab()}


def generated(height: int, width: int, generator: torch.Generator) -> Tensor:
    """An image with the spectrum of photographs: noise of equal power in every octave."""
    image = torch.zeros(3, height, width)
    for octave in range(1, int(math.log2(min(height, width)))):
        coarse = torch.randn(1, 3, 2**octave + 1, 2**octave + 1, generator=generator)
        image += interpolate(coarse, size=(height, width), mode="bicubic")[0] / 2 ** (octave - 1)
    return (127 + 50 * image).clamp(0, 255).byte().permute(1, 2, 0).contiguous()


def photographs(folder: Path, count: int) -> list[Tensor]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})[:count]
    if not files:
        raise SystemExit(f"no .jpg or .png image in {folder}")
    return [torch.from_numpy(np.array(open_picture(file).convert("RGB"))) for file in files]


def unaries(image: Tensor, num_labels: int, preset: str, generator: torch.Generator) -> Tensor:
    """Energies of smooth random class scores: of their labels for IRN's CRF, of their softmax for the others."""
    coarse = torch.randn(1, num_labels, 9, 9, generator=generator)
    probabilities = interpolate(3 * coarse, size=image.shape[:2], mode="bicubic")[0].softmax(dim=0)
    if preset == "irn":
        return unary_from_labels(probabilities.argmax(dim=0), num_labels)
    return unary_from_scores(probabilities)


def reference(image: Tensor, unary: Tensor, settings: CRFSettings) -> Tensor:
    num_labels, height, width = unary.shape
    crf = pydensecrf.DenseCRF2D(width, height, num_labels)
    crf.setUnaryEnergy(unary.reshape(num_labels, -1).numpy())
    crf.addPairwiseGaussian(sxy=settings.gaussian_sxy, compat=settings.gaussian_weight)
    crf.addPairwiseBilateral(
        sxy=settings.bilateral_sxy,
        srgb=settings.bilateral_srgb,
        rgbim=image.numpy(),
        compat=settings.bilateral_weight,
    )
    return torch.from_numpy(np.array(crf.inference(settings.iterations))).reshape(unary.shape)


def timed(function: Callable[..., Tensor], *args: Any) -> tuple[float, Tensor]:
    start = time.perf_counter()
    result = function(*args)
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of images")
    parser.add_argument("--images", type=int, default=4, help="how many images (default: 4)")
    parser.add_argument("--labels", type=int, nargs="+", default=[3, 21], help="numbers of labels (default: 3 21)")
    parser.add_argument("--repeats", type=int, default=3, help="runs per image, of which the best counts (default: 3)")
    options = parser.parse_args()

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    if options.data:
        images = photographs(options.data, options.images)
    else:
        images = [generated(375, 500, generator) for _ in range(options.images)]
    if pydensecrf is None:
        print("pydensecrf is not installed (pip install pydensecrf2): only our own times follow")
    small = torch.zeros(8, 8, 3, dtype=torch.uint8)
    compilation = sum(timed(dense_crf, small, torch.ones(n, 8, 8), PRESETS["irn"])[0] for n in options.labels)
    print(f"{len(images)} images, compilation or loading {compilation:.1f} s")
    print(f"{'labels':>6}  {'preset':8}{'ours':>8}{'2 threads':>11}{'pydensecrf':>12}{'ratio':>8}{'agreement':>11}")

    for num_labels in options.labels:
        for preset, settings in PRESETS.items():
            ours, theirs, agreement = [], [], []
            jobs = [(image, unaries(image, num_labels, preset, generator), settings) for image in images]
            for job in jobs:
                runs, reference_runs = [], []
                for _ in range(options.repeats):
                    runs.append(timed(dense_crf, *job))
                    if pydensecrf is not None:
                        reference_runs.append(timed(reference, *job))
                ours.append(min(seconds for seconds, _ in runs))
                if reference_runs:
                    theirs.append(min(seconds for seconds, _ in reference_runs))
                    same = runs[0][1].argmax(dim=0) == reference_runs[0][1].argmax(dim=0)
                    agreement.append(same.float().mean().item())
            with ThreadPoolExecutor(2) as pool:
                start = time.perf_counter()
                list(pool.map(lambda job: dense_crf(*job), jobs))
                both = (time.perf_counter() - start) / len(jobs)
            own = np.mean(ours)
            row = f"{num_labels:6}  {preset:8}{1000 * own:8.0f}{1000 * both:11.0f}"
            if theirs:
                row += f"{1000 * np.mean(theirs):12.0f}{own / np.mean(theirs):8.2f}{np.mean(agreement):11.2%}"
            print(row, flush=True)


if __name__ == "__main__":
    main()
