"""Memory of large pictures in windows: the highest a process took, for pictures of several sides.

    python benchmarks/windows.py 2500 5000 10000

Plain maps of an untrained small ResNet at one scale, the dense CRF on four windows, and the labels of a network of one
layer and four classes. Beside the window there are the picture (three bytes a pixel), the maps (four bytes on every
sixteenth pixel for each class) and the mask (a byte a pixel).
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

PARTS = {
    "attribute": (
        "from advcam.models import BackboneSettings, build_classifier; "
        "from advcam.attribute.windows import map_windows; from advcam.attribute.methods import Plain; "
        "from advcam.attribute.maps.cam import CAM; "
        "map_ = CAM(build_classifier(BackboneSettings('timm/test_resnet', None), 4).eval().mapper()); "
        "found = map_windows(map_, picture, (0, 2), Plain(), scales=(1.0,), side=640, batch_pixels=2**19)"
    ),
    "refine": (
        "from pathlib import Path; from advcam.attribute.result import LocalizationMaps; "
        "from advcam.attribute.grid import stored_size; from advcam.data.record import Record; "
        "from advcam.data.windows import middle_of, windows; from advcam.pipeline.refiner import Subject; "
        "from advcam.refine.crf import crf_labels; from advcam.refine.settings import CRFSettings; "
        "from advcam.refine.seeds import local_seed; size = picture.shape[:2]; "
        "maps = np.random.default_rng(0).random((2, *stored_size(size)), np.float32).astype(np.float16); "
        "result = LocalizationMaps(np.array([0, 2]), maps, size, np.ones(2, np.float32)); "
        "whole = Subject(Record('a', Path('a'), (0, 2)), picture, result); mask = np.zeros(size, np.uint8)\n"
        "for window in windows(size, 640)[:4]:\n"
        "    part = whole.part(window); here, inner = middle_of(window, size, 640)\n"
        "    seed = local_seed(part.maps, 0.5); found = crf_labels(part.image, seed, 3, CRFSettings.irn())\n"
        "    mask[here] = found.numpy()[inner]"
    ),
    "predict": (
        "from advcam.segment.inference import Segmenter; from torch import nn; "
        "from advcam.segment.settings import InferenceSettings; net = nn.Conv2d(3, 5, 16, stride=16).eval(); "
        "found = Segmenter(net, ('a', 'b', 'c', 'd'), (0.5,) * 3, (0.25,) * 3)(picture, InferenceSettings(window=1280))"
    ),
    "nothing": "import advcam.pipeline.refiner, advcam.segment.inference, torchvision",
}

if __name__ == "__main__":
    for side in map(int, sys.argv[1:]):
        for name, code in PARTS.items():
            begin = time.perf_counter()
            told = (
                "import resource, numpy as np\n"
                f"picture = np.random.default_rng(0).integers(0, 256, ({side}, {side}, 3), dtype=np.uint8)\n"
                f"{code}\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
            )
            peak = int(subprocess.run([sys.executable, "-c", told], check=True, capture_output=True).stdout.split()[-1])
            print(f"{side} pixels, {name}: {peak / 1024:.0f} MB, {time.perf_counter() - begin:.0f} s", flush=True)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{children.ru_utime + children.ru_stime:.0f} s of a core in all")
