"""What the engine leaves out and shares: proven by equality in float64, and by counting its passes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import advcam
from advcam.attribute.climb import climb_pairs
from advcam.attribute.maps.cam import memory_order
from advcam.attribute.methods import Plain
from advcam.attribute.pixels import views

SETTINGS = advcam.ClimbSettings(steps=9, reg_weight=0.3)
CLASSES = torch.tensor([0, 2, 1, 0, 1, 3])


def mapper() -> advcam.ClassMapper:
    torch.manual_seed(1)
    features = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3, padding=1), nn.ReLU()
    )
    found = advcam.ClassMapper(features.double(), torch.randn(4, 6).double()).eval()
    assert found.output_stride == 2  # measured once, before passes are counted
    return found


def images(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, 16, 20, generator=torch.Generator().manual_seed(2)).double()


class Passes(TorchDispatchMode):
    """Counts network inputs that pass the first and the last convolution, and whatever waits for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.forward = self.backward = self.waits = 0
        self.weight_gradients = False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function)
        if name.startswith("aten.convolution.") and args[0].shape[1] == 3:
            self.forward += args[0].shape[0]
        if name.startswith("aten.convolution_backward.") and args[1].shape[1] == 3:
            self.backward += args[1].shape[0]
        if name.startswith("aten.convolution_backward."):
            self.weight_gradients |= any(args[-1][1:])
        self.waits += name.startswith(("aten._local_scalar_dense", "aten.nonzero", "aten.is_nonzero", "aten.equal"))
        return function(*args, **(kwargs or {}))


def test_passes_of_a_climb():
    net = mapper()
    with Passes() as passes:
        advcam.climb(net, images(), CLASSES[:3], SETTINGS)
    # Two views of three pairs; the last of 9 steps goes forward only.
    assert (passes.forward, passes.backward) == (2 * 3 * 9, 2 * 3 * 8)
    assert not passes.weight_gradients


def test_passes_of_class_activation_maps():
    map_, owners = advcam.maps.CAM(mapper()), torch.tensor([0, 0, 1, 1, 1, 2])
    with Passes() as passes:
        found = Plain()(map_, images(), owners, CLASSES, 1.0)
    # Two views of three images: one pass of an image serves all its classes, and changes nothing.
    assert (passes.forward, passes.backward) == (2 * 3, 0)
    alone = climb_pairs(map_, images()[owners], CLASSES, advcam.ClimbSettings(steps=1))
    assert torch.equal(found.cam, alone.cam)
    assert torch.equal(found.logits, alone.logits)


def test_nothing_in_the_loop_waits_for_the_device():
    one, many = ({"settings": replace(SETTINGS, steps=steps)} for steps in (1, 9))
    waits, net = [], mapper()
    for options in (one, many):
        with Passes() as passes:
            advcam.climb(net, images(), CLASSES[:3], **options)
        waits.append(passes.waits)
    assert waits[0] == waits[1]  # only the check of the classes, before the loop


def test_the_memory_order_of_the_network_changes_nothing():
    plain, last = mapper(), mapper().to(memory_format=torch.channels_last)
    assert memory_order(plain) == torch.contiguous_format
    assert memory_order(last) == torch.channels_last
    x = views(advcam.maps.CAM(last).start(images()), True)
    assert x.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    found = advcam.climb(last, images(), CLASSES[:3], SETTINGS)
    wanted = advcam.climb(plain, images(), CLASSES[:3], SETTINGS)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-13)
