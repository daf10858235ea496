"""The intervals that numbers among settings must lie in."""

from __future__ import annotations

from math import inf

from advcam.errors import SettingsError


def check(settings: object, section: str, **intervals: str) -> None:
    """Refuse settings outside their intervals; of several numbers in one setting, each must lie in it.

    None and words are let through: whether a setting may be one is a matter of its type.

    Args:
        settings: has the attributes.
        section: what stands before their names in messages, such as "cct.".
        intervals: by the name of the setting, such as "[0, 1)", "(0, inf)" or "[1, inf)".

    Raises:
        SettingsError: names the first setting that lies outside.

    >>> from types import SimpleNamespace
    >>> check(SimpleNamespace(crop=320, noise=-0.3), "cct.", crop="[1, inf)", noise="[0, 1)")
    Traceback (most recent call last):
    advcam.errors.SettingsError: cct.noise is -0.3, but must lie in [0, 1)
    """
    for name, interval in intervals.items():
        value = getattr(settings, name)
        low, high = (float(end) for end in interval[1:-1].split(","))
        for number in value if isinstance(value, tuple | list) else (value,):
            if number is None or isinstance(number, str):
                continue
            # Written so that NaN is refused.
            above = number >= low if interval[0] == "[" else number > low
            below = number <= high if interval[-1] == "]" else number < high
            if not (above and below):
                bound = f"be at least {low:g}" if interval[0] == "[" else f"be greater than {low:g}"
                raise SettingsError(
                    f"{section}{name} is {value}, but must {bound if high == inf else 'lie in ' + interval}"
                )
