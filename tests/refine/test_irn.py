"""IRN's pairs, walk, losses and instances, against the reference program's numbers and small exact cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from advcam.errors import DataError, SettingsError
from advcam.refine import irn
from advcam.refine.pairs import PairLabels, affinity_losses, pair_labels, pair_offsets, surround


def close(found: Tensor, expected: np.ndarray, tolerance: float = 1e-11) -> None:
    torch.testing.assert_close(
        found.detach().double(), torch.from_numpy(np.asarray(expected, np.float64)), rtol=0, atol=tolerance
    )


def in_our_order(offsets: np.ndarray, radius: int) -> list[int]:
    """Where each of our offsets stands in the reference's order."""
    places = [tuple(offset) for offset in offsets.tolist()]
    assert sorted(places) == sorted(pair_offsets(radius))
    return [places.index(offset) for offset in pair_offsets(radius)]


def straight_walk(maps: Tensor, edge: Tensor, radius: int, beta: float, steps: int) -> Tensor:
    """The walk from its definition: every pair of cells, its own path, one dense matrix."""
    height, width = edge.shape
    cells = [(y, x) for y in range(height) for x in range(width)]
    matrix = torch.zeros(len(cells), len(cells), dtype=torch.float64)
    for i, (y, x) in enumerate(cells):
        for j, (v, u) in enumerate(cells):
            dy, dx = v - y, u - x
            squared = dy * dy + dx * dx
            if squared == 0:
                matrix[i, j] = 1
            elif squared < radius * radius:
                path = [
                    edge[p, q]
                    for p in range(min(y, v), max(y, v) + 1)
                    for q in range(min(x, u), max(x, u) + 1)
                    if (dy * (q - x) - dx * (p - y)) ** 2 < squared
                ]
                matrix[i, j] = (1 - max(path)) ** beta
    transition = torch.linalg.matrix_power(matrix / matrix.sum(dim=0), steps)
    return ((maps * (1 - edge)).flatten(1) @ transition).reshape(maps.shape)


