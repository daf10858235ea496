"""The dense CRF, against the reference program's vectors and against exact kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor

from advcam.errors import DataError, SettingsError, UserError
from advcam.refine import CRFSettings, crf_labels, dense_crf, lattice_torch, unary_from_labels, unary_from_scores
from advcam.refine.crf import gaussian_kernels

Golden = Callable[[str], dict[str, np.ndarray]]
CRF = Callable[[Tensor, Tensor, CRFSettings], Tensor]
PRESETS = {"irn": CRFSettings.irn(), "psa": CRFSettings.psa(), "deeplab": CRFSettings.deeplab()}


def by_torch(image: Tensor, unary: Tensor, settings: CRFSettings) -> Tensor:
    """What ``dense_crf`` does on a GPU, on the CPU."""
    kernels = gaussian_kernels(image, settings)
    return lattice_torch.mean_field(-unary.flatten(1), kernels, settings.iterations).view(unary.shape)


def by_exact_kernels(image: Tensor, unary: Tensor, settings: CRFSettings) -> Tensor:
    """All pairs of pixels, in double precision."""
    logits = -unary.double().flatten(1)
    kernel = torch.zeros(logits.shape[1], logits.shape[1], dtype=torch.float64)
    for features, weight in gaussian_kernels(image, settings):
        squares = torch.cdist(features.double(), features.double(), compute_mode="donot_use_mm_for_euclid_dist") ** 2
        gaussian = torch.exp(-squares / 2)
        scale = gaussian.sum(dim=1).rsqrt()
        kernel += weight * scale[:, None] * gaussian * scale
    marginals = logits.softmax(dim=0)
    for _ in range(settings.iterations):
        marginals = (logits + marginals @ kernel).softmax(dim=0)
    return marginals.view(unary.shape)


both = pytest.mark.parametrize("crf", [dense_crf, by_torch], ids=["compiled", "torch"])


def noisy_scene(height: int, width: int, num_labels: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two tones with texture, and labels that follow them but for a tenth of the pixels."""
    generator = torch.Generator().manual_seed(seed)
    tones = (torch.arange(width) > width // 2).long().expand(height, width)
    image = 60 + 120 * tones[..., None] + torch.randint(-12, 13, (height, width, 3), generator=generator)
    is_noise = torch.rand(height, width, generator=generator) < 0.1
    labels = torch.where(is_noise, torch.randint(num_labels, (height, width), generator=generator), tones)
    return image.byte(), labels.clamp(max=num_labels - 1)


def share_off(marginals: Tensor, expected: np.ndarray, tolerance: float = 1e-3) -> float:
    """Share of the pixels at which any label is off by more than the tolerance."""
    off = (marginals - torch.from_numpy(expected)).abs().amax(dim=0) > tolerance
    return off.double().mean().item()


@both
@pytest.mark.parametrize("name", ["image_0", "image_1", "image_2"])
def test_reference_program(golden: Golden, name: str, crf: CRF) -> None:
    case = golden(f"crf/{name}")
    image, num_labels = torch.from_numpy(case["image"]), len(case["keys"])

    marginals = crf(image, unary_from_labels(torch.from_numpy(case["irn_fg_label"]), num_labels), PRESETS["irn"])
    assert share_off(marginals, case["irn_fg_marginal"]) < 1e-3
    assert np.mean(marginals.argmax(dim=0).numpy() != case["irn_fg_argmax"]) < 1e-3

    scores = torch.from_numpy(case["dl_softmax"]).float()
    marginals = crf(image, unary_from_scores(scores), PRESETS["deeplab"])
    assert share_off(marginals, case["dl_marginal"]) < 1e-3
    assert np.mean(marginals.argmax(dim=0).numpy() != case["dl_argmax"]) < 1e-3

    marginals = crf(image, unary_from_labels(torch.from_numpy(case["irn_bg_label"]), num_labels), PRESETS["irn"])
    assert np.mean(marginals.argmax(dim=0).numpy() != case["irn_bg_argmax"]) < 1e-3


def test_exact_kernels_of_the_vectors(golden: Golden) -> None:
    case = golden("crf/tiny_exact")
    image = torch.from_numpy(case["image"])
    unary = unary_from_labels(torch.from_numpy(case["irn_label"]), len(case["keys"]))
    one = CRFSettings(iterations=1)

    exact = by_exact_kernels(image, unary, one)
    np.testing.assert_allclose(exact.numpy(), case["irn_exact_1iter"], atol=1e-5)
    assert share_off(dense_crf(image, unary, one), case["irn_marginal_1iter"]) < 1e-3

    for settings, name in ((PRESETS["irn"], "irn"), (PRESETS["deeplab"], "dl")):
        if name == "dl":
            unary = unary_from_scores(torch.from_numpy(case["dl_softmax"]).float())
        marginals = dense_crf(image, unary, settings)
        assert share_off(marginals, case[f"{name}_marginal"]) < 1e-3
        assert np.mean(marginals.numpy().argmax(axis=0) == case[f"{name}_exact"].argmax(axis=0)) > 0.98


@pytest.mark.parametrize("settings", PRESETS.values(), ids=PRESETS.keys())
def test_lattice_is_close_to_exact_kernels(settings: CRFSettings) -> None:
    image, labels = noisy_scene(24, 33, 3)
    unary = unary_from_labels(labels, 3)
    exact, marginals = by_exact_kernels(image, unary, settings), dense_crf(image, unary, settings)
    assert (exact.argmax(dim=0) == marginals.argmax(dim=0)).double().mean() >= 0.98
    assert (exact - marginals).abs().mean() < 0.02


@both
@pytest.mark.parametrize("distance", ["zero", "infinite"])
def test_two_pixels_by_hand(crf: CRF, distance: str) -> None:
    # The normalised kernel is 1/2 between two pixels at distance 0, and the identity where they do not see each other.
    image = torch.tensor([[[0, 0, 0], [0, 0, 255]]], dtype=torch.uint8)
    sigma = 1e6 if distance == "zero" else 0.1
    settings = CRFSettings(
        iterations=2, gaussian_weight=0, bilateral_sxy=sigma, bilateral_srgb=sigma, bilateral_weight=2
    )
    first, second = 1.0, -0.25  # the advantage of label 0 over label 1
    unary = torch.tensor([[[-first, -second]], [[0, 0]]])
    a, b = 1 / (1 + math.exp(-first)), 1 / (1 + math.exp(-second))
    for _ in range(2):
        seen_a, seen_b = ((a + b) / 2, (a + b) / 2) if distance == "zero" else (a, b)
        a = 1 / (1 + math.exp(-first - 2 * (2 * seen_a - 1)))
        b = 1 / (1 + math.exp(-second - 2 * (2 * seen_b - 1)))
    marginals = crf(image, unary, settings)
    assert marginals[0, 0].tolist() == pytest.approx([a, b], abs=1e-5)
    assert marginals[1, 0].tolist() == pytest.approx([1 - a, 1 - b], abs=1e-5)


@pytest.mark.parametrize("num_labels", [2, 3, 4, 5, 8, 9, 21])
def test_compiled_equals_torch(num_labels: int) -> None:
    image, _ = noisy_scene(31, 42, 2)
    unary = unary_from_scores(torch.rand(num_labels, 31, 42))
    for settings in PRESETS.values():
        marginals = dense_crf(image, unary, settings)
        torch.testing.assert_close(marginals, by_torch(image, unary, settings), atol=2e-4, rtol=0)
        torch.testing.assert_close(marginals.sum(dim=0), torch.ones(31, 42))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_cpu_and_itself() -> None:
    image, labels = noisy_scene(61, 83, 3)
    unary = unary_from_labels(labels, 3)
    on_device = dense_crf(image, unary.cuda(), PRESETS["irn"])
    assert on_device.device.type == "cuda"
    torch.testing.assert_close(on_device.cpu(), dense_crf(image, unary, PRESETS["irn"]), atol=2e-4, rtol=0)
    assert torch.equal(on_device, dense_crf(image, unary.cuda(), PRESETS["irn"]))


def test_noise_is_removed() -> None:
    image, labels = noisy_scene(40, 40, 2)
    clean = (torch.arange(40) > 20).long().expand(40, 40)
    assert (labels != clean).sum() > 50
    assert (crf_labels(image, labels, 2, PRESETS["irn"]) != clean).sum() == 0


def test_labels_are_exchangeable() -> None:
    image, labels = noisy_scene(20, 20, 5)
    unary = unary_from_labels(labels, 5)
    order = torch.tensor([3, 1, 4, 0, 2])
    marginals = dense_crf(image, unary, PRESETS["psa"])
    torch.testing.assert_close(dense_crf(image, unary[order], PRESETS["psa"]), marginals[order], atol=1e-5, rtol=0)


def test_a_constant_per_pixel_changes_nothing() -> None:
    image, labels = noisy_scene(20, 20, 3)
    unary = unary_from_labels(labels, 3)
    shifted = dense_crf(image, unary + 100 * torch.rand(20, 20), PRESETS["irn"])
    torch.testing.assert_close(shifted, dense_crf(image, unary, PRESETS["irn"]), atol=1e-3, rtol=0)


@both
@pytest.mark.parametrize("settings", [CRFSettings(iterations=0), CRFSettings(gaussian_weight=0, bilateral_weight=0)])
def test_nothing_to_smooth_is_a_softmax(crf: CRF, settings: CRFSettings) -> None:
    image, _ = noisy_scene(7, 9, 2)
    unary = torch.randn(6, 7, 9)
    torch.testing.assert_close(crf(image, unary, settings), (-unary).softmax(dim=0))


@both
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (1, 17), (13, 1), (2, 2)])
def test_tiny_images(crf: CRF, size: tuple[int, int]) -> None:
    image = torch.randint(256, (*size, 3), dtype=torch.uint8)
    unary = unary_from_labels(torch.zeros(size, dtype=torch.int64), 3)
    marginals = crf(image, unary, PRESETS["irn"])
    assert marginals.isfinite().all()
    torch.testing.assert_close(marginals.sum(dim=0), torch.ones(size))
    assert (marginals[0] > 0.99).all()


