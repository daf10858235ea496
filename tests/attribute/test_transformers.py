"""Transformers and other networks that do not end in pooling and one linear layer, explained with no option."""

from __future__ import annotations

from dataclasses import replace

import pytest
import timm
import torch
import torchvision
from torch import nn

import advcam
from advcam.attribute.climb import climb_pairs
from advcam.errors import ModelError
from advcam.models.probe import climbing

SMALL = {"depth": 2, "embed_dim": 48, "num_heads": 2, "img_size": 64}
FLAT = {"depths": (1, 1, 1, 1), "embed_dim": 16, "num_heads": (1, 1, 2, 2)}
CELLS, CAM = "blocks.1.norm1", "class activation maps"
# timm's name, what makes it small, and the layer that is taken.
NETWORKS = {
    "ViT, class token": ("vit_tiny_patch16_224", SMALL, CELLS),
    "ViT, mean": ("vit_tiny_patch16_224", SMALL | {"global_pool": "avg"}, "norm"),
    "DeiT": ("deit_tiny_patch16_224", SMALL, CELLS),
    "DeiT, distilled": ("deit_tiny_distilled_patch16_224", SMALL, CELLS),
    "DINOv2": ("vit_small_patch14_dinov2", SMALL | {"img_size": 56}, CELLS),
    "DINOv2, registers": ("vit_small_patch14_reg4_dinov2", SMALL | {"img_size": 56}, CELLS),
    "EVA-02": ("eva02_tiny_patch14_224", SMALL | {"img_size": 56}, "norm"),
    "SigLIP": ("vit_base_patch16_siglip_224", SMALL, "norm"),
    "CLIP": ("vit_base_patch16_clip_224", SMALL, CELLS),
    "ConvNeXt": ("convnext_atto", {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}, "norm_pre"),
    "Swin": ("swin_tiny_patch4_window7_224", FLAT, "norm"),
    "Swin V2": ("swinv2_tiny_window8_256", FLAT | {"img_size": 128, "window_size": 4}, "norm"),
    "PVT v2": ("pvt_v2_b0", {"depths": (1, 1, 1, 1)}, CAM),
}


def side_of(model: nn.Module, small: dict) -> int:
    return small.get("img_size", 224 if "num_heads" in small else 96)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_timm(name):
    architecture, small, layer = NETWORKS[name]
    torch.manual_seed(0)
    model = timm.create_model(architecture, num_classes=5, **small).eval()
    explain = advcam.AdvCAM(model)
    assert layer in explain.taken
    explain.settings = replace(explain.settings, steps=2)
    side = side_of(model, small)
    images = torch.randn(2, 3, side, side)
    maps = explain(images, [1, 3])
    assert maps.shape == (2, side, side)
    assert 0 <= maps.min() <= maps.amax() <= 1
    assert maps.any()
    # Maps and scores belong together: logits are the network's own, and a climb raises the score of its class.
    steps = []
    found = climb_pairs(explain.map, images, [1, 3], explain.settings, on_step=steps.append)
    torch.testing.assert_close(steps[0].scores[:, 0] if layer != CAM else found.logits, own(model, images, layer))
    assert (steps[1].objective > steps[0].objective).all()


def own(model: nn.Module, images: torch.Tensor, layer: str) -> torch.Tensor:
    with torch.no_grad():
        logits = model(images)
        return logits if layer != CAM else (logits + model(images.flip(-1))) / 2


def test_a_transformer_of_torchvision():
    model = torchvision.models.VisionTransformer(64, 16, 2, 2, 32, 64, num_classes=5).eval()
    with pytest.raises(ModelError, match="no layer with a map on which its scores depend"):
        advcam.AdvCAM(model)  # torchvision's head begins with zeros
    nn.init.normal_(model.heads.head.weight)
    explain = advcam.AdvCAM(model, advcam.ClimbSettings(steps=2))
    assert "encoder_layer_1.ln_1" in explain.taken
    assert explain(torch.randn(1, 3, 64, 64), [2]).any()


class TestCLIP:
    @pytest.fixture(scope="class")
    def clip(self):
        model = pytest.importorskip("open_clip.model")
        torch.manual_seed(0)
        vision = {"layers": 2, "width": 64, "head_width": 32, "patch_size": 16, "image_size": 64}
        return model.CLIP(32, vision, {"vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}).eval()

    def test_names_and_a_file_of_embeddings(self, clip, tmp_path):
        from open_clip import tokenize
        from safetensors.torch import save_file

        with torch.no_grad():
            text = clip.encode_text(tokenize(["a photo of a cat.", "a photo of a dog."]))
        save_file({"text": text}, tmp_path / "text.safetensors")
        images, settings = torch.randn(2, 3, 64, 64), advcam.ClimbSettings(steps=2, flip=False)
        maps = [advcam.maps.Tokens(clip, names) for names in (["cat", "dog"], tmp_path / "text.safetensors")]
        one, other = (climb_pairs(map_, images, [0, 1], settings) for map_ in maps)
        assert one.maps.shape == (2, 4, 4)
        torch.testing.assert_close(one.logits, other.logits, rtol=1e-4, atol=1e-4)
        with climbing(clip), torch.no_grad():
            expected = clip(images, tokenize(["a photo of a cat.", "a photo of a dog."]))
        image, words, scale = expected[:3]
        torch.testing.assert_close(one.logits, scale * image @ words.T, rtol=1e-4, atol=1e-4)

    def test_names_need_a_model_that_embeds_text(self):
        tower = timm.create_model("vit_tiny_patch16_224", **SMALL, num_classes=0)
        with pytest.raises(ModelError, match="embeds no text"):
            advcam.maps.Tokens(tower, ["cat", "dog"])
