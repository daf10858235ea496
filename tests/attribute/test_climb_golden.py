"""The climb against the authors' program, step by step, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import advcam
from advcam.attribute import grid


def tiny_mapper(arrays: dict[str, np.ndarray]) -> advcam.ClassMapper:
    layers: list[nn.Module] = []
    for index, stride in ((1, 2), (2, 2), (3, 1)):
        weight = torch.from_numpy(arrays[f"w{index}"]).double()
        conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, stride=stride, padding=1).double()
        conv.weight.data, conv.bias.data = weight, torch.from_numpy(arrays[f"b{index}"]).double()
        layers += [conv, nn.ReLU()]
    return advcam.ClassMapper(nn.Sequential(*layers), torch.from_numpy(arrays["wc"]).double())


@pytest.mark.parametrize("case", ["A", "B", "C", "D"])
def test_equals_the_authors_program(golden, case):
    arrays = golden(f"climb/case_{case}")
    mapper = tiny_mapper(arrays)
    settings = advcam.ClimbSettings(reg_weight=float(arrays["AD_coeff"]), steps=int(arrays["n_steps"]))
    targets = torch.from_numpy(arrays["targets"])
    images = torch.from_numpy(arrays["x0"][:1]).double().expand(len(targets), -1, -1, -1)
    steps = []
    total = advcam.climb(mapper, images, targets, settings, on_step=steps.append)
    assert [step.step for step in steps] == list(range(27))
    for index, target in enumerate(targets.tolist()):
        want = {key.split("_", 1)[1]: value for key, value in arrays.items() if key.startswith(f"c{target}_")}
        np.testing.assert_allclose(total[index], want["acc"], rtol=1e-9, atol=1e-13)
        for step in steps:
            np.testing.assert_allclose(step.maps[index], want["regions"][step.step], rtol=1e-9, atol=1e-14)
            np.testing.assert_allclose(step.scores[index], want["logits"][step.step], rtol=1e-9, atol=1e-13)
            np.testing.assert_allclose(step.objective[index], want["loss"][step.step], rtol=1e-9, atol=1e-12)
        for step in (1, 5):
            np.testing.assert_allclose(steps[step].images[index], want[f"x_{step}"], rtol=0, atol=1e-11)


def test_four_scales_equal_the_authors_program(golden):
    arrays = golden("multiscale/case")
    mapper = tiny_mapper(arrays)
    classes = torch.from_numpy(arrays["targets"])
    image = torch.from_numpy(arrays["image_u8_0"])
    maps = advcam.localization_maps(mapper, image, classes, advcam.ClimbSettings.released())
    np.testing.assert_allclose(maps, arrays["high_res"], rtol=1e-9, atol=1e-12)
    assert maps.shape == (2, 97, 131)


def test_both_grids_equal_the_authors_program(golden):
    arrays = golden("multiscale/case")
    raw = [torch.from_numpy(arrays[f"acc_{index}"]) for index in arrays["execution_order"]]
    size = tuple(arrays["size"].tolist())
    np.testing.assert_allclose(grid.cam(raw, size), arrays["cam"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(grid.high_res(raw, size), arrays["high_res"], rtol=1e-9, atol=1e-12)
