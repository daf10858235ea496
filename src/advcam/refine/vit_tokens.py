"""What a vision transformer of timm shows of an image: the attention among its patches, and their features."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from advcam.errors import ModelError


@torch.no_grad()
def attention_maps(
    model: nn.Module, images: Float[Tensor, "n 3 H W"], layers: int = 8
) -> tuple[Float[Tensor, "n l N N"], tuple[int, int]]:
    """Attention of the last ``layers`` blocks, the mean over heads, among the patches alone; and their grid.

    The weights are computed anew from what each block hands to its attention, so that fused kernels stay as they are.
    """
    transformer = _checked(model)
    prefix = transformer.num_prefix_tokens
    seen: list[Tensor] = []

    def keep(attention: Any) -> Callable:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0]
            qkv = attention.qkv(x).view(*x.shape[:2], 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
            q, k = attention.q_norm(qkv[0]), attention.k_norm(qkv[1])
            weights = (q * attention.scale @ k.transpose(-2, -1)).softmax(dim=-1).mean(dim=1)
            seen.append(weights[:, prefix:, prefix:])

        return hook

    with ExitStack() as stack:
        for block in transformer.blocks[-layers:]:
            handle = block.attn.register_forward_pre_hook(keep(block.attn))
            stack.callback(handle.remove)
        transformer.eval().forward_features(images)
    return torch.stack(seen, dim=1), _grid(transformer, images)


@torch.no_grad()
def patch_features(model: nn.Module, images: Float[Tensor, "n 3 H W"]) -> Float[Tensor, "n d h w"]:
    """The features of the patches after the last block and its norm, as DINO's are used."""
    transformer = _checked(model)
    tokens = transformer.eval().forward_features(images)[:, transformer.num_prefix_tokens :]
    height, width = _grid(transformer, images)
    return tokens.transpose(1, 2).reshape(len(images), -1, height, width)


def _checked(model: nn.Module) -> Any:
    """The model as one whose parts are known by name."""
    blocks: Any = getattr(model, "blocks", None)
    if blocks is None or not hasattr(model, "num_prefix_tokens") or not hasattr(blocks[-1].attn, "qkv"):
        raise ModelError(f"{type(model).__name__} is no vision transformer of timm with one qkv layer per block")
    return model


def _grid(model: Any, images: Tensor) -> tuple[int, int]:
    height, width = model.patch_embed.patch_size
    return math.ceil(images.shape[2] / height), math.ceil(images.shape[3] / width)
