"""What ``cct.save_memory`` saves and costs: bytes kept for the way back, and CPU time of a pass, in one run.

    python benchmarks/cct.py --crop 160 --images 2 --repeats 3

The variants take turns; the least CPU time of each counts. MobileNetV2 at stride 16 with the 30 decoders of CCT.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import torch
from torch import Tensor

from advcam.segment.cct.network import CCTNetwork, CCTTraining
from advcam.segment.cct.objective import Batch, Weights, objective
from advcam.segment.cct.settings import CCTSettings
from advcam.segment.cct.task import start_cct

WEIGHTS = Weights(consistency=30.0, weak=0.4, threshold=0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crop", type=int, default=160)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--labels", type=int, default=21)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings = CCTSettings(
        architecture="torchvision/mobilenet_v2", weights=None, output_stride=16, psp_channels=128, crop=asked.crop
    )
    names = tuple(str(number) for number in range(asked.labels - 1))
    network = start_cct(settings, names)[0].network
    assert isinstance(network, CCTNetwork)
    training = CCTTraining(network, settings).train()
    batch = random_batch(asked.images, asked.crop, asked.labels)
    kept: dict[bool, int] = {}
    least = {False: float("inf"), True: float("inf")}
    for _ in range(asked.repeats):
        for save_memory in (False, True):
            told = replace(settings, save_memory=save_memory)
            kept[save_memory], seconds = one_pass(training, batch, told)
            least[save_memory] = min(least[save_memory], seconds)
    for save_memory, word in ((False, "all kept"), (True, "save_memory")):
        print(f"{word:12} {kept[save_memory] / 2**20:8.0f} MiB kept for the way back, {least[save_memory]:6.2f} s CPU")
    print(f"ratio        {kept[True] / kept[False]:8.2f} of the bytes, {least[True] / least[False]:6.2f} of the time")


def random_batch(images: int, crop: int, labels: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    seen, others = (torch.randn(images, 3, crop, crop, generator=generator) for _ in range(2))
    masks = torch.randint(0, labels, (images, crop, crop), generator=generator)
    return Batch(seen, masks, others, masks.flip(0))


def one_pass(training: CCTTraining, batch: Batch, settings: CCTSettings) -> tuple[int, float]:
    """Bytes of the distinct tensors that wait for the way back, and CPU seconds both ways."""
    waiting: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        waiting[storage.data_ptr()] = storage.nbytes()
        return tensor

    torch.manual_seed(0)
    started = time.process_time()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = objective(training, batch, WEIGHTS, settings)["loss"]
    kept = sum(waiting.values())
    loss.backward()
    seconds = time.process_time() - started
    training.zero_grad(set_to_none=True)
    return kept, seconds


if __name__ == "__main__":
    main()
