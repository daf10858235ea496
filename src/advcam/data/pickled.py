"""The field's pickled label files, read without running what a pickle may ask for."""

from __future__ import annotations

import codecs
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from advcam.errors import DataError

# What numpy's own pickles call; where these functions live depends on its version.
_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_FUNCTIONS = {"_reconstruct": np.zeros(1).__reduce__()[0], "scalar": np.float32(0).__reduce__()[0]}


def load_arrays(path: Path) -> Any:
    """The object in a ``.npy`` file: an array, or a pickled dict or list of arrays, strings and numbers.

    Raises:
        DataError: the file is missing or broken, or its pickle asks for anything but numpy's arrays.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "cls_labels.npy")
    >>> np.save(file, {"2007_000032": np.ones(2, np.float32)})
    >>> load_arrays(file)
    {'2007_000032': array([1., 1.], dtype=float32)}
    """
    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            shape, _, dtype = npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)
            if not dtype.hasobject:
                file.seek(0)
                return np.load(file, allow_pickle=False)
            array = _ArraysOnly(file, encoding="latin1").load()
    except FileNotFoundError:
        raise DataError("there is no such file: put it there, or correct the path", path) from None
    except pickle.UnpicklingError as error:
        raise DataError(f"the file is not read, since {error}: write the labels as a CSV instead", path) from error
    # A broken pickle makes the unpickler raise errors of any kind; the original one stays attached as the cause.
    except Exception as error:
        raise DataError(
            f"this is not a whole .npy file ({error}): replace it, or write the labels as a CSV", path
        ) from error
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise DataError("this is not a whole .npy file: replace it, or write the labels as a CSV", path)
    return array.item() if shape == () else array


class _ArraysOnly(pickle.Unpickler):
    """Knows the few functions that numpy's own pickles call, and no others."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _encode
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if module in _MODULES and name in _FUNCTIONS:
            return _FUNCTIONS[name]
        raise pickle.UnpicklingError(
            f"its pickle asks for {module}.{name}, and only arrays, strings and numbers are admitted"
        )


def _encode(text: str, encoding: str) -> bytes:
    """The one encoding that old pickles of bytes use."""
    return codecs.latin_1_encode(text)[0]
