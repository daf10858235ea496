"""How many pixels a batch may hold: as many as the memory has room for, up to where more of them gain nothing."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from advcam.attribute.inputs import PictureMap
from advcam.models.probe import climbing

# Where larger batches stop being faster; on a CPU they get slower, as activations no longer fit its caches.
CPU_MOST, GPU_MOST = 2**19, 2**25
# Part of the free memory that a batch may take, and what it takes beside the activations kept for the way back:
# gradients on their way, the network's scratch memory, the pixels themselves.
PART, BESIDE = 0.6, 1.5


def batch_pixels(map_: PictureMap, free: int | None) -> int:
    """Pixels in one batch, mirror images counted: a power of two, so that a little less free memory changes nothing.

    Args:
        map_: of the network, on the device that it will run on.
        free: bytes that are free there, None where that is not known.

    >>> from advcam.attribute.maps.cam import CAM
    >>> from advcam.models.mapper import ClassMapper
    >>> map_ = CAM(ClassMapper(torch.nn.Conv2d(3, 8, 3, stride=4, padding=1), torch.randn(5, 8)))
    >>> batch_pixels(map_, None) == CPU_MOST, batch_pixels(map_, 2**20) < 2**17
    (True, True)
    """
    most = CPU_MOST if map_.device.type == "cpu" else GPU_MOST
    if free is None:
        return most
    fitting = PART * free / (BESIDE * bytes_per_pixel(map_))
    return min(most, 1 << max(0, int(fitting).bit_length() - 1))


def bytes_per_pixel(map_: PictureMap) -> float:
    """Memory of the activations that one look at the map keeps for a backward pass to the input, per pixel."""
    networks = [value for value in vars(map_).values() if isinstance(value, nn.Module)]
    own = {t.untyped_storage().data_ptr() for net in networks for t in (*net.parameters(), *net.buffers())}
    image = torch.randn(1, len(map_.mean), 128, 160, generator=torch.Generator().manual_seed(0))
    image = map_.start(image.to(map_.device, map_.dtype))[:, None].requires_grad_()
    kept = {image.untyped_storage().data_ptr(): image.nbytes}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    classes = torch.zeros(1, dtype=torch.long, device=map_.device)
    with climbing(map_), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        # Referenced until all of it is counted: memory that is used again would be counted once.
        seen = map_.see(image, classes)
    del seen
    return sum(kept.values()) / (image.shape[3] * image.shape[4])


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free on a device; of the main memory under Linux only."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if not sys.platform.startswith("linux"):
        return None
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)


def give_back(device: torch.device) -> None:
    """Return to the system what a batch has left free in main memory: batches of many sizes would leave it in pieces
    that none of the next ones fits, and the process would grow with the number of sizes."""
    if device.type == "cpu" and sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # of another C library than GNU's
            ctypes.CDLL(None).malloc_trim(0)
