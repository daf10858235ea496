"""Regions of Segment Anything (Kirillov et al., 2023) by transformers, from weights on disk: nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional
from torchvision.ops import masks_to_boxes, nms

from advcam.errors import ModelError
from advcam.refine.feature_affinity import boxes_mask

# Of SAM's training: the statistics of its input, and prompts that go through its decoder at once.
_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_PROMPTS_AT_ONCE = 64


@dataclass(frozen=True)
class SegmentAnythingSettings:
    """How masks are made and which are kept; the defaults are those of SAM's own mask generator."""

    points_per_side: int = 32
    """Of the grid over the whole picture."""
    least_iou: float = 0.88
    """Masks whose IoU with the truth the network itself puts lower are left out."""
    least_stability: float = 0.95
    """IoU of the mask's logits cut at 1 and at -1; masks with less are left out."""
    duplicate: float = 0.7
    """Of masks whose boxes overlap by more (IoU), the one with the highest predicted IoU stays."""


class SegmentAnything:
    """SAM as a source of regions."""

    def __init__(self, model: Any, settings: SegmentAnythingSettings | None = None) -> None:
        self.model = model.eval()
        self.settings = settings or SegmentAnythingSettings()

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "cpu") -> SegmentAnything:
        """From a folder that transformers' ``save_pretrained`` wrote; safetensors only."""
        try:
            from transformers import SamModel
        except ImportError as error:
            raise ModelError("Segment Anything needs transformers: pip install 'advcam[sam]'") from error
        if not Path(folder, "config.json").is_file():
            raise ModelError(f"{folder} has no config.json: give a folder that transformers' save_pretrained wrote")
        try:
            model: Any = SamModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError) as error:
            raise ModelError(f"{folder} holds no Segment Anything in safetensors ({error})") from error
        return cls(model.to(device))

    def everything(self, image: UInt8[np.ndarray, "H W 3"]) -> Bool[Tensor, "R H W"]:
        """The masks of all things in the picture, from a grid of points; the surest first, without duplicates."""
        height, width = image.shape[:2]
        ticks = (torch.arange(self.settings.points_per_side) + 0.5) / self.settings.points_per_side
        y, x = torch.meshgrid(ticks * height, ticks * width, indexing="ij")
        logits, ious = self._masks(image, points=torch.stack([x, y], dim=-1).view(-1, 1, 2))
        high, low = ((logits > cut).sum(dim=(1, 2)) for cut in (1.0, -1.0))
        masks = logits > 0
        sure = (ious >= self.settings.least_iou) & (high >= self.settings.least_stability * low) & masks.any((1, 2))
        masks, ious = masks[sure], ious[sure]
        if not len(masks):
            return masks
        return masks[nms(masks_to_boxes(masks), ious, self.settings.duplicate)]

    def prompted(
        self, image: UInt8[np.ndarray, "H W 3"], maps: Float[Tensor, "k H W"], prompts: str, threshold: float = 0.4
    ) -> Bool[Tensor, "R H W"]:
        """One mask for each class, from the box around what is high on its map ("boxes") or from its peak ("points").

        Args:
            threshold: of the boxes, a share of the map's maximum.
        """
        shown = maps[maps.amax(dim=(1, 2)) > 0]
        if not len(shown):
            return torch.zeros(0, *image.shape[:2], dtype=torch.bool)
        if prompts == "boxes":
            boxes = masks_to_boxes(boxes_mask(shown, threshold)) + torch.tensor([0, 0, 1, 1])
            logits, ious = self._masks(image, boxes=boxes)
        else:
            peak = shown.flatten(1).argmax(dim=1)
            width = image.shape[1]
            points = torch.stack([peak % width + 0.5, peak // width + 0.5], dim=1)
            logits, ious = self._masks(image, points=points[:, None])
        # Three masks per prompt, whole, part and part of a part: the one the network is surest of.
        best = ious.view(len(shown), -1).argmax(dim=1)
        return logits.view(len(shown), -1, *logits.shape[1:])[torch.arange(len(shown)), best] > 0

    @torch.no_grad()
    def _masks(
        self,
        image: UInt8[np.ndarray, "H W 3"],
        points: Float[Tensor, "p 1 2"] | None = None,
        boxes: Float[Tensor, "p 4"] | None = None,
    ) -> tuple[Float[Tensor, "m H W"], Float[Tensor, " m"]]:
        """Logits and predicted IoUs of the three masks of every prompt, x before y in pixels of the image."""
        height, width = image.shape[:2]
        device = next(self.model.parameters()).device
        side = self.model.config.vision_config.image_size
        scale = side / max(height, width)
        small = (round(height * scale), round(width * scale))
        pixels = torch.tensor(image, device=device).permute(2, 0, 1)[None].float()
        pixels = functional.interpolate(pixels, small, mode="bilinear", antialias=True)
        pixels = (pixels - pixels.new_tensor(_MEAN)[:, None, None]) / pixels.new_tensor(_STD)[:, None, None]
        pixels = functional.pad(pixels, (0, side - small[1], 0, side - small[0]))
        embeddings = self.model.get_image_embeddings(pixels)
        logits, ious = [], []
        prompts = points if points is not None else boxes
        assert prompts is not None
        for some in prompts.to(device).mul(scale).split(_PROMPTS_AT_ONCE):
            told = {"input_points": some[None]} if points is not None else {"input_boxes": some[None]}
            found = self.model(image_embeddings=embeddings, **told)
            large = functional.interpolate(found.pred_masks[0], (side, side), mode="bilinear", align_corners=False)
            large = large[..., : small[0], : small[1]]
            logits.append(functional.interpolate(large, (height, width), mode="bilinear").flatten(0, 1).cpu())
            ious.append(found.iou_scores[0].flatten().cpu())
        return torch.cat(logits), torch.cat(ious)