def test_one_pixel_by_hand() -> None:
    # A pixel alone sees itself with weight 1 in each kernel.
    marginals = dense_crf(torch.zeros(1, 1, 3, dtype=torch.uint8), torch.tensor([[[0.0]], [[1.0]]]), PRESETS["irn"])
    expected = torch.tensor([0.0, -1.0]).softmax(dim=0)
    for _ in range(10):
        expected = (torch.tensor([0.0, -1.0]) + 13 * expected).softmax(dim=0)
    torch.testing.assert_close(marginals.flatten(), expected)


def test_one_label() -> None:
    marginals = dense_crf(torch.zeros(3, 5, 3, dtype=torch.uint8), torch.full((1, 3, 5), 7.0), PRESETS["irn"])
    assert torch.equal(marginals, torch.ones(1, 3, 5))
    assert torch.equal(
        unary_from_labels(torch.zeros(2, 2, dtype=torch.int64), 1), torch.full((1, 2, 2), -math.log(0.7))
    )


def test_extreme_energies() -> None:
    image, labels = noisy_scene(12, 12, 3)
    marginals = dense_crf(image, 1e6 * unary_from_labels(labels, 3), PRESETS["irn"])
    assert torch.equal(marginals.argmax(dim=0), labels)
    assert torch.equal(marginals.sum(dim=0), torch.ones(12, 12))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_dtype_and_device_are_kept(dtype: torch.dtype) -> None:
    image, labels = noisy_scene(9, 11, 2)
    unary = unary_from_labels(labels, 2)
    marginals = dense_crf(image, unary.to(dtype).requires_grad_(), PRESETS["irn"])
    assert marginals.dtype == dtype
    assert marginals.device == unary.device
    assert not marginals.requires_grad
    torch.testing.assert_close(marginals.float(), dense_crf(image, unary, PRESETS["irn"]), atol=1e-2, rtol=0)


