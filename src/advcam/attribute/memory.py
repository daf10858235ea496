"""How many pixels a batch may hold: as many as the memory has room for, up to where more of them gain nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from advcam.models.mapper import ClassMapper
from advcam.models.probe import probe_image

# Where larger batches stop being faster; on a CPU they get slower, as activations no longer fit its caches.
CPU_MOST, GPU_MOST = 2**19, 2**25
# Part of the free memory that a batch may take, and what it takes beside the activations kept for the way back:
# gradients on their way, the network's scratch memory, the pixels themselves.
PART, BESIDE = 0.6, 1.5


def batch_pixels(mapper: ClassMapper, free: int | None) -> int:
    """Pixels in one batch, mirror images counted: a power of two, so that a little less free memory changes nothing.

    Args:
        mapper: the classifier, on the device that it will run on.
        free: bytes that are free there, None where that is not known.

    >>> mapper = ClassMapper(torch.nn.Conv2d(3, 8, 3, stride=4, padding=1), torch.randn(5, 8))
    >>> batch_pixels(mapper, None) == CPU_MOST, batch_pixels(mapper, 2**20) < 2**17
    (True, True)
    """
    most = CPU_MOST if mapper.device.type == "cpu" else GPU_MOST
    if free is None:
        return most
    fitting = PART * free / (BESIDE * bytes_per_pixel(mapper))
    return min(most, 1 << max(0, int(fitting).bit_length() - 1))


def bytes_per_pixel(mapper: ClassMapper) -> float:
    """Memory of the activations that a backward pass to the input needs, per pixel of the batch."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*mapper.parameters(), *mapper.buffers())}
    image = probe_image(mapper.features, 128, 160).to(mapper.device, mapper.dtype).requires_grad_()
    kept = {image.untyped_storage().data_ptr(): image.nbytes}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with mapper.frozen(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        # Referenced until all of it is counted: memory that is used again would be counted once.
        maps = mapper.class_maps(image)
    del maps
    return sum(kept.values()) / (image.shape[2] * image.shape[3])


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free on a device; of the main memory under Linux only."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if not sys.platform.startswith("linux"):
        return None
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)
