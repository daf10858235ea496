"""Every training of the package on a few small pictures, built and run as the stages do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from advcam.classify.seam import SEAM
from advcam.classify.settings import ClassifySettings
from advcam.classify.sub_categories import SubCategories, sub_categories
from advcam.classify.task import ClassifierTask
from advcam.classify.train import started
from advcam.classify.validation import pooled_features
from advcam.classify.wsol.build import build_method
from advcam.classify.wsol.settings import METHODS, WSOLSettings
from advcam.classify.wsol.task import WSOLTask
from advcam.data.masks import write_mask
from advcam.data.record import ImageSet, Record
from advcam.models.architectures import build_backbone
from advcam.models.classifier import build_classifier
from advcam.models.settings import BackboneSettings
from advcam.models.taps import tapped
from advcam.refine.irn.network import IRNNetwork
from advcam.refine.irn.train import IRNTask, LabelledImage
from advcam.refine.irn_settings import IRNSettings
from advcam.refine.psa.checkpoint import build_affinity_net
from advcam.refine.psa.labels import AffinityLabels
from advcam.refine.psa.training import AffinityExample, AffinityTask
from advcam.refine.psa_settings import PSASettings
from advcam.saliency.pairs import Pair
from advcam.saliency.settings import DetectorSettings
from advcam.saliency.train import DetectorTask, start_detector
from advcam.saliency.u2net import U2NetPlan
from advcam.segment.cct.data import semi_supervised
from advcam.segment.cct.settings import CCTSettings
from advcam.segment.cct.task import CCTTask, start_cct
from advcam.segment.data import check_masks
from advcam.segment.settings import SegmentSettings
from advcam.segment.task import DeepLabTask, start_deeplab
from advcam.segment.validation import Validation
from advcam.training import FitResult, Task, fit
from advcam.training.machine import seeded

BACKBONE = BackboneSettings("timm/test_resnet", weights=None)
# A network of U²-Net's shape, but narrow.
NARROW = U2NetPlan(encoder=((3, 2, 4), *((4, 2, 4),) * 5), decoder=((8, 2, 4),) * 5)
# Few updates of small batches, for every training.
SHORT: dict[str, Any] = {"batch_size": 2, "updates": 3, "lr": 0.01, "workers": 0}


@dataclass(frozen=True)
class Pictures:
    """Six pictures with a bright square of class 0 or 1, their masks, and soft labels for PSA."""

    images: ImageSet
    labels: tuple[Path, ...]

    @classmethod
    def draw(cls, root: Path) -> Pictures:
        records, soft = [], []
        root.mkdir(parents=True, exist_ok=True)
        for index in range(6):
            generator, label = np.random.default_rng(index), index % 2
            image = generator.integers(0, 60, (72, 80, 3), dtype=np.uint8)
            mask = np.zeros((72, 80), np.uint8)
            mask[16:56, 12 + 2 * index : 56] = label + 1
            image[mask > 0] += np.array((180, 90, 40), np.uint8) if label else np.array((40, 90, 180), np.uint8)
            Image.fromarray(image).save(root / f"{index}.png")
            write_mask(root / "masks" / f"{index}.png", mask)
            sure = (mask[None] > 0).astype(np.float16)
            soft.append(root / f"{index}.npz")
            AffinityLabels(np.array([label]), sure, sure).save(soft[-1])
            records.append(Record(str(index), root / f"{index}.png", (label,), root / "masks" / f"{index}.png"))
        return cls(ImageSet(root, "test", "train", ("one", "other"), tuple(records)), tuple(soft))


def _classifier(pictures: Pictures, **change: Any) -> Task:
    settings = ClassifySettings(**SHORT | {"crop": 32, "long_side": (28, 40), "val_long_side": 32} | change)
    with seeded(settings.seed):
        classifier = build_classifier(BACKBONE, 2)
    return ClassifierTask(classifier, pictures.images, pictures.images, settings)


def _on_maps(method: str) -> Callable[..., Task]:
    def make(pictures: Pictures, **change: Any) -> Task:
        settings = ClassifySettings(
            method=method, **SHORT | {"crop": 32, "long_side": (28, 40), "jitter": (0.3, 0.3, 0.3, 0.1)} | change
        )
        backbone = replace(BACKBONE, output_stride=8)
        if method == "seam":
            return ClassifierTask(started(backbone, 2, settings.seed, SEAM), pictures.images, None, settings)
        network = started(backbone, 2, settings.seed, partial(SubCategories, clusters=2))
        features = pooled_features(started(backbone, 2, settings.seed).eval(), pictures.images, settings)
        subs = sub_categories(features.numpy(), [record.classes for record in pictures.images.records], 2)
        return ClassifierTask(network, pictures.images, None, settings, subs, part=0.5)

    return make


def _wsol(method: str) -> Callable[..., Task]:
    def make(pictures: Pictures, **change: Any) -> Task:
        settings = WSOLSettings(method=method, **SHORT | {"crop": 32, "resize": 40} | change)
        with seeded(settings.seed):
            network = build_method(BACKBONE, 2, settings)
        return WSOLTask(network, pictures.images, pictures.images, settings)

    return make


def _irn(pictures: Pictures, **change: Any) -> Task:
    settings = IRNSettings(**SHORT | {"crop": 32, "radius": 3} | change)
    with seeded(settings.seed):
        network = IRNNetwork(tapped(build_backbone("timm/test_resnet")))
    images = [LabelledImage(record.image, record.mask, 640) for record in pictures.images.records if record.mask]
    return IRNTask(network, images, settings)


def _psa(pictures: Pictures, **change: Any) -> Task:
    named = {"architecture": "timm/test_resnet", "weights": None, "output_stride": 8, "crop": 72}
    settings = PSASettings(**SHORT | named | change)
    pairs = zip(pictures.images.records, pictures.labels, strict=True)
    return AffinityTask(
        build_affinity_net(settings), [AffinityExample(record.image, labels) for record, labels in pairs], settings
    )


def _deeplab(pictures: Pictures, **change: Any) -> Task:
    network = {"architecture": "timm/test_resnet", "weights": None, "output_stride": 16, "rates": (1, 2)}
    small = {"pyramid": (0.5,), "crop": 32, "scales": (0.5, 0.75), "freeze_batch_norm": False}
    settings = SegmentSettings(**SHORT | network | small | change)
    segmenter, _ = start_deeplab(settings, pictures.images.class_names)
    return DeepLabTask(segmenter, pictures.images, settings, Validation(pictures.images, samples=1))


def _cct(pictures: Pictures, **change: Any) -> Task:
    network = {"architecture": "timm/test_resnet", "weights": None, "output_stride": 16, "psp_channels": 16}
    small = {"crop": 32, "long_side": (32, 64), "drop_out": 1, "cut_out": 1, "feature_drop": 1, "feature_noise": 1}
    settings = CCTSettings(**SHORT | network | small | {"updates": 2} | change)
    segmenter, _ = start_cct(settings, pictures.images.class_names)
    data = semi_supervised(check_masks(pictures.images), pictures.images, 2, pictures.images)
    return CCTTask(segmenter, data, settings, Validation(pictures.images, samples=1))


def _detector(pictures: Pictures, **change: Any) -> Task:
    settings = DetectorSettings(**SHORT | {"size": 40, "crop": 32} | change)
    pairs = [Pair(record, grey=False) for record in pictures.images.records]
    return DetectorTask(start_detector(settings, NARROW), settings, pairs[:4], pairs[4:])


TASKS: dict[str, Callable[..., Task]] = {
    "classifier": _classifier,
    **{method: _on_maps(method) for method in ("seam", "sub_categories")},
    **{method: _wsol(method) for method in METHODS},
    "irn": _irn,
    "psa": _psa,
    "deeplab": _deeplab,
    "cct": _cct,
    "detector": _detector,
}


def train(task: Task, folder: Path, **more: Any) -> tuple[FitResult, dict[str, Tensor]]:
    """What a training on the CPU ends with: its result, and every tensor of the network."""
    result = fit(task, folder, origin={}, device="cpu", **more)
    return result, task.network.state_dict()


__all__ = ["TASKS", "Pictures", "train"]