class TestReference:
    def test_paths_and_affinities(self, golden):
        case = golden("irn/randomwalk")
        order = in_our_order(case["search_dst"], 5)
        for offset, place in zip(pair_offsets(5), order, strict=True):
            cells = case["path_cells"][place][: case["path_len"][place]]
            assert sorted(map(tuple, cells.tolist())) == list(irn.path_cells(offset))
        edge = torch.from_numpy(case["edge"])
        affinities = irn.path_affinities(surround(edge, 5, 1.0), 5)
        # The reference pads one row and one column further than it needs to.
        sources = case["aff_sparse"].reshape(34, 25, 34)[order, :24, 1:33]
        close(affinities, sources, 1e-15)

    def test_walk(self, golden):
        case = golden("irn/randomwalk")
        maps, edge = torch.from_numpy(case["cams"]), torch.from_numpy(case["edge"])
        walked = irn.propagate(maps, edge, radius=5, beta=10, exp_times=8)
        close(walked, case["rw"][:, 0])
        scores = irn.image_scores(walked, tuple(case["orig_size"].tolist()))
        close(scores, case["rw_up"])
        assert torch.equal(self.mask(scores), torch.from_numpy(case["label_bg025"]).long())
        sharper = irn.propagate(maps**1.5, edge)
        close(sharper, case["rw_pow15"][:, 0])
        found = self.mask(irn.image_scores(sharper, (93, 126)))
        assert torch.equal(found, torch.from_numpy(case["label_pow15_bg025"]).long())

    @staticmethod
    def mask(scores: Tensor) -> Tensor:
        return torch.cat([torch.full_like(scores[:1], 0.25), scores]).argmax(dim=0)

    def test_walk_in_single_precision(self, golden):
        case = golden("irn/randomwalk")
        walked = irn.propagate(torch.from_numpy(case["cams"]).float(), torch.from_numpy(case["edge"]).float())
        assert walked.dtype == torch.float32
        # As near to the exact walk as the reference in single precision is: 3e-5 of values up to 0.4.
        close(walked, case["rw"][:, 0], np.abs(case["rw_f32"] - case["rw"]).max().item())

    @pytest.mark.parametrize("radius", [5, 10])
    def test_pair_labels(self, golden, radius):
        case = golden(f"irn/affinity_label_r{radius}")
        labels = irn.reduced_labels(torch.from_numpy(case["label_full"]))
        assert np.array_equal(labels.numpy(), case["label_reduced"])
        pairs = pair_labels(labels, radius)
        order, shape = in_our_order(case["search_dst"], radius), tuple(case["shape"])
        for name, found in (("bg_pos", pairs.background), ("fg_pos", pairs.foreground), ("neg", pairs.different)):
            expected = np.unpackbits(case[name], count=shape[0] * shape[1]).reshape(shape)[order].astype(bool)
            assert np.array_equal(found.flatten(1).numpy(), expected), name
        assert [pairs.background.sum(), pairs.foreground.sum(), pairs.different.sum()] == case["counts"].tolist()

    def test_losses_and_gradients(self, golden):
        case = golden("irn/affinity_label_r5")
        logits = torch.from_numpy(case["edge_logit"])[:, 0].requires_grad_()
        displacements = torch.from_numpy(case["disp"]).requires_grad_()
        order = in_our_order(case["search_dst"], 5)
        close(irn.path_affinities(logits.sigmoid(), 5)[0].flatten(1), case["aff"][order], 1e-15)
        theirs = np.argsort(order)
        between = irn.pair_displacements(displacements[0], 5).flatten(2)[:, theirs]
        close(between[:, ::5, ::37], case["pair_disp_sample"], 1e-14)

        labels = pair_labels(torch.from_numpy(case["label_reduced"])[None], 5)
        loss = irn.irn_loss(logits, displacements, labels, radius=5)
        close(loss.alike, case["loss_pos"], 1e-12)
        close(loss.different, case["loss_neg"], 1e-12)
        close(loss.displacement_foreground, case["loss_dp_fg"], 1e-12)
        close(loss.displacement_background, case["loss_dp_bg"], 1e-12)
        close(loss.total, case["loss_total"], 1e-12)
        loss.total.backward()
        close(logits.grad, case["grad_edge_logit"][:, 0], 1e-14)
        close(displacements.grad, case["grad_disp"], 1e-14)

    def test_instances(self, golden):
        case = golden("irn/clustering")
        field = torch.from_numpy(case["disp"])
        centroids = irn.find_centroids(field)
        assert np.array_equal(centroids.numpy(), case["centroids"])
        instances = irn.instance_masks(field, centroids)
        assert np.array_equal(instances.numpy(), case["instance_map"].astype(bool))
        maps = irn.instance_maps(torch.from_numpy(case["cams"]), instances)
        close(maps, case["instance_cam"].reshape(-1, 40, 48), 0)
        found = irn.detect(maps / maps.max(), case["keys"].tolist())
        close(torch.from_numpy(found.scores), case["det_score"], 1e-7)
        assert found.classes.tolist() == case["det_class"].tolist()
        shape = tuple(case["det_mask_shape"])
        assert np.array_equal(found.masks, np.unpackbits(case["det_mask"], count=np.prod(shape)).reshape(shape))
        shapes = sum((n + 1) * (plane == n + 1) for n, plane in self.winners(maps / maps.max()))
        assert np.array_equal(shapes, case["instance_shape"])

    @staticmethod
    def winners(scores: Tensor) -> list[tuple[int, np.ndarray]]:
        winner = torch.cat([torch.full_like(scores[:1], 0.25), scores]).argmax(dim=0).numpy()
        return [(n, winner) for n in range(len(scores))]


