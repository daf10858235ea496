"""PSA's affinities, walk and labels, against the reference program's numbers and small exact cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from advcam.errors import DataError, SettingsError
from advcam.refine import psa
from advcam.refine.pairs import cells_at, pair_labels, pair_offsets


def close(found: Tensor, expected: np.ndarray, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(
        found.double(), torch.from_numpy(np.asarray(expected, np.float64)), rtol=0, atol=tolerance
    )


def straight_matrix(features: Tensor, radius: int, *, all_pairs: bool) -> Tensor:
    """The affinity matrix from its definition, pair by pair."""
    _, height, width = features.shape
    matrix = torch.eye(height * width, dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            for dy, dx in pair_offsets(radius):
                inside = y + dy < height and 0 <= x + dx < width
                released = y <= height - radius and radius - 1 <= x <= width - radius
                if inside and (all_pairs or released):
                    i, j = y * width + x, (y + dy) * width + x + dx
                    matrix[i, j] = matrix[j, i] = torch.exp(
                        -(features[:, y, x] - features[:, y + dy, x + dx]).abs().mean()
                    )
    return matrix


class TestReference:
    def test_affinities(self, golden):
        case = golden("psa/affinity_walk")
        features = torch.from_numpy(case["feature"])
        assert [tuple(offset) for offset in case["search_dst"].tolist()] == list(pair_offsets(5))
        close(psa.pair_affinities(features).flatten(1), case["aff"], 1e-15)
        affinities = psa.affinities(features)
        assert affinities.shape == (34, 16, 20)
        close(affinities.flatten(1)[:, torch.from_numpy(case["ind_from"])], case["aff"], 1e-15)
        assert 2 * affinities.sum().item() + 320 == pytest.approx(case["aff_dense_sum"].item(), abs=1e-9)
        matrix = straight_matrix(features, 5, all_pairs=False)
        close(matrix[torch.from_numpy(case["row_ids"])], case["aff_dense_rows"], 1e-15)
        assert np.array_equal((matrix > 0).sum(dim=1).reshape(16, 20).numpy(), case["neighbour_count"])

    def test_walk(self, golden):
        case = golden("psa/affinity_walk")
        affinities = psa.affinities(torch.from_numpy(case["feature"]))
        walked = psa.propagate(torch.from_numpy(case["scores"]), affinities, beta=8, log_times=8)
        close(walked, case["rw"])

    def test_the_inference_script(self, golden):
        case = golden("psa/affinity_walk")
        affinities = psa.affinities(torch.from_numpy(case["feature"]))
        scores = psa.walk_scores(torch.from_numpy(case["script_cams"]).double(), alpha=16)
        close(scores, case["script_cam_vec"])
        walked = psa.propagate(scores, affinities)
        close(walked, case["script_rw"])
        full = psa.image_scores(walked, (123, 155))
        upscaled = psa.image_scores(walked, (128, 160))[:, ::9, ::9]
        close(upscaled[:, :15, :18], case["script_rw_up_f32_stride9"], 2e-5)
        values = torch.tensor([0, *(case["script_keys"] + 1)])
        assert np.array_equal(values[full.argmax(dim=0)].numpy(), case["script_pred"])

    def test_pair_labels(self, golden):
        case = golden("psa/affinity_label")
        pairs, shape = pair_labels(torch.from_numpy(case["label"]), radius=5), tuple(case["shape"])
        for name, found in (("bg_pos", pairs.background), ("fg_pos", pairs.foreground), ("neg", pairs.different)):
            expected = np.unpackbits(case[name], count=shape[0] * shape[1]).reshape(shape).astype(bool)
            assert np.array_equal(found.flatten(1).numpy(), expected), name
        assert [pairs.background.sum(), pairs.foreground.sum(), pairs.different.sum()] == case["counts"].tolist()


@pytest.mark.parametrize("all_pairs", [False, True])
@pytest.mark.parametrize(("height", "width"), [(9, 12), (12, 9), (3, 4), (1, 15), (15, 1), (1, 1)])
def test_walk_equals_its_definition(all_pairs, height, width):
    features = torch.randn(6, height, width, dtype=torch.float64)
    scores = torch.rand(3, height, width, dtype=torch.float64)
    matrix = straight_matrix(features, 5, all_pairs=all_pairs) ** 2
    expected = scores.flatten(1) @ torch.linalg.matrix_power(matrix / matrix.sum(dim=0), 16)
    walked = psa.propagate(scores, psa.affinities(features, 5, all_pairs=all_pairs), beta=2, log_times=4)
    torch.testing.assert_close(walked.flatten(1), expected, rtol=1e-12, atol=1e-15)


def test_a_small_grid_walks_nowhere_as_released():
    features, scores = torch.randn(6, 4, 8), torch.rand(3, 4, 8)
    assert torch.equal(psa.propagate(scores, psa.affinities(features)), scores)
    assert not torch.equal(psa.propagate(scores, psa.affinities(features, all_pairs=True)), scores)


def test_a_batch_is_its_images():
    features, scores = torch.randn(2, 6, 9, 12), torch.rand(2, 3, 9, 12)
    for all_pairs in (False, True):
        affinities = psa.affinities(features, all_pairs=all_pairs)
        together = psa.propagate(scores, affinities)
        for n in range(2):
            alone = psa.affinities(features[n], all_pairs=all_pairs)
            torch.testing.assert_close(affinities[n], alone)
            torch.testing.assert_close(together[n], psa.propagate(scores[n], alone))


def test_gradients_and_half_precision():
    features = torch.randn(2, 2, 3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: psa.pair_affinities(f, 2), features)
    labels = pair_labels(torch.randint(0, 3, (2, 3, 6)), 2)
    half = psa.pair_affinities(features.detach().half(), 2)
    assert half.dtype == torch.float32
    assert psa.affinity_loss(half, labels).item() == pytest.approx(
        psa.affinity_loss(psa.pair_affinities(features, 2), labels).item(), abs=1e-3
    )


def test_loss_from_its_formula():
    features, labels = torch.randn(2, 5, 9, 12, dtype=torch.float64), torch.randint(0, 3, (2, 9, 12))
    terms = {"background": [], "foreground": [], "different": []}
    for o, offset in enumerate(pair_offsets(3)):
        a = psa.pair_affinities(features, 3)[:, o]
        source, destination = cells_at(labels, (0, 0), 3), cells_at(labels, offset, 3)
        same = source == destination
        terms["background"].append(-torch.log(a + 1e-5)[same & (source == 0)])
        terms["foreground"].append(-torch.log(a + 1e-5)[same & (source > 0)])
        terms["different"].append(-torch.log(1 + 1e-5 - a)[~same])
    means = {name: torch.cat(values).mean().item() for name, values in terms.items()}
    expected = means["background"] / 4 + means["foreground"] / 4 + means["different"] / 2
    found = psa.affinity_loss(psa.pair_affinities(features, 3), pair_labels(labels, 3))
    assert found.item() == pytest.approx(expected, rel=1e-7)


def test_background_and_padding_of_the_walk_scores():
    maps = torch.zeros(1, 9, 16)
    maps[0, :8, :8] = 0.5
    scores = psa.walk_scores(maps, alpha=2)
    # The last row of cells holds one row of pixels and seven of zeros.
    assert scores.tolist() == [[[0.25, 1.0], [0.125, 0.125]], [[0.5, 0.0], [0.0, 0.0]]]
    assert torch.equal(psa.walk_scores(torch.stack([maps, maps]), alpha=2)[1], scores)


def test_unfit_inputs_are_named():
    scores, affinities = torch.rand(3, 9, 12), psa.affinities(torch.randn(6, 9, 12))
    with pytest.raises(DataError, match=r"\(34, 9, 11\).*\(3, 9, 12\)"):
        psa.propagate(scores, affinities[..., :11])
    with pytest.raises(DataError, match="30 planes"):
        psa.propagate(scores, affinities[:30])
    for wrong in ({"beta": 0}, {"log_times": -1}):
        with pytest.raises(SettingsError):
            psa.propagate(scores, affinities, **wrong)
    with pytest.raises(SettingsError, match="radius"):
        psa.affinities(torch.randn(6, 9, 12), radius=1)
    with pytest.raises(DataError, match="outside"):
        psa.walk_scores(torch.rand(2, 9, 16) * 3)
    with pytest.raises(DataError, match="8 x 16 pixels, less than the image's 9 x 16"):
        psa.image_scores(torch.rand(2, 1, 2), (9, 16))
