"""Pixel masks from image-level class labels, by anti-adversarial climbing of class activation maps."""

from importlib import import_module
from typing import Any

import lazy_loader

__version__ = "0.1.0"

# Public names and where they live are in __init__.pyi. They are imported on first use: `advcam --help` stays quick.
_lazily, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    # Its folder is another one than its name says.
    return import_module("advcam.attribute.maps") if name == "maps" else _lazily(name)