class TestWalk:
    @pytest.mark.parametrize(
        ("height", "width", "radius"), [(7, 9, 3), (9, 11, 5), (3, 4, 5), (1, 12, 5), (12, 1, 5), (1, 1, 5), (2, 2, 10)]
    )
    def test_equals_its_definition(self, height, width, radius):
        maps = torch.rand(2, height, width, dtype=torch.float64)
        edge = torch.rand(height, width, dtype=torch.float64) / 2
        walked = irn.propagate(maps, edge, radius=radius, beta=3, exp_times=4)
        torch.testing.assert_close(walked, straight_walk(maps, edge, radius, 3, 16), rtol=1e-12, atol=1e-15)

    def test_an_edge_is_not_crossed(self):
        edge, maps = torch.zeros(9, 21), torch.zeros(1, 9, 21)
        edge[:, 10] = 1
        maps[0, 4, 2] = 1
        walked = irn.propagate(maps, edge)[0]
        assert (walked[:, :10] > 0).all()
        assert (walked[:, 10:] == 0).all()
        # Long after the map has spread evenly over its side, each cell has its share by its number of links.
        assert walked[:, :10].max() / walked[:, :10].min() < 1.2

    def test_no_edges_keep_a_constant_map(self):
        assert torch.allclose(irn.propagate(torch.full((2, 9, 12), 0.7), torch.zeros(9, 12)), torch.tensor(0.7))

    def test_zero_maps_stay_zero(self):
        walked = irn.propagate(torch.zeros(2, 9, 12), torch.rand(9, 12))
        assert (walked == 0).all()
        assert (irn.image_scores(walked, (36, 45)) == 0).all()
        one_of_two = torch.stack([torch.zeros(9, 12), torch.rand(9, 12)])
        scores = irn.image_scores(irn.propagate(one_of_two, torch.rand(9, 12)), (36, 45))
        assert (scores[0] == 0).all()
        assert scores[1].max() == 1

    def test_certain_edges_everywhere_leave_nothing(self):
        assert (irn.propagate(torch.rand(2, 9, 12), torch.ones(9, 12)) == 0).all()

    def test_a_batch_is_its_images(self):
        maps, edge = torch.rand(3, 2, 9, 12), torch.rand(3, 9, 12)
        together = irn.propagate(maps, edge)
        scores = irn.image_scores(together, (33, 47))
        for n in range(3):
            assert torch.equal(together[n], irn.propagate(maps[n], edge[n]))
            assert torch.equal(scores[n], irn.image_scores(together[n], (33, 47)))

    def test_half_precision(self):
        maps, edge = torch.rand(2, 9, 12).half(), torch.rand(9, 12).half()
        walked = irn.propagate(maps, edge)
        assert walked.dtype == torch.float16
        close(walked, irn.propagate(maps.double(), edge.double()).numpy(), 2e-3)

    def test_unfit_inputs_are_named(self):
        maps = torch.rand(2, 9, 12)
        with pytest.raises(DataError, match=r"edge map is of shape \(12, 9\).*class maps of shape \(2, 9, 12\)"):
            irn.propagate(maps, torch.rand(12, 9))
        with pytest.raises(DataError, match="sigmoid"):
            irn.propagate(maps, torch.randn(9, 12) * 5)
        with pytest.raises(DataError, match="outside"):
            irn.propagate(maps, torch.full((9, 12), torch.nan))
        with pytest.raises(DataError, match="not finite"):
            irn.propagate(maps * torch.inf, torch.rand(9, 12))
        for wrong in ({"beta": 0}, {"exp_times": -1}, {"radius": 1}):
            with pytest.raises(SettingsError):
                irn.propagate(maps, torch.rand(9, 12), **wrong)
        with pytest.raises(DataError, match="9 x 12 cells at stride 4 cover 36 x 48"):
            irn.image_scores(maps, (37, 48))


