"""The sparse walk against the dense matrix, and what every such walk must keep."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from advcam.errors import DataError, SettingsError
from advcam.refine.pairs import cells_at, pair_labels, pair_offsets, radius_of, surround
from advcam.refine.walk import _walk_compiled, _walk_tensors, random_walk, upscale


def dense_links(links: Tensor, radius: int) -> Tensor:
    """The symmetric matrix of all cells, with ones on the diagonal, written out pair by pair."""
    _, height, width = links.shape
    matrix = torch.eye(height * width, dtype=links.dtype)
    for o, (dy, dx) in enumerate(pair_offsets(radius)):
        for y in range(height):
            for x in range(width):
                if y + dy < height and 0 <= x + dx < width:
                    source, destination = y * width + x, (y + dy) * width + x + dx
                    matrix[source, destination] = matrix[destination, source] = links[o, y, x]
    return matrix


def random_links(radius: int, height: int, width: int) -> Tensor:
    """Random links between all cells closer than ``radius``, zero where they leave the grid."""
    links = torch.rand(len(pair_offsets(radius)), height, width, dtype=torch.float64) ** 3
    ones = surround(torch.ones(height, width, dtype=torch.float64), radius, 0.0)
    inside = [cells_at(ones, offset, radius) for offset in pair_offsets(radius)]
    return links * torch.stack(inside)


@pytest.mark.parametrize(
    ("radius", "height", "width"),
    [(2, 7, 5), (3, 6, 9), (5, 12, 17), (5, 3, 4), (5, 1, 20), (5, 20, 1), (5, 1, 1), (10, 8, 11)],
)
@pytest.mark.parametrize("walk", [_walk_compiled, _walk_tensors])
def test_steps_equal_powers_of_the_dense_matrix(walk, radius, height, width):
    links, scores = random_links(radius, height, width), torch.rand(3, height, width, dtype=torch.float64)
    matrix = dense_links(links, radius)
    transition = matrix / matrix.sum(dim=0)
    for steps in (1, 2, 37):
        expected = scores.flatten(1) @ torch.linalg.matrix_power(transition, steps)
        torch.testing.assert_close(
            walk(scores[None], links[None], radius, steps)[0].flatten(1), expected, rtol=1e-12, atol=1e-14
        )


def test_mass_range_and_constants_are_kept():
    links, scores = random_links(5, 12, 17), torch.rand(4, 12, 17, dtype=torch.float64)
    walked = random_walk(scores, links, steps=256)
    column_sums = dense_links(links, 5).sum(dim=0).reshape(12, 17)
    torch.testing.assert_close(
        (walked * column_sums).sum(dim=(1, 2)), (scores * column_sums).sum(dim=(1, 2)), rtol=1e-12, atol=0
    )
    assert (walked.amin(dim=(1, 2)) >= scores.amin(dim=(1, 2))).all()
    assert (walked.amax(dim=(1, 2)) <= scores.amax(dim=(1, 2))).all()
    torch.testing.assert_close(
        random_walk(torch.full_like(scores, 0.3), links, steps=256), torch.full_like(scores, 0.3)
    )
    assert (random_walk(torch.zeros_like(scores), links, steps=256) == 0).all()


def test_images_of_a_batch_do_not_meet():
    links = torch.stack([random_links(3, 6, 9) for _ in range(4)]).reshape(2, 2, -1, 6, 9)
    scores = torch.rand(2, 2, 3, 6, 9, dtype=torch.float64)
    together = random_walk(scores, links, steps=16)
    for n in range(2):
        for m in range(2):
            assert torch.equal(together[n, m], random_walk(scores[n, m], links[n, m], steps=16))


def test_the_input_stays_and_the_result_repeats():
    links, scores = random_links(5, 12, 17), torch.rand(4, 12, 17, dtype=torch.float64)
    before = scores.clone(), links.clone()
    first = random_walk(scores, links, steps=64)
    assert torch.equal(first, random_walk(scores, links, steps=64))
    assert torch.equal(scores, before[0])
    assert torch.equal(links, before[1])


def test_views_and_precisions():
    links, scores = random_links(3, 6, 9), torch.rand(3, 9, 6, dtype=torch.float64).transpose(1, 2)
    expected = random_walk(scores.contiguous(), links, steps=64)
    assert torch.equal(random_walk(scores, links, steps=64), expected)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float16, 1e-3)):
        walked = random_walk(scores.to(dtype), links.to(dtype), steps=64)
        assert walked.dtype == dtype
        torch.testing.assert_close(walked.double(), expected, rtol=0, atol=tolerance)
    assert random_walk(scores.requires_grad_(), links, steps=2).requires_grad is False


def test_no_classes_walk_to_no_classes():
    assert random_walk(torch.zeros(0, 6, 9), random_links(3, 6, 9), steps=4).shape == (0, 6, 9)


def test_unfit_inputs_are_named():
    scores, links = torch.rand(2, 6, 9), torch.rand(34, 6, 9)
    with pytest.raises(DataError, match=r"\(34, 6, 8\).*\(2, 6, 9\).*same grid"):
        random_walk(scores, links[..., :8], steps=4)
    with pytest.raises(DataError, match="same images"):
        random_walk(scores, links[None], steps=4)
    with pytest.raises(DataError, match=r"33 planes .*radius 5 has 34"):
        random_walk(scores, links[:33], steps=4)
    with pytest.raises(DataError, match="0 planes"):
        random_walk(scores, links[:0], steps=4)
    with pytest.raises(DataError, match="negative"):
        random_walk(scores, links - 1, steps=4)
    with pytest.raises(DataError, match="not finite"):
        random_walk(scores / 0, links, steps=4)
    with pytest.raises(SettingsError, match="at least 1 step, not 0"):
        random_walk(scores, links, steps=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cpu_and_gpu_agree():
    links, scores = random_links(5, 24, 32), torch.rand(3, 24, 32, dtype=torch.float64)
    walked = random_walk(scores.cuda(), links.cuda(), steps=256)
    assert walked.is_cuda
    torch.testing.assert_close(walked.cpu(), random_walk(scores, links, steps=256), rtol=1e-10, atol=0)


@pytest.mark.parametrize(("radius", "count"), [(2, 4), (3, 12), (5, 34), (10, 152)])
def test_offsets_of_a_radius(radius, count):
    offsets = pair_offsets(radius)
    assert len(offsets) == len(set(offsets)) == count
    assert radius_of(count) == radius
    assert all(dy > 0 or (dy == 0 and dx > 0) for dy, dx in offsets)
    # Together with their opposites and the cell itself: the whole disc.
    disc = {
        (dy, dx) for dy in range(-radius, radius + 1) for dx in range(-radius, radius + 1) if dy**2 + dx**2 < radius**2
    }
    assert {(0, 0), *offsets, *((-dy, -dx) for dy, dx in offsets)} == disc
    with pytest.raises(SettingsError, match=r"at least 2 cells .* not 1"):
        pair_offsets(1)


@pytest.mark.parametrize(("height", "width"), [(3, 30), (30, 5), (1, 1), (4, 8)])
def test_a_grid_smaller_than_the_radius_has_no_sources(height, width):
    labels = pair_labels(torch.zeros(2, height, width, dtype=torch.uint8), radius=5)
    assert labels.background.shape[:2] == (2, 34)
    assert labels.background.numel() == 0


def test_ignored_cells_are_in_no_pair():
    labels = torch.randint(0, 4, (9, 12))
    labels[labels == 3] = 255
    found = pair_labels(labels, radius=3)
    source = cells_at(labels, (0, 0), 3)
    for o, offset in enumerate(pair_offsets(3)):
        destination = cells_at(labels, offset, 3)
        one_of_three = found.background[o].int() + found.foreground[o].int() + found.different[o].int()
        assert torch.equal(one_of_three == 1, (source != 255) & (destination != 255))
        assert torch.equal(found.background[o], (source == 0) & (destination == 0))


def test_upscale():
    ramp = torch.arange(4.0).expand(1, 2, 4)
    assert upscale(ramp, stride=2, size=(3, 7)).tolist() == [[[0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75]] * 3]
    batch = torch.rand(2, 3, 5, 6)
    assert torch.equal(upscale(batch, 4, (18, 23))[1], upscale(batch[1], 4, (18, 23)))
    with pytest.raises(DataError, match="2 x 4 cells at stride 2 cover 4 x 8 pixels, less than the image's 5 x 8"):
        upscale(ramp, stride=2, size=(5, 8))
