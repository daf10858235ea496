"""What the doctor says of ten broken folders is what its page says."""

from __future__ import annotations

from pathlib import Path

from broken_folders import FOLDERS, PAGE, page, told


def test_the_page_says_what_the_doctor_says(tmp_path: Path) -> None:
    text = PAGE.read_text()
    assert len(FOLDERS) == 10
    assert text == page(text, told(tmp_path))
