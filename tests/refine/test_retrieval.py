"""Regions named by their neighbours: a set where colours are classes, and each step by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from advcam.errors import DataError, SettingsError
from advcam.refine.retrieval import Memory, RetrievalSettings, eroded, named, pooled_features, remember


def test_erosion_leaves_the_pixels_away_from_other_labels():
    mask = np.zeros((9, 12), np.uint8)
    mask[2:8, 3:10] = 4
    kept = eroded(mask, 2)
    assert (kept == 4).nonzero()[0].tolist() == [4] * 3 + [5] * 3
    assert (kept == 0).sum() < (mask == 0).sum()
    assert set(np.unique(kept)) == {0, 4, 255}
    assert (eroded(np.full((4, 4), 7, np.uint8), 3) == 7).all()


def test_pooling_is_the_mean_over_the_pixels_of_each_region():
    torch.manual_seed(0)
    features, index = torch.randn(5, 3, 4, dtype=torch.float64), torch.randint(0, 6, (17, 22))
    full = features[:, (torch.arange(17) * 3 // 17)[:, None], (torch.arange(22) * 4 // 22)[None]]
    pooled, areas = pooled_features(features, index)
    expected = torch.stack([full[:, index == number].mean(dim=1) for number in range(6)])
    torch.testing.assert_close(pooled, expected)
    assert areas.tolist() == torch.bincount(index.flatten()).tolist()


def test_what_is_far_from_its_label_is_forgotten():
    features = torch.nn.functional.normalize(torch.tensor([[1.0, 0.1], [1.0, 0.0], [1.0, -0.1], [0.0, 1.0]]), dim=1)
    memory = Memory(features, torch.tensor([3, 3, 3, 3]), torch.arange(4))
    assert memory.without_far(0.25).images.tolist() == [0, 1, 2]
    assert len(memory.without_far(0.0).labels) == 4


def test_votes_are_mean_cosines_to_the_nearest_of_each_label():
    memory = Memory(torch.eye(3)[[0, 0, 1]], torch.tensor([2, 2, 5]), torch.tensor([0, 1, 1]))
    region = torch.tensor([[3.0, 4.0, 0.0]])
    labels = torch.tensor([2, 5, 9])
    torch.testing.assert_close(memory.votes(region, labels, 2), torch.tensor([[0.6], [0.8], [-1.0]]))
    torch.testing.assert_close(memory.votes(region, labels, 2, own_image=1)[:, 0], torch.tensor([0.6, -1.0, -1.0]))


def picture(label: int, shift: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features that tell the classes apart, the true mask, and four regions."""
    truth = torch.zeros(32, 32, dtype=torch.uint8)
    truth[8:24, 8 + shift : 24 + shift] = label
    centre = truth[2::4, 2::4].long()
    features = torch.eye(8)[centre].permute(2, 0, 1) + 0.05 * torch.randn(8, 8, 8)
    parts = 1 + (truth > 0).long()
    parts[16:] += 2
    return features, truth, parts


def test_a_memory_of_half_wrong_masks_names_whole_objects():
    torch.manual_seed(0)
    settings, memories = RetrievalSettings(erosion=1, min_area=4, neighbours=3), []
    for number, label in enumerate((3, 5, 3, 5, 3, 5)):
        features, truth, parts = picture(label, shift=number % 3)
        seed = truth.clone()
        seed[16:] = 0  # the maps see the upper half only
        memories.append(remember(features, seed, parts, settings, number))
    memory = Memory.joined(memories).without_far(0.3)
    features, truth, parts = picture(3, shift=1)
    labels = torch.tensor([0, 3, 5])
    voted = named(features, parts, memory, labels, settings.neighbours)
    assert torch.equal(labels[voted.argmax(dim=0)], truth.long())


def test_an_empty_memory_and_settings_without_sense_are_refused():
    features, truth, parts = picture(3, 0)
    nothing = remember(features, torch.full_like(truth, 255), parts, RetrievalSettings())
    with pytest.raises(DataError):
        Memory.joined([nothing])
    for wrong in ({"erosion": -1}, {"dropped": 1.0}, {"neighbours": 0}):
        with pytest.raises(SettingsError):
            RetrievalSettings(**wrong)
