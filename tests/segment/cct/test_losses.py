"""CCT's ramps and losses, against the program's numbers and small exact cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from advcam.segment.cct import losses, objective
from advcam.segment.cct.losses import annealed_cross_entropy, consistency, cross_entropy, focal, pairwise


def double(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float64))


class TestReference:
    def test_weights_and_thresholds(self, golden):
        case = golden("cct/ramps")
        for suffix, per_epoch, epochs in (("", 912, 80), ("_b", 300, 50)):
            total = per_epoch * epochs
            length = objective.ramp_updates(0.1, total, epochs)
            assert length == int(0.1 * epochs) * per_epoch
            for row, (epoch, it) in enumerate(zip(case["epoch"], case["it"], strict=True)):
                t = per_epoch * int(epoch) + int(it) % per_epoch
                weight = 30 * objective.ramp("sigmoid", t, length)
                assert weight == pytest.approx(case[f"w_u{suffix}"][row], rel=1e-13)
                found = objective.bootstrap_threshold(t, objective.ramp_updates(0.4, total, epochs), 21)
                assert found == pytest.approx(case[f"abce_threshold{suffix}"][row], rel=1e-13)
                if not suffix:
                    assert 0.4 * weight / 30 == pytest.approx(case["w_w"][row], rel=1e-13)

    def test_shapes(self, golden):
        case = golden("cct/ramps")
        for name, values in zip(case["ramp_names"], case["ramp_values"], strict=True):
            found = [objective.ramp(str(name), float(x), 100.0) for x in case["ramp_x"]]
            np.testing.assert_allclose(found, values, rtol=1e-13, atol=1e-15)

    def test_annealed_cross_entropy(self, golden):
        case = golden("cct/losses")
        target = torch.from_numpy(case["target"])
        assert cross_entropy(double(case["logits"]), target).item() == pytest.approx(float(case["ce"]), abs=1e-13)
        for number in range(4):
            logits = double(case["logits"]).requires_grad_()
            epoch, it = case[f"abce_{number}_t"].tolist()
            threshold = objective.bootstrap_threshold(912 * epoch + it, 32 * 912, 21)
            assert threshold == pytest.approx(float(case[f"abce_{number}_thresh"]), abs=1e-14)
            loss = annealed_cross_entropy(logits, target, threshold)
            assert loss.item() == pytest.approx(float(case[f"abce_{number}"]), abs=1e-12)
            loss.backward()
            np.testing.assert_allclose(logits.grad[:, ::7, ::2, ::2], case[f"abce_{number}_grad"], atol=1e-15)

    def test_consistency(self, golden):
        case = golden("cct/losses")
        logits = double(case["aux_logits"]).requires_grad_()
        target = double(case["logits"]).softmax(dim=1)
        for name in ("mse", "kl", "js"):
            assert consistency(logits, target, name).item() == pytest.approx(float(case[name]), abs=1e-13)
        sure = consistency(logits, target, "mse", confidence=0.5)
        assert sure.item() == pytest.approx(float(case["mse_conf"]), abs=1e-13)
        consistency(logits, target).backward()
        np.testing.assert_allclose(logits.grad[:, ::7, ::2, ::2], case["mse_grad"], atol=1e-17)


def test_ramp_without_a_length_is_over():
    assert [objective.ramp(shape, 0, 0) for shape in ("sigmoid", "linear", "log")] == [1.0, 1.0, 1.0]


def test_cross_entropy_without_a_pixel_is_zero():
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    nothing = torch.full((2, 4, 4), 255)
    for loss in (cross_entropy(logits, nothing), annealed_cross_entropy(logits, nothing, 0.5), focal(logits, nothing)):
        assert loss.item() == 0
        (gradient,) = torch.autograd.grad(loss, logits)
        assert (gradient == 0).all()


def test_annealed_threshold_is_raised_to_keep_the_worst():
    # Probabilities 0.6, 0.7, 0.8, 0.9 of the label, one image: below 0.5 there is none, so the worst one counts.
    p = torch.tensor([0.6, 0.7, 0.8, 0.9], dtype=torch.float64).reshape(1, 1, 2, 2)
    logits = torch.cat([torch.zeros_like(p), (p / (1 - p)).log()], dim=1)
    labels = torch.ones(1, 2, 2, dtype=torch.int64)
    assert annealed_cross_entropy(logits, labels, 0.5).item() == pytest.approx(-math.log(0.6))
    assert annealed_cross_entropy(logits, labels, 0.85).item() == pytest.approx(
        -(math.log(0.6) + math.log(0.7) + math.log(0.8)) / 3
    )


def test_focal_by_hand():
    logits = torch.tensor([0.0, math.log(3.0)]).reshape(1, 2, 1, 1)
    assert focal(logits, torch.ones(1, 1, 1, dtype=torch.int64)).item() == pytest.approx(
        -(0.25**2) * math.log(0.75), rel=1e-6
    )


def test_consistency_of_equals_is_zero_and_no_sure_pixel_counts_nothing():
    logits = torch.randn(2, 5, 3, 3, dtype=torch.float64)
    q = logits.softmax(dim=1)
    assert consistency(logits, q, "mse").item() == 0
    assert consistency(logits, q, "kl").item() == pytest.approx(0, abs=1e-12)
    assert consistency(logits, q, "kl", confidence=0.999).item() == 0


def test_consistency_at_certain_targets_is_finite():
    q = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1)
    for name in ("kl", "js"):
        logits = torch.zeros(1, 2, 1, 1, requires_grad=True)
        consistency(logits, q, name).backward()
        assert logits.grad.isfinite().all()


def test_pairwise_by_hand():
    first, second = (torch.tensor([0.0, math.log(odds)]).reshape(1, 2, 1, 1) for odds in (1.0, 3.0))
    # Probabilities 0.5 and 0.75: variance 0.015625 for each of two labels.
    assert pairwise([first, second]).item() == pytest.approx(0.03125, rel=1e-5)


def test_half_precision_is_computed_in_single():
    logits = torch.randn(1, 3, 2, 2)
    q = torch.randn(1, 3, 2, 2).softmax(dim=1)
    assert consistency(logits.bfloat16(), q).dtype == torch.float32
    assert losses.cross_entropy(logits.bfloat16(), torch.zeros(1, 2, 2, dtype=torch.int64)).dtype == torch.float32
