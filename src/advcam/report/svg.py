"""Scalable vector graphics as text: elements, axes and round tick values. Everything that is text is escaped."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup, escape

# Steps between ticks that people read easily, times powers of ten.
ROUND_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def element(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """One element with its children; a plain string is escaped, None leaves an attribute out.

    Underscores in attribute names become hyphens, and one at the end is dropped (``class_``).

    >>> str(element("text", "a < b", x=1.50, class_="label"))
    '<text x="1.5" class="label">a &lt; b</text>'
    """
    words = [name]
    for key, value in attributes.items():
        if value is not None:
            text = number(value) if isinstance(value, int | float) else value
            words.append(f'{key.rstrip("_").replace("_", "-")}="{escape(text)}"')
    inside = "".join(escape(child) for child in children)
    return Markup(f"<{' '.join(words)}>{inside}</{name}>")


def number(value: float) -> str:
    """A coordinate with at most two decimals.

    >>> number(12.0), number(1 / 3)
    ('12', '0.33')
    """
    # Adding zero turns a negative zero into a plain one.
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Axis:
    """Values from ``low`` to ``high`` on coordinates from ``start`` to ``end``, which may fall (an upright axis).

    >>> Axis(0, 2, 100, 0)(0.5)
    75.0
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """Round values within [low, high], about ``count`` of them.

    >>> ticks(0, 0.59), ticks(0, 26, 3)
    ((0.0, 0.1, 0.2, 0.3, 0.4, 0.5), (0.0, 10.0, 20.0))
    """
    if not high > low:
        return (low,)
    wanted = (high - low) / count
    power = 10 ** math.floor(math.log10(wanted))
    step = min((factor * power for factor in ROUND_STEPS), key=lambda step: abs(math.log(step / wanted)))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return tuple(round(index * step, 10) for index in range(first, last + 1))


def path(points: list[tuple[float, float]]) -> str:
    """The commands of a line through points.

    >>> path([(0, 1), (2.5, 3)])
    'M0 1L2.5 3'
    """
    return "".join(f"{'L' if index else 'M'}{number(x)} {number(y)}" for index, (x, y) in enumerate(points))