def test_numpy_image_and_any_memory_order() -> None:
    image, labels = noisy_scene(14, 15, 2)
    unary = unary_from_labels(labels, 2)
    expected = dense_crf(image, unary, PRESETS["irn"])
    read_only = image.numpy().copy()
    read_only.setflags(write=False)
    assert torch.equal(dense_crf(read_only, unary, PRESETS["irn"]), expected)
    strided_image = image.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    strided_unary = unary.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert torch.equal(dense_crf(strided_image, strided_unary, PRESETS["irn"]), expected)


def test_inputs_are_left_alone() -> None:
    image, labels = noisy_scene(14, 15, 2)
    unary = unary_from_labels(labels, 2)
    image_before, unary_before = image.clone(), unary.clone()
    dense_crf(image, unary, PRESETS["irn"])
    assert torch.equal(image, image_before)
    assert torch.equal(unary, unary_before)


def test_threads_give_the_same_bits() -> None:
    jobs = [noisy_scene(40 + seed, 50, 3, seed) for seed in range(6)]
    jobs = [(image, unary_from_labels(labels, 3)) for image, labels in jobs]
    alone = [dense_crf(image, unary, PRESETS["irn"]) for image, unary in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: dense_crf(*job, PRESETS["irn"]), 2 * jobs))
    assert all(torch.equal(a, b) for a, b in zip(2 * alone, together, strict=True))


