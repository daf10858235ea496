"""Vision transformers and CLIP: a score and a grid of tokens are enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from advcam.attribute.maps.find import find_layer
from advcam.attribute.maps.gradcam import gradcam_weights
from advcam.attribute.maps.gradient import GradientMap
from advcam.errors import ModelError
from advcam.models.probe import placed

# CLIP's logit scale at the end of its training, for image towers that come without it.
LOGIT_SCALE = 100.0


def Tokens(
    model: nn.Module,
    text: Float[Tensor, "K D"] | str | Path | Sequence[str] | None = None,
    layer: str | None = None,
    *,
    prompts: Sequence[str] = ("a photo of a {}.",),
    **options: Any,
) -> GradientMap:
    """Grad-CAM on the tokens of a vision transformer, or on the grid of any other network that ends otherwise.

    Args:
        model: a classifier, or with ``text`` an image tower that answers with an embedding; a whole CLIP of open_clip
            is one too.
        text: the classes as embeddings K x D, a ``.safetensors`` file with one such tensor or, for a CLIP of open_clip
            (the extra ``clip``), names to put into ``prompts``. The score of a class is the cosine to its embedding,
            times the logit scale.
        layer: whose tokens; None finds the last one on whose patches the scores depend.
        options: as in ``GradientMap``.

    Raises:
        ModelError: no layer is a grid of tokens, or the text does not go with the model.

    >>> import timm, torch
    >>> vit = timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=5)
    >>> Tokens(vit).layers, Tokens(vit).units.stride
    (('blocks.1.norm1',), 16)
    """
    if text is not None:
        options["target"] = cosine_scores(embeddings_of(model, text, prompts), logit_scale_of(model))
        model = ImageTower(model) if hasattr(model, "encode_image") else model
    layer = layer or find_layer(model, options.get("target"))
    return GradientMap(model, layer, gradcam_weights, **options)


class ImageTower(nn.Module):
    """The part of a CLIP that embeds images."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, images: Tensor) -> Tensor:
        return self.clip.encode_image(images)  # type: ignore[operator]


def cosine_scores(text_KD: Float[Tensor, "K D"], scale: float) -> Callable[[Tensor], Tensor]:
    """From embeddings of images to scores of texts."""
    unit_KD = normalize(text_KD.detach(), dim=1)

    def scores(embedding_PD: Float[Tensor, "p D"]) -> Float[Tensor, "p K"]:
        if embedding_PD.ndim != 2 or embedding_PD.shape[1] != unit_KD.shape[1]:
            raise ModelError(
                f"the text has {unit_KD.shape[1]} numbers per class, the network answers with shape "
                f"{tuple(embedding_PD.shape)}: take text of the same model, and an image tower without a head"
            )
        return scale * normalize(embedding_PD, dim=1) @ unit_KD.to(embedding_PD).T

    return scores


def logit_scale_of(model: nn.Module) -> float:
    found = getattr(model, "logit_scale", None)
    return float(found.detach().exp()) if isinstance(found, Tensor) else LOGIT_SCALE


def embeddings_of(model: nn.Module, text: Any, prompts: Sequence[str]) -> Float[Tensor, "K D"]:
    """The classes' embeddings, on the model's device."""
    if isinstance(text, str | Path):
        from advcam.models.weights import check_finite, read_weights

        tensors = read_weights(text).tensors
        check_finite(tensors, text)
        if len(tensors) != 1:
            raise ModelError(f"{text} holds {len(tensors)} tensors, not one of classes x numbers: store one alone")
        text = next(iter(tensors.values()))
    if not isinstance(text, Tensor):
        text = embed(model, text, prompts)
    if text.ndim != 2:
        raise ModelError(f"text must be classes x numbers, not of shape {tuple(text.shape)}")
    return text.to(*placed(model))


def embed(model: nn.Module, names: Sequence[str], prompts: Sequence[str]) -> Float[Tensor, "K D"]:
    """The mean embedding of each name in all prompts, by open_clip's tokenizer."""
    encode: Any = getattr(model, "encode_text", None)
    if encode is None:
        raise ModelError(f"{type(model).__name__} embeds no text: give a CLIP of open_clip, or embeddings")
    try:
        import open_clip
    except ImportError as error:
        raise ModelError("classes by name need open_clip: pip install advcam[clip], or give embeddings") from error
    device, _ = placed(model)
    with torch.no_grad():
        rows = [
            normalize(encode(open_clip.tokenize([p.format(name) for p in prompts]).to(device)), dim=1) for name in names
        ]
    return torch.stack([row.mean(dim=0) for row in rows])
