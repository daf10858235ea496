"""What the page lets in and out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.app import uploads
from advcam.errors import DataError


def test_pictures_are_taken_by_what_they_are(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    # Named otherwise, as a browser may.
    Image.fromarray(picture).save(tmp_path / "a.jpg", "PNG")
    assert (uploads.checked_picture(tmp_path / "a.jpg") == picture).all()
    Image.fromarray(picture).save(tmp_path / "b.gif")
    with pytest.raises(DataError, match="GIF"):
        uploads.checked_picture(tmp_path / "b.gif")
    (tmp_path / "c.png").write_bytes((tmp_path / "a.jpg").read_bytes()[:300])
    with pytest.raises(DataError):
        uploads.checked_picture(tmp_path / "c.png")
    (tmp_path / "d.jpg").write_text("<svg onload=alert(1)>")
    with pytest.raises(DataError, match="no picture"):
        uploads.checked_picture(tmp_path / "d.jpg")


def test_large_ones_are_refused_before_they_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(uploads.MAX_BYTES + 1)
    with pytest.raises(DataError, match="32 MB are taken"):
        uploads.checked_picture(huge)
    Image.new("1", (300, 200)).save(tmp_path / "wide.png")
    monkeypatch.setattr(uploads, "MAX_PIXELS", 50_000)
    with pytest.raises(DataError, match="million pixels"):
        uploads.checked_picture(tmp_path / "wide.png")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "link", "sub", "nothing", "a\0b"])
def test_nothing_outside_a_folder_is_found(name: str, tmp_path: Path) -> None:
    root = tmp_path / "run"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "report.html").write_text("<p>")
    assert uploads.within(root, "report.html") == (root / "report.html").resolve()
    with pytest.raises(DataError):
        uploads.within(root, name)
