"""Moved to ``advcam.io.arrays``."""

from advcam.io.arrays import reading_arrays, write_arrays

__all__ = ["reading_arrays", "write_arrays"]
