"""A picture explained step by step: the class activation map, and the map that grows along the climb."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torchvision
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from advcam.attribute.climb import ClimbStep, climb
from advcam.attribute.grid import divide_by_max
from advcam.attribute.inputs import to_input
from advcam.attribute.maps.cam import CAM
from advcam.attribute.settings import ClimbSettings, adapted
from advcam.data.masks import voc_palette
from advcam.data.transforms import resize_long_side
from advcam.errors import ModelError
from advcam.models.checkpoint import load_classifier
from advcam.models.classifier import build_classifier
from advcam.models.mapper import ClassMapper
from advcam.models.settings import BackboneSettings
from advcam.report.overlays import heat_overlay, mask_overlay

# Longer side of a picture while it is explained, in pixels.
SIDE = 384


@dataclass(frozen=True)
class Frame:
    """The maps of all chosen classes after one step, in [0, 1] at the picture's size."""

    step: int
    maps: Float[np.ndarray, "k h w"]
    """Divided by their maximum (eq. 4); those of step 0 are the class activation maps."""
    scores: tuple[float, ...]
    """The classifier's score of each class for the picture as it is now."""


class Stopped(Exception):
    """Nobody wants the rest of a climb."""


@dataclass(frozen=True)
class Explainer:
    """A classifier with the names of its classes.

    Args:
        mapper: the classifier.
        class_names: one for each of its classes.
    """

    mapper: ClassMapper
    class_names: tuple[str, ...]

    @classmethod
    def of_folder(cls, folder: str | Path, device: str = "cpu") -> Explainer:
        """The classifier of a run, or of a folder with ``model.safetensors`` and ``config.json``.

        Raises:
            ModelError: there is none.
        """
        classifier, names = load_classifier(folder)
        return cls(classifier.to(device).mapper(), names)

    @classmethod
    def of_library(cls, architecture: str, device: str = "cpu") -> Explainer:
        """A classifier of torchvision with its own weights for ImageNet.

        Raises:
            ModelError: there is no such network, or its weights cannot be had.
        """
        name = architecture.removeprefix("torchvision/")
        try:
            names = tuple(torchvision.models.get_model_weights(name).DEFAULT.meta["categories"])
        except (ValueError, AttributeError, KeyError) as error:
            raise ModelError(
                f"{architecture}: torchvision has no such classifier: take torchvision/resnet50, or name a trained one "
                "with --classifier or a run with --out"
            ) from error
        settings = BackboneSettings(architecture=f"torchvision/{name}", weights="default")
        return cls(build_classifier(settings, len(names), require_head=True).to(device).eval().mapper(), names)

    def likely(self, picture: UInt8[np.ndarray, "H W 3"], count: int = 5) -> list[tuple[str, float]]:
        """The classes with the highest scores, each with its probability among all classes (softmax)."""
        with torch.no_grad(), self.mapper.frozen():
            scores = self.mapper.class_maps(self._input(picture)).mean(dim=(2, 3))[0]
            if self.mapper.bias is not None:
                scores = scores + self.mapper.bias
        order = scores.argsort(descending=True)[:count].tolist()
        probabilities = scores.softmax(0)
        return [(self.class_names[index], float(probabilities[index])) for index in order]

    def grow(
        self, picture: UInt8[np.ndarray, "H W 3"], classes: list[int], steps: int, reg_weight: float
    ) -> Iterator[Frame]:
        """The frames of a climb as they are made, one for each step; those who stop listening stop the climb.

        Args:
            picture: already of the size it is to be shown at, see :func:`reduced`.
            classes: 0-based.
            steps: at least 1.
            reg_weight: lambda of eq. 7 in the authors' units.
        """
        asked = replace(ClimbSettings.released(), steps=steps, reg_weight=reg_weight)
        settings = adapted(asked, CAM(self.mapper).units)
        target = torch.tensor(classes, device=self.mapper.device)
        images = self._input(picture).expand(len(classes), -1, -1, -1)
        size = picture.shape[:2]
        frames: queue.Queue[Frame | BaseException | None] = queue.Queue(maxsize=2)
        wanted = threading.Event()
        wanted.set()
        total: list[Tensor] = []

        def keep(step: ClimbStep) -> None:
            total[:] = [step.maps + total[0]] if total else [step.maps]
            full = divide_by_max(interpolate(total[0][:, None], size, mode="bilinear", align_corners=False)[:, 0])
            scores = step.scores.mean(dim=1).gather(1, target[:, None])[:, 0].tolist()
            put(Frame(step.step, full.detach().float().cpu().numpy(), tuple(scores)))

        def put(item: Frame | BaseException | None) -> None:
            while wanted.is_set():
                try:
                    return frames.put(item, timeout=0.2)
                except queue.Full:
                    continue
            raise Stopped

        def work() -> None:
            try:
                climb(self.mapper, images, target, settings, on_step=keep)
                put(None)
            except Stopped:
                pass
            except BaseException as error:
                put(error)

        threading.Thread(target=work, daemon=True).start()
        try:
            while (item := frames.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            wanted.clear()

    def _input(self, picture: UInt8[np.ndarray, "H W 3"]) -> Float[Tensor, "1 3 H W"]:
        return to_input(picture, self.mapper)[None]


def reduced(picture: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """The picture at the size that it is explained and shown at."""
    return resize_long_side(picture, SIDE) if max(picture.shape[:2]) > SIDE else picture


def labels_at(frame: Frame, classes: list[int], threshold: float) -> UInt8[np.ndarray, "h w"]:
    """The seed of a frame: arg max over the threshold and the maps, background 0, class + 1.

    >>> labels_at(Frame(0, np.array([[[0.2, 0.9]]]), (1.0,)), [4], 0.5).tolist()
    [[0, 5]]
    """
    winner = frame.maps.argmax(axis=0)
    values = np.asarray(classes)[winner] + 1
    return np.where(frame.maps.max(axis=0) > threshold, values, 0).astype(np.uint8)


def shown(
    picture: UInt8[np.ndarray, "h w 3"], frame: Frame, number: int, classes: list[int], threshold: float
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]]:
    """One class's heat map over the picture, and the mask of all chosen classes over it."""
    heat = heat_overlay(picture, frame.maps[number])
    # Masks have room for 254 classes; of more the colours begin again.
    labels = labels_at(frame, [index % 254 for index in classes], threshold)
    return heat, mask_overlay(picture, labels, voc_palette())