class TestTraining:
    def test_affinity_gradients(self):
        edge = torch.rand(4, 6, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda e: irn.path_affinities(e, 3), edge)

    def test_perfect_predictions_cost_nothing(self):
        """An object in the upper half, points at its centre, and a row of certain edge that nobody labelled."""
        labels = torch.full((1, 32, 32), 255)
        labels[:, :15], labels[:, 16:] = 7, 0
        border = torch.zeros(1, 32, 32)
        border[:, 15] = 1
        y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
        # D(source) - D(destination) is the offset between the two where D leads to one place.
        to_centre = torch.stack([7 - y, 15 - x]) * (labels == 7)
        loss = irn.irn_loss((border - 0.5) * 200, to_centre[None], pair_labels(labels, 5), radius=5)
        for term in (
            loss.alike,
            loss.different,
            loss.displacement_foreground,
            loss.displacement_background,
            loss.total,
        ):
            assert abs(term.item()) < 2e-5

    def test_crops_without_a_pair_cost_nothing(self):
        logits = torch.randn(2, 32, 32, requires_grad=True)
        labels = pair_labels(torch.full((2, 32, 32), 255, dtype=torch.uint8), 10)
        loss = irn.irn_loss(logits, torch.randn(2, 2, 32, 32), labels)
        assert loss.total == 0
        loss.total.backward()
        assert (logits.grad == 0).all()

    def test_saturated_half_precision_is_finite(self):
        labels = pair_labels(torch.randint(0, 2, (1, 12, 14)), 3)
        loss = irn.irn_loss(torch.randn(1, 12, 14).half() * 100, torch.randn(1, 2, 12, 14).half(), labels, radius=3)
        assert loss.total.isfinite()
        assert loss.total.dtype == torch.float32

    def test_background_and_foreground_weigh_the_same(self):
        one, none = torch.tensor([[[True, False]]]), torch.zeros(1, 1, 2, dtype=torch.bool)
        alike, different = affinity_losses(torch.tensor([[[0.5, 1.0]]]), PairLabels(one, none, none))
        assert alike.item() == pytest.approx(np.log(2) / 2, abs=1e-4)
        assert different == 0

    def test_labels_need_whole_cells(self):
        with pytest.raises(DataError, match="30 x 32 pixels cannot be reduced by 4"):
            irn.reduced_labels(torch.zeros(30, 32, dtype=torch.uint8))


class TestInstances:
    def test_two_objects(self):
        """Every cell points at the centre of its half; the centres are where the field is weak."""
        y, x = torch.meshgrid(torch.arange(12.0), torch.arange(24.0), indexing="ij")
        centre = torch.where(x < 12, 5.0, 18.0)
        field = torch.stack([6 - y, centre - x])
        centroids = irn.find_centroids(field)
        assert (centroids[0] == 6).all()
        assert torch.equal(centroids[1].float(), centre)
        instances = irn.instance_masks(field, centroids)
        assert torch.equal(instances, torch.stack([x < 12, x >= 12]))

    def test_cells_stay_on_the_grid(self):
        field = torch.full((2, 5, 7), 100.0)
        assert (irn.find_centroids(field) == torch.tensor([4, 6])[:, None, None]).all()
        assert irn.instance_masks(field, irn.find_centroids(field)).shape == (1, 5, 7)

    @pytest.mark.parametrize(("height", "width"), [(1, 9), (9, 1), (1, 1)])
    def test_narrow_grids(self, height, width):
        field = torch.zeros(2, height, width)
        assert irn.instance_masks(field, irn.find_centroids(field)).all()

    def test_pieces_are_detections(self):
        scores = torch.zeros(4, 10, 20)
        scores[0, :, :5] = 0.9
        scores[0, :, 10:14] = 0.6
        scores[1, 0, 18] = 1.0  # one cell of 200 is less than one percent
        scores[2, :, :5] = 0.8  # below the first map
        scores[3, 5:7, 16] = 0.3  # two cells are one percent
        found = irn.detect(scores, classes=[4, 9])
        assert found.scores.tolist() == pytest.approx([0.9, 0.6, 0.0, 0.3])
        assert found.classes.tolist() == [4, 4, 4, 9]
        assert found.masks.sum(axis=(1, 2)).tolist() == [50, 40, 1, 2]

    def test_nothing_above_the_background(self):
        found = irn.detect(torch.full((2, 4, 5), 0.2), classes=[1, 2])
        assert len(found.scores) == len(found.classes) == len(found.masks) == 0

    def test_unfit_inputs_are_named(self):
        with pytest.raises(DataError, match="3 instance maps cannot belong to 2 classes"):
            irn.detect(torch.rand(3, 4, 5), classes=[1, 2])
        with pytest.raises(DataError, match="not finite"):
            irn.find_centroids(torch.full((2, 4, 5), torch.nan))
