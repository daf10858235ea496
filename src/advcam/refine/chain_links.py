"""Which refinements can follow which. Kept apart so that settings can be checked without torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from advcam.errors import SettingsError

Link = Literal["affinity", "pamr", "region_means", "regions", "crf"]
"""A refinement that can stand in a chain."""
OF_MAPS: tuple[str, ...] = ("affinity", "pamr", "region_means")
"""Those that take maps and leave maps."""


def check_chain(links: Sequence[str]) -> None:
    """Refuses a chain that cannot be followed.

    Raises:
        SettingsError: there is no link, one of another name, or one of maps after one that leaves labels.

    >>> check_chain(("affinity", "regions", "crf"))
    """
    if not links:
        raise SettingsError("refine.chain is empty: name refinements in their order, such as [region_means, crf]")
    for before, link in zip((None, *links), links, strict=False):
        if link not in get_args(Link):
            raise SettingsError(f"refine.chain has {link}, and knows {', '.join(get_args(Link))}")
        if link in OF_MAPS and before is not None and before not in OF_MAPS:
            raise SettingsError(
                f"refine.chain has {link} after {before}: {link} works on maps, and {before} leaves labels, so put "
                f"{link} before it"
            )
