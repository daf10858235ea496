"""Settings of the walk over affinities. Kept apart so that reading them does not load torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from advcam.errors import SettingsError


@dataclass(frozen=True)
class AffinitySettings:
    """Whose opinion of "alike" the maps walk over, and how far.

    >>> AffinitySettings().source
    'classes'
    """

    source: Literal["classes", "features", "tokens", "attention"] = "classes"
    """"classes": the class distributions of the classifier's cells (Jensen-Shannon); "features": the cosine of its last
    features; "tokens" and "attention": the cosine of the patches of a vision transformer, and its attention
    (CLIP-ES)."""
    model: str | None = None
    """Of "tokens" and "attention": timm's name of a vision transformer, such as ``vit_small_patch16_dinov3.lvd1689m``
    or ``vit_base_patch16_clip_224.openai``."""
    weights: str | None = None
    """Its weights: a safetensors file; nothing is downloaded."""
    radius: int = 5
    """Of all but "attention": cells closer than this are tied."""
    beta: float = 32.0
    """Of all but "attention": power of the affinities, the larger the less unlike cells exchange."""
    steps: int = 4
    """Steps of the walk; CLIP-ES takes 2 over its attention."""
    layers: int = 8
    """Of "attention": the last so many blocks are averaged."""
    box_threshold: float | None = 0.4
    """Of "attention": the walk stays in the boxes around what exceeds this share of the map's maximum; null: it does
    not."""

    def __post_init__(self) -> None:
        if self.source in ("tokens", "attention") and not (self.model and self.weights):
            raise SettingsError(
                f"affinity.source {self.source} needs affinity.model, a transformer of timm, and affinity.weights, its "
                "file"
            )
        if self.radius < 2 or self.beta <= 0 or self.steps < 1 or self.layers < 1:
            raise SettingsError(
                "affinity.radius must be at least 2, affinity.beta above 0, affinity.steps and affinity.layers at "
                f"least 1, not {self.radius}, {self.beta}, {self.steps} and {self.layers}"
            )
