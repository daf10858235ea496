"""Text files as people save them: with or without a byte order mark, with any line ends."""

from __future__ import annotations

import codecs
from pathlib import Path

from advcam.errors import DataError


def read_text(path: Path) -> str:
    """The text of a file, in UTF-8 (or UTF-16 with its mark, as Excel may write it), with ``\\n`` at line ends.

    Raises:
        DataError: the file is missing, empty or in another encoding.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"the file cannot be read ({error.strerror}): put it there, or correct the path", path
        ) from error
    if not data.strip():
        raise DataError("the file is empty: write its lines, or name another file", path)
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"line {line} is not UTF-8: save the file as UTF-8 (in Excel: 'CSV UTF-8')", path) from error
    if "\0" in text:
        raise DataError("this is not a text file: name one in UTF-8", path)
    return text.replace("\r\n", "\n").replace("\r", "\n")
