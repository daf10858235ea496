"""The intervals of settings: their ends, numbers in tuples, and what is no number."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from advcam.bounds import check
from advcam.errors import SettingsError


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        ("[0, 1]", (0, 0.5, 1, (0.0, 1.0), [], None, "auto"), (-1e-9, 1.1, (0.5, 2), [-1.0], float("nan"))),
        ("(0, 1)", (1e-9, (0.5,), None), (0, 1, (0.5, 1.0))),
        ("[1, inf)", (1, 10**9), (0, float("inf"), float("nan"))),
        ("(0, 1]", (1,), (0,)),
    ],
)
def test_what_lies_inside(interval: str, inside: tuple[Any, ...], outside: tuple[Any, ...]) -> None:
    for value in inside:
        check(SimpleNamespace(share=value), "part.", share=interval)
    for value in outside:
        with pytest.raises(SettingsError, match=r"^part\.share is .*, but must "):
            check(SimpleNamespace(share=value), "part.", share=interval)
