"""Training a detector: the loss by hand, pairs of every kind, a network that learns, and a training that is resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from advcam.data.record import Record
from advcam.errors import DataError, SettingsError
from advcam.saliency.pairs import Pair, find_pairs
from advcam.saliency.settings import DetectorSettings
from advcam.saliency.train import DetectorTask, deep_loss, overlap
from advcam.saliency.u2net import U2Net, U2NetPlan
from advcam.training import fit

# A network of the published shape, but narrow.
NARROW = U2NetPlan(encoder=((3, 2, 4), *((4, 2, 4),) * 5), decoder=((8, 2, 4),) * 5)


def squares(folder: Path, count: int = 6, size: int = 48) -> tuple[Path, Path]:
    """Pictures with a bright square each, and their grey masks, in two folders."""
    generator = np.random.default_rng(0)
    for index in range(count):
        image = generator.integers(40, 90, (size, size, 3), dtype=np.uint8)
        mask = np.zeros((size, size), np.uint8)
        top, left = generator.integers(2, size // 2 - 2, 2)
        mask[top : top + size // 2, left : left + size // 2] = 255
        image[mask > 0] = generator.integers(180, 230, 3)
        for name, values in (("pictures", image), ("masks", mask)):
            path = folder / name / f"sub/{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path)
    return folder / "pictures", folder / "masks"


def settings(folder: Path, **changes) -> DetectorSettings:
    pictures, masks = squares(folder)
    small = DetectorSettings(
        data=str(pictures), masks=str(masks), size=40, crop=32, batch_size=2, epochs=2, workers=0, holdout=0.2
    )
    return replace(small, **changes)


def test_deep_loss_by_hand():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 7, 3, 4, generator=generator, dtype=torch.float64).float()
    target = (torch.rand(2, 3, 4, generator=generator) > 0.5).float()
    known = torch.ones(2, 3, 4)
    known[0, :2] = 0
    p, t, k = logits.sigmoid().double(), target.double()[:, None], known.double()[:, None]
    entropy = -(t * p.log() + (1 - t) * (1 - p).log()) * k
    torch.testing.assert_close(
        deep_loss(logits, target, known).double(), entropy.sum(dim=(0, 2, 3)) / k.sum(), rtol=1e-5, atol=1e-6
    )


def test_overlap_counts_known_pixels():
    saliency, target = torch.tensor([[0.9, 0.6, 0.2, 0.7]]), torch.tensor([[1.0, 0.0, 1.0, 1.0]])
    found = overlap(saliency, target, torch.tensor([[1.0, 1.0, 1.0, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([1.5, 3, 1, 1, 1]).double())


def test_pairs_of_grey_masks(tmp_path):
    pairs, held = find_pairs(settings(tmp_path))
    assert len(pairs) + len(held) == 6
    assert {pair.record.id for pair in pairs + held} == {f"sub/{index}" for index in range(6)}
    image, target, known = pairs[0].read()
    assert image.shape == (48, 48, 3)
    assert set(np.unique(target)) == {0.0, 1.0}
    assert known.all()


def test_classes_are_the_object_and_255_is_unknown(tmp_path):
    image, mask = np.zeros((10, 12, 3), np.uint8), np.zeros((10, 12), np.uint8)
    mask[:, 4:8], mask[:, 8:10] = 3, 255
    for name, values in (("a.jpg", image), ("a.png", mask)):
        Image.fromarray(values).save(tmp_path / name)
    _, target, known = Pair(Record("a", tmp_path / "a.jpg", (2,), tmp_path / "a.png"), grey=False).read()
    assert target[0].tolist() == [0] * 4 + [1] * 4 + [0] * 4
    assert known[0].tolist() == [True] * 8 + [False] * 2 + [True] * 2


def test_images_that_are_mapped_are_left_out(tmp_path):
    config = settings(tmp_path, holdout=0.0)
    pairs, held = find_pairs(config, {"sub/1", "sub/4"})
    assert [pair.record.id for pair in pairs] == ["sub/0", "sub/2", "sub/3", "sub/5"]
    assert not held
    with pytest.raises(DataError, match="all 6 of its images with a mask are mapped by this run"):
        find_pairs(config, {f"sub/{index}" for index in range(6)})


def test_pairs_that_do_not_fit_are_named(tmp_path):
    config = settings(tmp_path)
    masks = Path(config.masks)
    Image.new("L", (20, 20)).save(masks / "sub/0.png")
    with pytest.raises(DataError, match=r"0\.png: the mask is 20 x 20 pixels, but its picture is 48 x 48"):
        Pair(Record("sub/0", Path(config.data) / "sub/0.png", (), masks / "sub/0.png"), grey=True).read()
    (masks / "sub/2.png").unlink()
    with pytest.raises(DataError, match=r"1 of 6 pictures .* have no mask there \(sub/2\)"):
        find_pairs(config)
    with pytest.raises(DataError, match="no such folder"):
        find_pairs(replace(config, masks="nowhere"))


def test_items_depend_on_seed_epoch_and_index_alone(tmp_path):
    config = settings(tmp_path)
    pairs, held = find_pairs(config)
    tasks = [DetectorTask(U2Net(NARROW), config, pairs, held) for _ in range(2)]
    first, again, other = tasks[0].item(0, 1), tasks[1].item(0, 1), tasks[0].item(1, 1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["image"], other["image"])
    assert first["image"].shape == (3, 32, 32)
    # The square is bright: picture and foreground are cut and mirrored together.
    assert (
        (first["image"].mean(dim=0)[first["target"] > 0]).min()
        > (first["image"].mean(dim=0)[first["target"] == 0]).max()
    )


def test_a_narrow_network_learns_bright_squares(tmp_path):
    config = settings(tmp_path, updates=32, validate_every=32, lr=0.01)
    torch.manual_seed(0)
    network = U2Net(NARROW)
    pairs, held = find_pairs(config)
    result = fit(DetectorTask(network, config, pairs, held), tmp_path / "run", origin={"data": "squares"}, device="cpu")
    losses = result.losses["loss"]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert result.kept["iou"] > 0.5
    assert (tmp_path / "run" / "samples").is_dir()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": 400}, "detector.crop is 400"),
        ({"holdout": 1.0}, "detector.holdout"),
        ({"masks": "m"}, "without detector.data"),
        ({"data": "d", "masks": "m", "split": "train"}, "has no lists"),
    ],
)
def test_settings_that_make_no_sense(change, message):
    with pytest.raises(SettingsError, match=message):
        DetectorSettings(**change)
