"""SC-CAM: what k-means finds, and the three rounds of a training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from trainings import BACKBONE, Pictures

from advcam.classify.methods import load_method
from advcam.classify.settings import ClassifySettings, SubCategorySettings
from advcam.classify.sub_categories import k_means, sub_categories
from advcam.classify.train import train_classifier

CENTRES = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])


def test_clusters_that_lie_apart_are_found():
    generator, places = np.random.default_rng(1), np.arange(60) % 3
    points = CENTRES[places] + generator.normal(size=(60, 2))
    labels = k_means(points, 3, np.random.default_rng(0))
    assert len({(a, b) for a, b in zip(places.tolist(), labels.tolist(), strict=True)}) == 3
    peer = pytest.importorskip("sklearn.cluster").KMeans(3, n_init=10, random_state=0).fit(points)
    spread = sum(((points[labels == k] - points[labels == k].mean(axis=0)) ** 2).sum() for k in range(3))
    assert spread == pytest.approx(peer.inertia_)


def test_images_of_two_classes_take_part_in_both():
    features = np.array([[0.0], [0.2], [9.0], [9.1]])
    found = sub_categories(features, [(0,), (0, 2), (0, 2), (2,)], clusters=2)
    assert [len(own) for own in found] == [1, 2, 2, 1]
    assert found[0][0] == found[1][0] != found[2][0]
    assert found[2][1] == found[3][0] != found[1][1]
    assert {sub // 2 for own in found for sub in own} == {0, 2}


def test_three_rounds(tmp_path: Path):
    pictures = Pictures.draw(tmp_path / "pictures")
    settings = ClassifySettings(
        method="sub_categories",
        batch_size=2,
        epochs=3,
        lr=0.01,
        crop=32,
        long_side=(28, 40),
        val_long_side=32,
        workers=0,
    )
    rounds = SubCategorySettings(clusters=2, rounds=(1 / 3, 1 / 3, 2 / 3))
    images, folder = pictures.images, tmp_path / "classifier"
    result = train_classifier(BACKBONE, images, None, settings, folder, rounds=rounds, device="cpu")
    assert result.fit.updates == 6  # two of three epochs
    assert sorted(path.name for path in (folder / "rounds").iterdir()) == ["0", "1", "2"]
    network, names = load_method(folder)
    assert (network.map, network.sub_head.out_features, names) == ("sub_categories", 4, ("one", "other"))
    again = train_classifier(BACKBONE, images, None, settings, tmp_path / "again", rounds=rounds, device="cpu")
    other, _ = load_method(again.folder)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
    # From a plain classifier that is there already.
    given = replace(rounds, features=str(folder), rounds=(1 / 3,))
    train_classifier(BACKBONE, images, None, settings, tmp_path / "given", rounds=given, device="cpu")
    assert not (tmp_path / "given" / "rounds").exists()
