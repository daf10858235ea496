"""Numbers that no setting may have: what would take the memory, or the time, of no machine is refused at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from advcam.errors import SettingsError

# Of any number but a seed.
MOST = 10**9
# Of settings, in whatever section unless one is named, that memory, processes or a power of 2 in steps go by.
MOST_OF = {
    "regions.scales": MOST,
    **dict.fromkeys(("exp_times", "log_times", "scales", "guide_scales", "pyramid"), 16),
    "radius": 64,
    **dict.fromkeys(
        ("vat", "drop_out", "cut_out", "context_mask", "object_mask", "feature_drop", "feature_noise"), 100
    ),
    **dict.fromkeys(("clusters", "has_grid", "rates", "samples", "turns", "workers", "devices"), 1000),
    **dict.fromkeys(("crop", "long_side", "val_long_side", "resize", "size", "pad"), 4096),
    **dict.fromkeys(("in_channels", "psp_channels", "pairs"), 4096),
    **dict.fromkeys(("iterations", "drift_steps"), 10_000),
    "batch_size": 65_536,
    "seed": 2**63 - 1,
}
# Of settings that something is divided by.
LEAST_OF = {"step": 1e-4, "std": 1e-6, "gaussian_sxy": 1e-3, "bilateral_sxy": 1e-3, "bilateral_srgb": 1e-3}


def check_limits(settings: Any) -> None:
    """Refuse numbers that are out of all bounds, in a settings dataclass and in those within.

    Raises:
        SettingsError: the setting, its value, and what it may be at most.
    """
    for name, value in numbers(settings):
        last = name.rsplit(".", 1)[-1]
        most, least = MOST_OF.get(name, MOST_OF.get(last, MOST)), LEAST_OF.get(last, -MOST)
        if not least <= value <= most:
            bound = f"at most {most:,}" if value > most else f"at least {least:g}"
            raise SettingsError(f"{name} is {value}, and must be {bound}")


def numbers(settings: Any, above: str = "") -> Iterator[tuple[str, float]]:
    """All numbers, with the names of their settings."""
    for field in fields(settings):
        value, name = getattr(settings, field.name), above + field.name
        if is_dataclass(value):
            yield from numbers(value, f"{name}.")
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, int | float) and not isinstance(one, bool):
                yield name, one
