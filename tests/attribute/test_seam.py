"""SEAM's network and its maps: the refinement written out, what is climbed and what is summed, the published names."""

from __future__ import annotations

import pytest
import torch

import advcam
from advcam.classify.seam import SEAMNetwork, one_per_pixel, refined
from advcam.errors import ModelError

SHORT = advcam.ClimbSettings(steps=3, reg_weight=0.001)


def network() -> SEAMNetwork:
    torch.manual_seed(1)
    return SEAMNetwork(4, width=2).double().eval()


def images(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 32, 48, generator=torch.Generator().manual_seed(2)).double()


def test_the_refinement_written_out():
    maps, features = torch.rand(1, 3, 2, 2).double(), torch.randn(1, 5, 2, 2).double()
    f, q = features[0].flatten(1), maps[0].flatten(1)
    expected = torch.zeros(3, 4).double()
    for j in range(4):
        alike = [max(0.0, float(torch.cosine_similarity(f[:, i], f[:, j], dim=0))) for i in range(4)]
        expected[:, j] = sum(a * q[:, i] for i, a in enumerate(alike)) / sum(alike)
    torch.testing.assert_close(refined(maps, features)[0].flatten(1), expected, rtol=1e-4, atol=1e-4)


def test_one_class_and_the_background_in_each_cell():
    found = one_per_pixel(torch.randn(2, 5, 4, 6))
    assert ((found[:, 1:] > 0).sum(dim=1) <= 1).all()
    torch.testing.assert_close(found[:, 0], 1 - found[:, 1:].amax(dim=1))


def test_the_refined_map_is_summed_and_the_mean_of_the_other_climbed():
    net, steps = network(), []
    total = advcam.climb(advcam.maps.SEAM(net), images(), [0, 3], SHORT, on_step=steps.append)
    summed = torch.zeros_like(total)
    for step in steps:
        for view, x in enumerate(step.images.unbind(dim=1)):
            signed, after = net.both_maps(x)
            torch.testing.assert_close(step.scores[:, view], signed[:, 1:].mean(dim=(2, 3)).detach())
            own = torch.stack([after[0, 1], after[1, 4]]).detach()
            summed += own.flip(-1) if view else own
    torch.testing.assert_close(total, summed)
    first, last = (step.scores[0, :, 0].sum() - step.scores[0, :, 1:].sum() for step in (steps[0], steps[-1]))
    assert last > first


def test_published_names_load_and_others_are_named(tmp_path):
    names = {name.partition(".")[0] for name in SEAMNetwork(20, width=1).state_dict()}
    assert {"conv1a", "b2", "b5_2", "b6", "b7", "bn7", "f8_3", "f8_4", "f9", "fc8"} <= names
    torch.save({"fc8.weight": torch.zeros(21, 4096, 1, 1)}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="no network of SEAM with 20 classes"):
        SEAMNetwork.load(tmp_path / "w.pth")
