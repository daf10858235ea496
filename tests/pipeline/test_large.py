"""Pictures that are too large to be mapped whole go through windows and come out at their own size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.attribute.result import LocalizationMaps
from advcam.errors import SettingsError
from advcam.pipeline.config import RefineSettings, RunConfig
from advcam.pipeline.graph import run_stages
from advcam.pipeline.run import Run

SIZE = (150, 217)


@pytest.fixture
def large(config: RunConfig, tmp_path: Path) -> RunConfig:
    """One picture of 150 x 217 pixels with a disc in its last corner, and one of 64 x 64."""
    data = tmp_path / "large"
    data.mkdir()
    pixels = np.random.default_rng(0).integers(90, 160, (*SIZE, 3), dtype=np.uint8)
    pixels[110:140, 180:210] = (220, 40, 40)
    Image.fromarray(pixels).save(data / "large.png")
    Image.fromarray(pixels[:64, :64]).save(data / "small.png")
    (data / "labels.csv").write_text("image,labels\nlarge.png,disc;bar\nsmall.png,bar\n")
    return replace(config, data=str(data), attribute=replace(config.attribute, window=64, max_side=100))


def test_windows_map_and_refine_at_the_own_size(large: RunConfig, capsys: pytest.CaptureFixture[str]) -> None:
    large = replace(large, refine=RefineSettings(window=96, overlays=True))
    run_stages(large, ("classify", "attribute", "refine"))
    assert "reduced" not in capsys.readouterr().err
    run = Run.open(large)
    result = LocalizationMaps.load(run.folder.file("advcam/maps", "large"))
    assert result.image_size == SIZE
    assert result.maps.shape == (2, 38, 55)
    assert result.maps.max(axis=(1, 2)).min() > 0.5
    with Image.open(run.folder.file("advcam/masks", "large")) as mask:
        assert mask.size == SIZE[::-1]
    with Image.open(run.folder.file("advcam/overlays", "large")) as overlay:
        assert overlay.size == SIZE[::-1]


def test_without_windows_it_is_told_and_small_pictures_are_alike(
    large: RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for place, window in enumerate((64, 0)):
        config = replace(large, out=str(tmp_path / str(place)), attribute=replace(large.attribute, window=window))
        run_stages(config, ("classify", "attribute"))
        found.append(LocalizationMaps.load(Run.open(config).folder.file("advcam/maps", "small")).maps)
    np.testing.assert_array_equal(*found)
    assert "1 images are longer than 100 pixels and reduced: --attribute.window keeps them" in capsys.readouterr().err


def test_windows_are_for_what_needs_no_whole_image() -> None:
    with pytest.raises(SettingsError, match=r"refine.window is for refine.method crf or none"):
        RefineSettings(method="irn", window=512)
