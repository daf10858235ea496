"""``refine.method affinity``: maps walk over what a frozen network finds alike (``feature_affinity``)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from advcam.data.transforms import normalize
from advcam.errors import SettingsError
from advcam.models.mapper import ClassMapper
from advcam.models.weights import check_finite, finite, read_weights
from advcam.refine.feature_affinity import (
    attention_affinity,
    class_distributions,
    cosine_affinity,
    jensen_shannon_affinity,
    spread,
)
from advcam.refine.settings import AffinitySettings
from advcam.refine.vit_tokens import attention_maps, patch_features
from advcam.refine.walk import random_walk


class Affinity:
    """Spreads the maps of a picture. May be called from several threads at once.

    Args:
        mapper: the classifier, for "classes" and "features".
        transformer: of timm, for "tokens" and "attention", with its mean and std in ``pretrained_cfg``. Networks are
            put in evaluation mode.
    """

    def __init__(
        self, settings: AffinitySettings, mapper: ClassMapper | None = None, transformer: nn.Module | None = None
    ) -> None:
        self.settings = settings
        self.mapper: Any = mapper
        self.transformer: Any = transformer
        if (mapper if settings.source in ("classes", "features") else transformer) is None:
            raise SettingsError(f"affinity.source {settings.source} needs the network that it looks at")
        for network in (mapper, transformer):
            if network is not None:
                network.eval()

    @torch.no_grad()
    def __call__(self, image: UInt8[np.ndarray, "H W 3"], maps: Float[Tensor, "k H W"]) -> Float[Tensor, "k H W"]:
        """The maps after the walk, at their size, each over its maximum; zeros stay zeros."""
        if not maps.any():
            return maps
        asked = self.settings
        if asked.source == "attention":
            attention, grid = attention_maps(self.transformer, self._tokens(image), asked.layers)
            affinity = attention_affinity(attention[0].cpu()).to(maps)
            walked = spread(_on_grid(maps, grid), affinity, asked.steps, asked.box_threshold)
        else:
            if asked.source == "tokens":
                alike = cosine_affinity(patch_features(self.transformer, self._tokens(image))[0].cpu(), asked.radius)
            else:
                alike = self._of_classifier(image)
            grid = (alike.shape[1], alike.shape[2])
            walked = random_walk(_on_grid(maps, grid), alike.to(maps) ** asked.beta, asked.steps)
        finite(walked, f"the maps after affinity.source {asked.source}")
        large = functional.interpolate(walked[None], maps.shape[1:], mode="bilinear", align_corners=False)[0]
        return large / large.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(large.dtype).tiny)

    def _of_classifier(self, image: np.ndarray) -> Float[Tensor, "o h w"]:
        view = torch.from_numpy(normalize(image, self.mapper.mean, self.mapper.std))[None].to(self.mapper.weight)
        if self.settings.source == "features":
            return cosine_affinity(self.mapper.features(view)[0].cpu(), self.settings.radius)
        class_maps = self.mapper.class_maps(view)[0].cpu()
        return jensen_shannon_affinity(class_distributions(class_maps), self.settings.radius)

    def _tokens(self, image: np.ndarray) -> Float[Tensor, "1 3 h w"]:
        """The picture at the size that the transformer takes."""
        model = self.transformer
        config, size = model.pretrained_cfg, model.patch_embed.img_size
        view = torch.from_numpy(normalize(image, config["mean"], config["std"]))[None]
        view = view.to(next(model.parameters()))
        return functional.interpolate(view, size, mode="bicubic", antialias=True)


def load_transformer(name: str, weights: str, device: torch.device) -> nn.Module:
    """A vision transformer of timm with the weights of a safetensors file."""
    import timm

    tensors = read_weights(weights).tensors
    check_finite(tensors, f"affinity.weights {weights}")
    try:
        model = timm.create_model(name, pretrained=False, num_classes=0)
        model.load_state_dict({k: v for k, v in tensors.items() if k in model.state_dict()})
    except (RuntimeError, ValueError) as error:
        raise SettingsError(f"affinity.weights {weights} does not give timm's {name} ({error})") from error
    return model.to(device).eval()


def _on_grid(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """The mean of each cell's pixels."""
    return functional.adaptive_avg_pool2d(maps[None], grid)[0]
