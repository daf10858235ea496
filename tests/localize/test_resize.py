"""Resizing equals OpenCV's to the last bit; the expected numbers are its own (4.14 and 5.0)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from advcam.localize.resize import bicubic, nearest

SMALL = np.array([[0.0, 1.0, 0.25], [2.0, 0.5, 3.0]])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (
            (2, 5),
            [
                [-0.0960003137588501, 0.44199998676776886, 1.0, 0.6130000501871109, 0.17800003290176392],
                [2.144000470638275, 1.238000065088272, 0.5, 1.9220003187656403, 3.2399998903274536],
            ],
        ),
        (
            (3, 4),
            [
                [-0.26096506319299806, 0.7182417990043177, 0.8051825760630891, -0.06279787145467708],
                [1.0179443359375, 0.74395751953125, 1.037841796875, 1.68780517578125],
                [2.2968538649729453, 0.7696732426702511, 1.2705010413192213, 3.438408400834305],
            ],
        ),
        ((1, 2), [[0.91259765625, 1.41796875]]),
    ],
)
def test_bicubic(shape, expected) -> None:
    assert bicubic(SMALL, *shape).tolist() == expected


def test_bicubic_by_a_power_of_two_is_exact() -> None:
    values = torch.randn(14, 14, dtype=torch.float64)
    expected = torch.nn.functional.interpolate(values[None, None], (224, 224), mode="bicubic")[0, 0]
    torch.testing.assert_close(torch.from_numpy(bicubic(values.numpy(), 224, 224)), expected, rtol=0, atol=1e-14)


def test_nearest() -> None:
    assert nearest(np.arange(5)[None], 1, 3).tolist() == [[0, 1, 3]]
    assert nearest(np.arange(3)[None], 1, 7).tolist() == [[0, 0, 0, 1, 1, 2, 2]]


def test_nearest_where_the_ratio_rounds_down() -> None:
    # 168 * 36 / 224 is 27, but OpenCV takes pixel 26 there.
    source = nearest(np.arange(36)[:, None], 224, 1)[:, 0]
    assert source[168] == 26
    others = np.delete(np.arange(224), 168)
    assert (source[others] == others * 36 // 224).all()


def test_nearest_equals_the_reference(golden) -> None:
    vectors = golden("wsol/wsol")
    for index, expected in enumerate(vectors["mask_224"]):
        foreground = nearest(vectors[f"mask_fg_{index}"] > 0, 224, 224)
        ignored = nearest(vectors[f"mask_ignore_{index}"] > 0, 224, 224) & ~foreground
        assert (foreground == (expected == 1)).all()
        assert (ignored == (expected == 255)).all()
