"""What the engine leaves out and shares: proven by equality in float64, and by counting its passes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import advcam
from advcam.attribute.climb import begin, climb_pairs, go_on
from advcam.attribute.methods import CAM, Climb
from advcam.attribute.pairs import image_batches
from advcam.attribute.pixels import memory_order, views
from advcam.errors import SettingsError

SETTINGS = advcam.ClimbSettings(steps=9, reg_weight=0.3)
OWNERS, CLASSES = [0, 0, 1, 2, 2, 2], torch.tensor([0, 2, 1, 0, 1, 3])


def mapper() -> advcam.ClassMapper:
    torch.manual_seed(1)
    features = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3, padding=1), nn.ReLU()
    )
    return advcam.ClassMapper(features.double(), torch.randn(4, 6).double()).eval()


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


def test_classes_of_an_image_that_share_their_first_pass_equal_those_that_do_not():
    shared = climb_pairs(mapper(), images(), CLASSES, SETTINGS, owners=OWNERS)
    alone = climb_pairs(mapper(), images()[OWNERS], CLASSES, SETTINGS)
    for name in ("maps", "cam", "logits"):
        torch.testing.assert_close(getattr(shared, name), getattr(alone, name), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("batch", [1, 2, 6])
@pytest.mark.parametrize("method", [CAM(), Climb(SETTINGS, (1.0,))], ids=["cam", "advcam"])
def test_pairs_keep_their_order_whatever_the_batch(method, batch):
    found = method(mapper(), images(), CLASSES, OWNERS, 1.0, batch)
    alone = [method(mapper(), images()[own][None], CLASSES[i][None], [0], 1.0, 1) for i, own in enumerate(OWNERS)]
    for name in ("maps", "cam", "logits"):
        wanted = torch.cat([getattr(one, name) for one in alone])
        torch.testing.assert_close(getattr(found, name), wanted, rtol=1e-10, atol=1e-13)


def test_passes_of_a_climb():
    with Passes() as passes:
        Climb(SETTINGS, (1.0,))(mapper(), images(), CLASSES, OWNERS, 1.0, 4)
    # Two views; 3 images share the first pass of 6 pairs, and the last of 9 steps goes forward only.
    assert passes.forward == 2 * (3 + 8 * 6)
    assert passes.backward == 2 * 8 * 6
    assert not passes.weight_gradients


def test_passes_of_class_activation_maps():
    with Passes() as passes:
        CAM()(mapper(), images(), CLASSES, OWNERS, 1.0, 2)
    assert (passes.forward, passes.backward) == (2 * 3, 0)


def test_nothing_in_the_loop_waits_for_the_device():
    net = mapper()
    begun = begin(net, images(), CLASSES, SETTINGS, OWNERS)
    with Passes() as passes:
        go_on(net, begun, CLASSES, SETTINGS)
    assert passes.forward == 2 * 8 * 6
    assert passes.waits == 0


def test_the_memory_order_of_the_network_changes_nothing():
    plain, last = mapper(), mapper().to(memory_format=torch.channels_last)
    assert memory_order(plain) == torch.contiguous_format
    assert memory_order(last) == torch.channels_last
    x = views(images(), True, torch.channels_last)
    assert x.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    found = climb_pairs(last, images(), CLASSES, SETTINGS, owners=OWNERS).maps
    wanted = climb_pairs(plain, images(), CLASSES, SETTINGS, owners=OWNERS).maps
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("change", [{"flip": False}, {"last_map": True}, {"steps": 1}, {"clamp": False}])
def test_shared_first_pass_in_other_forms_of_the_climb(change):
    settings = replace(SETTINGS, steps=3, normalize_gradient="clamp" not in change)
    settings = replace(settings, **change)
    shared = climb_pairs(mapper(), images(), CLASSES, settings, owners=OWNERS).maps
    alone = climb_pairs(mapper(), images()[OWNERS], CLASSES, settings).maps
    torch.testing.assert_close(shared, alone, rtol=1e-10, atol=1e-13)


def test_batches_of_images_hold_equally_many_classes():
    assert list(image_batches([5, 5, 3, 4], size=1)) == [([3], [2]), ([4], [3]), ([5], [0, 1])]
    assert list(image_batches([], size=3)) == []


def test_owners_that_are_no_images_are_named():
    with pytest.raises(SettingsError, match="owners must be among the 3 images"):
        climb_pairs(mapper(), images(), torch.tensor([0]), owners=[3])