def test_size_mismatch() -> None:
    with pytest.raises(DataError, match=r"4 x 6 pixels must have shape labels x 4 x 6, not \(2, 6, 4\)"):
        dense_crf(torch.zeros(4, 6, 3, dtype=torch.uint8), torch.zeros(2, 6, 4), PRESETS["irn"])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_energies_must_be_finite(value: float) -> None:
    unary = torch.zeros(2, 4, 6)
    unary[1, 2, 3] = value
    with pytest.raises(DataError, match="not finite"):
        dense_crf(torch.zeros(4, 6, 3, dtype=torch.uint8), unary, PRESETS["irn"])


def test_empty_image() -> None:
    with pytest.raises(DataError, match="at least one label and one pixel"):
        dense_crf(torch.zeros(0, 6, 3, dtype=torch.uint8), torch.zeros(2, 0, 6), PRESETS["irn"])


def test_presets_have_the_published_numbers() -> None:
    def numbers(settings: CRFSettings) -> tuple[float, ...]:
        return tuple(getattr(settings, name) for name in CRFSettings.__dataclass_fields__)

    assert numbers(CRFSettings.irn()) == (10, 3, 3, 50, 5, 10)
    assert numbers(CRFSettings.psa()) == (10, 3, 3, 80, 13, 10)
    assert numbers(CRFSettings.deeplab()) == (10, 1, 3, 67, 3, 4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"iterations": -1},
        {"gaussian_sxy": 0.0},
        {"gaussian_weight": math.inf},
        {"bilateral_sxy": math.nan},
        {"bilateral_srgb": -5.0},
        {"bilateral_weight": -1.0},
    ],
)
def test_senseless_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        CRFSettings(**wrong)


def test_unary_from_labels() -> None:
    unary = unary_from_labels(torch.tensor([[0, 2], [1, 1]], dtype=torch.uint8), 4)
    assert unary.shape == (4, 2, 2)
    assert unary.dtype == torch.float32
    torch.testing.assert_close((-unary).exp()[:, 0, 1], torch.tensor([0.1, 0.1, 0.7, 0.1]))
    torch.testing.assert_close((-unary).exp().sum(dim=0), torch.ones(2, 2))
    sure = unary_from_labels(torch.tensor([[1]]), 2, confidence=0.9)
    assert sure.flatten().tolist() == pytest.approx([-math.log(0.1), -math.log(0.9)])


@pytest.mark.parametrize("label", [-1, 3, 255])
def test_label_out_of_range(label: int) -> None:
    with pytest.raises(DataError, match="3 labels are 0 to 2"):
        unary_from_labels(torch.tensor([[0, label]]), 3)


def test_unary_from_scores() -> None:
    scores = torch.tensor([0.0, 0.25, 2.0], dtype=torch.float64).view(3, 1, 1)
    unary = unary_from_scores(scores)
    assert unary.dtype == torch.float64
    assert unary.flatten().tolist() == pytest.approx([-math.log(1e-5), math.log(4), 0])
    assert unary_from_scores(scores, floor=0.5).flatten().tolist() == pytest.approx([math.log(2), math.log(2), 0])


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: unary_from_labels(torch.tensor([[0]]), 0),
        lambda: unary_from_labels(torch.tensor([[0]]), 2, confidence=1.0),
        lambda: unary_from_scores(torch.ones(2, 1, 1), floor=0.0),
    ],
)
def test_senseless_unary_settings(mistake: Callable[[], Tensor]) -> None:
    with pytest.raises(UserError):
        mistake()
