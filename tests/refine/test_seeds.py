"""Hard labels from maps, and IRN's rule of what is sure."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from advcam.errors import DataError, SettingsError
from advcam.refine.seeds import confident_labels, dataset_labels, local_seed, seed_labels
from advcam.refine.settings import SeedSettings


def stacked_argmax(maps: torch.Tensor, classes: torch.Tensor, threshold: float) -> np.ndarray:
    """The definition, written as the reference programs state it."""
    plane = np.full((1, *maps.shape[1:]), threshold, dtype=maps.numpy().dtype)
    return np.array([0, *(classes + 1).tolist()])[np.argmax(np.concatenate([plane, maps.numpy()]), axis=0)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.3, 0.7])
def test_equals_arg_max_over_threshold_and_maps(dtype, threshold):
    values = np.random.default_rng(2).integers(0, 11, (3, 40, 50)) / 10
    maps, classes = torch.from_numpy(values).to(dtype), torch.tensor([1, 7, 19])
    labels = seed_labels(maps, classes, threshold)
    assert labels.dtype == torch.uint8
    np.testing.assert_array_equal(labels, stacked_argmax(maps, classes, threshold))


def test_ties_go_to_the_background_then_to_the_first_class():
    maps = torch.tensor([[[0.3, 0.8, 0.5]], [[0.3, 0.8, 0.9]]])
    assert seed_labels(maps, torch.tensor([4, 9]), 0.3).tolist() == [[0, 5, 10]]


def test_image_without_class_is_background():
    labels = seed_labels(torch.zeros(0, 3, 4), torch.zeros(0, dtype=torch.int64), 0.3)
    assert labels.shape == (3, 4)
    assert not labels.any()


def test_map_of_zeros_gives_background_even_at_threshold_zero():
    assert not seed_labels(torch.zeros(2, 3, 4), torch.tensor([0, 1]), 0.0).any()


def test_reference_seeds(golden):
    arrays = golden("miou/seed_sweep")
    for index in range(3):
        maps, classes = torch.from_numpy(arrays[f"cams_{index}"]), torch.from_numpy(arrays[f"keys_{index}"])
        labels = seed_labels(maps, classes, 0.18)
        np.testing.assert_array_equal(labels, stacked_argmax(maps, classes, 0.18))
        assert set(labels.unique().tolist()) <= {0, *(classes + 1).tolist()}


def test_confident_labels_by_hand():
    foreground = torch.tensor([[1, 2, 0, 0, 0, 2]], dtype=torch.uint8)
    background = torch.tensor([[1, 1, 0, 1, 2, 0]], dtype=torch.uint8)
    # Foreground of the strict seed stands, also where the generous seed disagrees (after a CRF it may).
    assert confident_labels(foreground, background, torch.tensor([6, 14])).tolist() == [[7, 15, 0, 255, 255, 15]]


def test_confident_labels_from_two_thresholds():
    maps = torch.linspace(0, 1, 101)[None, None]
    settings = SeedSettings()
    labels = confident_labels(
        local_seed(maps, settings.confident_foreground),
        local_seed(maps, settings.confident_background),
        torch.tensor([3]),
    )[0]
    assert labels[:16].eq(0).all()
    assert labels[16:36].eq(255).all()
    assert labels[36:].eq(4).all()


def test_labels_beyond_an_8_bit_mask_are_refused():
    local = torch.zeros(2, 2, dtype=torch.uint8)
    assert dataset_labels(local + 1, torch.tensor([253])).eq(254).all()
    with pytest.raises(DataError, match=r"room for classes 0\.\.253"):
        dataset_labels(local, torch.tensor([254]))
    with pytest.raises(DataError, match="the local label 2, but its image has 1 classes"):
        dataset_labels(local + 2, torch.tensor([5]))


def test_settings():
    with pytest.raises(SettingsError, match="must lie in"):
        SeedSettings(threshold=1.5)
    with pytest.raises(SettingsError, match="above seed"):
        SeedSettings(confident_foreground=0.1)
