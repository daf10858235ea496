"""Where regions come from: superpixels, files of other programs, Segment Anything with random weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from advcam.errors import DataError, ModelError, SettingsError
from advcam.refine.region_files import read_regions
from advcam.refine.segment_anything import SegmentAnything, SegmentAnythingSettings
from advcam.refine.settings import RegionSettings
from advcam.refine.superpixels import superpixels


def two_halves() -> np.ndarray:
    image = np.full((40, 60, 3), 30, np.uint8)
    image[:, 30:] = (220, 180, 40)
    return image


@pytest.mark.parametrize(
    "settings", [RegionSettings(scales=(50.0, 500.0), sigma=0.0), RegionSettings(source="slic", scales=(8.0, 40.0))]
)
def test_superpixels_number_every_pixel_and_keep_to_the_edge(settings):
    parts = superpixels(two_halves(), settings)
    assert parts.shape == (2, 40, 60)
    assert parts.min() == 1
    for part in parts:
        assert not set(part[:, :30].unique().tolist()) & set(part[:, 30:].unique().tolist())


def test_settings_name_what_their_source_needs():
    for wrong in ({"source": "folder"}, {"source": "sam"}, {"scales": ()}, {"covered": 1.0}):
        with pytest.raises(SettingsError):
            RegionSettings(**wrong)
    with pytest.raises(SettingsError):
        superpixels(two_halves(), RegionSettings(source="folder", folder="regions"))


def test_label_maps_stacks_and_run_lengths_are_read(tmp_path):
    labels = np.array([[0, 1, 1], [300, 300, 1]], np.uint16)
    Image.fromarray(labels).save(tmp_path / "png.png")
    np.savez(tmp_path / "npz.npz", labels)
    np.save(tmp_path / "masks.npy", labels[None] == np.array([1, 300])[:, None, None])
    # Down the columns: of 1 the pixels 2, 4, 5, of 300 the pixels 1, 3; the second in COCO's compressed form.
    runs = [
        {"segmentation": {"size": [2, 3], "counts": [2, 1, 1, 2]}},
        {"segmentation": {"size": [2, 3], "counts": "11101"}},
    ]
    (tmp_path / "sam.json").write_text(json.dumps({"annotations": runs}))
    (tmp_path / "list.json").write_text(json.dumps(runs[:1]))
    assert read_regions(tmp_path, "png", (2, 3)).tolist() == [labels.tolist()]
    assert read_regions(tmp_path, "npz", (2, 3)).tolist() == [labels.tolist()]
    masks = read_regions(tmp_path, "masks", (2, 3))
    assert masks.dtype == torch.bool
    assert masks.int().tolist() == [[[0, 1, 1], [0, 0, 1]], [[0, 0, 0], [1, 1, 0]]]
    found = read_regions(tmp_path, "sam", (2, 3))
    assert found[0].tolist() == masks[0].tolist()
    assert found[1].int().tolist() == [[0, 0, 0], [1, 1, 0]]
    assert torch.equal(read_regions(tmp_path, "list", (2, 3)), found[:1])


def test_files_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(DataError, match="no regions of a"):
        read_regions(tmp_path, "a", (2, 3))
    for name, save in {
        "b": lambda path: path.with_suffix(".json").write_text('[{"segmentation": [[1, 2]]}]'),
        "c": lambda path: np.save(path.with_suffix(".npy"), np.ones((4, 4), int)),
        "d": lambda path: np.save(path.with_suffix(".npy"), np.ones((2, 3))),
        "e": lambda path: Image.new("RGB", (3, 2)).save(path.with_suffix(".png")),
    }.items():
        save(tmp_path / name)
        with pytest.raises(DataError, match=f"{name}\\."):
            read_regions(tmp_path, name, (2, 3))


@pytest.fixture(scope="module")
def sam():
    pytest.importorskip("transformers")
    from transformers import SamConfig, SamModel

    torch.manual_seed(0)
    heads = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16, "mlp_dim": 16}
    sizes = {"image_size": 64, "patch_size": 16}
    vision = {**heads, **sizes, "num_pos_feats": 8, "output_channels": 16, "window_size": 2, "global_attn_indexes": [0]}
    prompts = {**sizes, "hidden_size": 16, "image_embedding_size": 4, "mask_input_channels": 4}
    decoder = {**heads, "iou_head_hidden_dim": 16}
    return SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder))


@pytest.mark.slow  # the import of the library
def test_everything_keeps_sure_stable_masks_once(sam):
    every = SegmentAnythingSettings(points_per_side=3, least_iou=-10.0, least_stability=0.0, duplicate=1.0)
    image = two_halves()
    masks = SegmentAnything(sam, every).everything(image)
    assert masks.dtype == torch.bool
    assert masks.shape[1:] == (40, 60)
    assert masks.flatten(1).any(dim=1).all()
    assert len(masks) <= 27
    few = SegmentAnything(
        sam, SegmentAnythingSettings(points_per_side=3, least_iou=-10.0, least_stability=0.0, duplicate=0.0)
    )
    assert 1 <= len(few.everything(image)) <= len(masks)
    none = SegmentAnything(sam, SegmentAnythingSettings(points_per_side=3, least_iou=10.0))
    assert none.everything(image).shape == (0, 40, 60)


@pytest.mark.slow  # the import of the library
def test_prompts_come_from_the_maps(sam, monkeypatch):
    maps = torch.zeros(3, 40, 60)
    maps[0, 10:20, 30:50] = 1.0
    maps[1, 5, 7] = 0.5
    source, asked = SegmentAnything(sam), {}
    plain = source._masks
    monkeypatch.setattr(source, "_masks", lambda image, **prompts: asked.update(prompts) or plain(image, **prompts))
    assert source.prompted(two_halves(), maps, "boxes").shape == (2, 40, 60)
    assert asked["boxes"].tolist() == [[30, 10, 50, 20], [7, 5, 8, 6]]
    assert source.prompted(two_halves(), maps, "points").shape == (2, 40, 60)
    assert asked["points"][1].tolist() == [[7.5, 5.5]]
    assert source.prompted(two_halves(), maps * 0, "boxes").shape == (0, 40, 60)


@pytest.mark.slow  # the import of the library
def test_weights_come_from_a_folder_and_from_nowhere_else(sam, tmp_path):
    with pytest.raises(ModelError):
        SegmentAnything.load(tmp_path)
    sam.save_pretrained(tmp_path)
    loaded = SegmentAnything.load(tmp_path, "cpu")
    image, box = two_halves(), torch.ones(1, 40, 60)
    assert torch.equal(loaded.prompted(image, box, "boxes"), SegmentAnything(sam).prompted(image, box, "boxes"))
