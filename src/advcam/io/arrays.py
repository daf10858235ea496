"""Arrays of one image in a file of a run folder: npz without pickle, whole or not there."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from advcam.errors import RunError
from advcam.io.files import writing

# What the arrays of one image take at most, unpacked.
MOST_BYTES = 2**31
_DAMAGE = (
    OSError,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    MemoryError,
    OverflowError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


def write_arrays(path: Path, arrays: Mapping[str, Any], compressed: bool = True) -> None:
    """Write an npz file in one go. Equal arrays give equal bytes.

    Raises:
        RunError: the file or its folder cannot be written.
    """
    with writing(path) as temporary, temporary.open("wb") as stream:
        (np.savez_compressed if compressed else np.savez)(stream, **arrays)


@contextmanager
def reading_arrays(path: Path, what: str, verb: str) -> Iterator[Mapping[str, np.ndarray]]:
    """The arrays of an npz file, read as they are asked for.

    Args:
        what: a name for what a whole file is.
        verb: the command that makes it.

    Raises:
        RunError: the file is missing, cut short, damaged, or something else; also where the block finds that out.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "a.npz")
    >>> write_arrays(path, {"edge": np.zeros(3)})
    >>> with reading_arrays(path, "edge map", "refine") as arrays:
    ...     arrays["edge"]
    array([0., 0., 0.])
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            unpacked = sum(member.file_size for member in arrays.zip.infolist())
            if unpacked > MOST_BYTES:
                raise ValueError(f"it would unpack to {unpacked / 2**30:.1f} GiB")
            yield arrays
    except FileNotFoundError:
        raise RunError(f"{path} does not exist: run `advcam {verb}` for this image first") from None
    except _DAMAGE as error:
        raise RunError(f"{path} is not a whole {what} ({error}): delete it and run the same command again") from error
