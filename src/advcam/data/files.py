"""Moved to ``advcam.io.files``."""

from advcam.io.files import *  # noqa: F403
from advcam.io.files import TEMPORARY, contents_digest, read_json, unwritable, write_json, write_text, writing

__all__ = ["TEMPORARY", "contents_digest", "read_json", "unwritable", "write_json", "write_text", "writing"]
