"""CCT's perturbations and outlines, against the program's numbers and small exact cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from advcam.segment.cct import perturbations as perturb
from advcam.segment.cct.decoder import Decoder, icnr_
from advcam.segment.cct.outlines import Outline, outlines
from advcam.segment.cct.perturbations import Rectangle


def program_decoder(case: dict[str, np.ndarray]) -> Decoder:
    decoder = Decoder(16, 21, stride=8).double()
    decoder.load_state_dict(
        {
            f"{layer}.{part}": torch.from_numpy(case[f"dec_{layer}_{part.replace('.', '_')}"].astype(np.float64))
            for layer in range(4)
            for part in (("weight",) if layer == 0 else ("conv.weight", "conv.bias"))
        }
    )
    return decoder


class TestReference:
    def test_feature_drop_and_noise(self, golden):
        case = golden("cct/perturbations")
        z = torch.from_numpy(case["z"])
        np.testing.assert_array_equal(perturb.drop_strong(z, float(case["fdrop_gamma"])), case["fdrop_out"])
        noisy = perturb.add_noise(z.double(), torch.from_numpy(case["fnoise_noise"]))
        np.testing.assert_allclose(noisy, case["fnoise_out"], atol=1e-14)

    def test_masks(self, golden):
        case = golden("cct/perturbations")
        z, labels = torch.from_numpy(case["z"]), torch.from_numpy(case["pred_label"])
        cells = perturb.on_cells(labels > 0, (20, 24))
        np.testing.assert_array_equal(perturb.keep(z, cells), case["context_out"])
        np.testing.assert_array_equal(perturb.keep(z, ~cells), case["object_out"])

    def test_cut_out(self, golden):
        case = golden("cct/perturbations")
        found = perturb.cuttable(case["pred_label"] > 0)
        rows = [
            (image, one.corners, one.left, one.right, one.top, one.bottom)
            for image, several in enumerate(found)
            for one in several
        ]
        np.testing.assert_array_equal(rows, case["cutout_contours"])

        asked = iter(case["cutout_randint_args"].tolist())

        def draw(greatest: int) -> int:
            least, upper, drawn = next(asked)
            assert (least, upper) == (0, greatest)
            return drawn

        cuts = [[perturb.cut(one, 0.4, draw) for one in several] for several in found]
        listed = [(i, r.top, r.bottom, r.left, r.right) for i, several in enumerate(cuts) for r in several]
        np.testing.assert_array_equal(listed, case["cutout_rects"])
        full = perturb.without((160, 192), cuts)
        expected = np.unpackbits(case["full_mask"], count=full.numel()).reshape(full.shape)
        np.testing.assert_array_equal(full, expected)
        np.testing.assert_array_equal(perturb.on_cells(full, (20, 24))[:, 0], case["cutout_mask"])

    def test_decoder(self, golden):
        case = golden("cct/perturbations")
        logits = program_decoder(case)(torch.from_numpy(case["vat_z"]).double())
        np.testing.assert_allclose(logits.detach()[..., ::2, ::2], case["dec_out_stride2"], atol=1e-6)
        assert logits.sum().item() == pytest.approx(float(case["dec_out_sum"]), rel=1e-7)

    @pytest.mark.parametrize(("name", "xi"), [("vat_r_adv", 1e-6), ("vat_r_adv_xi0p1", 0.1)])
    def test_adversarial(self, golden, name, xi):
        case = golden("cct/perturbations")
        decoder = program_decoder(case)
        z, noise = (torch.from_numpy(case[key]).double() for key in ("vat_z", "vat_noise"))
        found = perturb.adversarial(decoder, z, noise, xi, 2.0)
        # At the published distance the divergence is 1e-12 of what it is computed from.
        np.testing.assert_allclose(found, case[name], atol=1e-12 if xi > 1e-3 else 1e-9)
        assert all(parameter.grad is None for parameter in decoder.parameters())

    def test_published_step_vanishes_and_ours_does_not(self, golden):
        case = golden("cct/perturbations")
        decoder = program_decoder(case).float()
        z, noise = (torch.from_numpy(case[key]).float() for key in ("vat_z", "vat_noise"))
        published, ours = (perturb.adversarial(decoder, z, noise, xi, 2.0).flatten(1) for xi in (1e-6, 0.1))
        exact = torch.from_numpy(case["vat_r_adv_xi0p1"]).float().flatten(1)
        assert (published.norm(dim=1) < 0.02).all()
        torch.testing.assert_close(ours.norm(dim=1), torch.full((2,), 2.0), rtol=1e-4, atol=0)
        assert (torch.cosine_similarity(ours, exact) > 0.9999).all()


class TestOutlines:
    def test_shapes_by_hand(self):
        picture = np.zeros((12, 16), bool)
        picture[1, 1] = True  # a pixel
        picture[1, 4:9] = True  # a line: two ends
        picture[4:10, 2:12] = True  # a block
        picture[6:8, 4:8] = False  # with a hole
        picture[7, 5] = True  # and a pixel in it, which has no outer border
        picture[5, 12] = picture[6, 13] = picture[7, 14] = True  # a diagonal tail
        assert outlines(picture) == [
            Outline(1, 1, 1, 1, 1),
            Outline(2, 1, 1, 4, 8),
            Outline(corners=7, top=4, bottom=9, left=2, right=14),
        ]

    def test_nothing_and_everything(self):
        assert outlines(np.zeros((5, 5), bool)) == []
        assert outlines(np.ones((5, 7), bool)) == [Outline(4, 0, 4, 0, 6)]

    def test_more_than_fifty_corners_are_cut(self):
        # A bar has 4 corners, and each tooth on it 3: up, down, and on.
        for teeth, cut in ((15, 0), (16, 1)):
            picture = np.zeros((1, 5, 60), bool)
            picture[0, 2:4, 1:58] = True
            picture[0, 1, 3 : 3 + 3 * teeth : 3] = True
            assert outlines(picture[0])[0].corners == 4 + 3 * teeth
            assert len(perturb.cuttable(picture)[0]) == cut


def test_cut_stays_inside():
    outline = Outline(60, top=10, bottom=110, left=20, right=40)
    assert perturb.cut(outline, 0.4, lambda greatest: 0) == Rectangle(10, 50, 20, 28)
    assert perturb.cut(outline, 0.4, lambda greatest: greatest) == Rectangle(70, 110, 32, 40)


def test_drop_channels_keeps_the_mean():
    features = torch.ones(1, 4, 2, 2)
    kept = torch.tensor([[True, False, True, True]])
    assert perturb.drop_channels(features, kept, 0.25)[0, :, 0, 0].tolist() == pytest.approx([4 / 3, 0, 4 / 3, 4 / 3])


def test_icnr_starts_as_nearest_neighbour():
    decoder = Decoder(3, 5, stride=4)
    with torch.no_grad():
        for layer in list(decoder)[1:]:
            layer.conv.bias.zero_()
    logits = decoder(torch.randn(1, 3, 4, 4))
    assert torch.equal(logits, logits[..., ::4, ::4].repeat_interleave(4, -1).repeat_interleave(4, -2))
    assert (logits >= 0).all()


def test_icnr_draws_by_he():
    weight = torch.empty(4 * 500, 20, 1, 1)
    icnr_(weight)
    assert weight.std().item() == pytest.approx((2 / 20) ** 0.5, rel=0.05)
