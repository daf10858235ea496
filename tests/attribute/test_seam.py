"""SEAM: the refinement and the loss written out, what is climbed and what is summed, the published layout."""

from __future__ import annotations

import torch
from torch.nn import functional as F

import advcam
from advcam.classify.seam import SEAM, one_per_cell, refined
from advcam.models.architectures import build_backbone
from advcam.models.classifier import Classifier

SHORT = advcam.ClimbSettings(steps=3, reg_weight=0.001)


def network() -> SEAM:
    torch.manual_seed(1)
    return SEAM(Classifier(build_backbone("timm/test_resnet", 8), 4)).double().eval()


def images(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 32, 48, generator=torch.Generator().manual_seed(2)).double()


def test_the_refinement_written_out():
    maps, features = torch.rand(1, 3, 2, 2).double(), torch.randn(1, 5, 2, 2).double()
    f, q = features[0].flatten(1), maps[0].flatten(1)
    expected = torch.zeros(3, 4).double()
    for j in range(4):
        alike = [max(0.0, float(torch.cosine_similarity(f[:, i], f[:, j], dim=0))) for i in range(4)]
        expected[:, j] = sum(a * q[:, i] for i, a in enumerate(alike)) / sum(alike)
    torch.testing.assert_close(refined(maps, features)[0].flatten(1), expected, rtol=1e-4, atol=1e-4)


def test_one_class_and_the_background_in_each_cell():
    found = one_per_cell(torch.randn(2, 4, 4, 6))
    assert ((found[:, 1:] > 0).sum(dim=1) <= 1).all()
    torch.testing.assert_close(found[:, 0], 1 - found[:, 1:].amax(dim=1))


def test_the_loss_written_out():
    """As section 7.2 of the facts states it, with the background's channel that SEAM's program carries along."""
    net, x = network(), images()
    targets = torch.tensor([[1.0, 0, 0, 1], [0, 1, 0, 0]]).double()
    label = torch.cat([torch.ones(2, 1), targets], dim=1)[:, :, None, None]

    def norm(p):
        r = p.relu()
        low, high = r.amin(dim=(2, 3), keepdim=True), r.amax(dim=(2, 3), keepdim=True)
        return (r - low - 1e-5).relu() / (high - low + 1e-5)

    def of(view):
        maps, after = net.both_maps(view)
        maps = torch.cat([torch.zeros_like(maps[:, :1]), maps], dim=1)
        return [F.interpolate(m, view.shape[2:], mode="bilinear", align_corners=True) for m in (maps, after)]

    def one_hot(p):
        rest = p[:, 1:]
        rest = torch.where(rest == rest.amax(dim=1, keepdim=True), rest, 0.0)
        return torch.cat([p[:, :1], rest], dim=1).detach()

    def topmean(p):
        flat = p.abs().flatten(1)
        return flat.sort(descending=True).values[:, : int(0.2 * flat.shape[1])].mean()

    size = (9, 14)
    cam1, rv1 = of(x)
    cam2, rv2 = of(F.interpolate(x, size, mode="bilinear", align_corners=True))
    classes = sum(F.multilabel_soft_margin_loss(c[:, 1:].mean(dim=(2, 3)), targets) for c in (cam1, cam2)) / 2
    least = 0
    for rv in (rv1, rv2):
        flat = (rv * label)[:, 1:].amax(dim=1).flatten(1).sort().values
        least = least + flat[:, : flat.shape[1] // 4].relu().mean() / 2
    down = {"size": size, "mode": "bilinear", "align_corners": True}
    cam1, rv1 = (F.interpolate(norm(m), **down) * label for m in (cam1, rv1))
    cam2, rv2 = (norm(m) * label for m in (cam2, rv2))
    er = (cam1[:, 1:] - cam2[:, 1:]).abs().mean()
    cam1, cam2 = (torch.cat([1 - c[:, 1:].amax(dim=1, keepdim=True), c[:, 1:]], dim=1) for c in (cam1, cam2))
    ecr = topmean(one_hot(cam2) - rv1) + topmean(one_hot(cam1) - rv2)
    torch.testing.assert_close(net.loss(x, targets)["loss"], classes + least + er + ecr)


def test_the_refined_map_is_summed_and_the_mean_of_the_other_climbed():
    net, steps = network(), []
    total = advcam.climb(advcam.maps.SEAM(net), images(), [0, 3], SHORT, on_step=steps.append)
    summed = torch.zeros_like(total)
    for step in steps:
        for view, x in enumerate(step.images.unbind(dim=1)):
            signed, after = net.both_maps(x)
            torch.testing.assert_close(step.scores[:, view], signed.mean(dim=(2, 3)).detach())
            own = torch.stack([after[0, 1], after[1, 4]]).detach()
            summed += own.flip(-1) if view else own
    torch.testing.assert_close(total, summed)
    first, last = (step.scores[0, :, 0].sum() - step.scores[0, :, 1:].sum() for step in (steps[0], steps[-1]))
    assert last > first
