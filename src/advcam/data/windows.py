"""Large pictures in overlapping windows: where they lie, what each counts, and what they say put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

# Windows begin at whole cells of the usual networks and of stored maps, so that both line up across windows.
GRID = 16
# Part of a window that the next one sees as well: an object at the rim of one lies further inside of the other.
OVERLAP = 0.25

Window = tuple[slice, slice]


def windows(size: tuple[int, int], side: int) -> list[Window]:
    """Windows of at most ``side + GRID - 1`` pixels a side that cover a picture, row by row.

    Neighbours share at least a quarter of a window, up to what the grid takes.

    Args:
        size: height and width of the picture.
        side: of a window; a picture that is shorter is one window along that axis.

    >>> [(rows.start, rows.stop, columns.start, columns.stop) for rows, columns in windows((40, 100), 64)]
    [(0, 40, 0, 64), (0, 40, 32, 100)]
    """
    return [(rows, columns) for rows in _spans(size[0], side) for columns in _spans(size[1], side)]


def _spans(length: int, side: int) -> list[slice]:
    last = (length - side) // GRID * GRID
    if last <= 0:
        return [slice(0, length)]
    count = 1 + -(-last // max(GRID, int(side * (1 - OVERLAP))))
    starts = sorted({round(last * place / (count - 1) / GRID) * GRID for place in range(count)})
    return [slice(start, length if start == last else start + side) for start in starts]


def window_weights(height: int, width: int) -> Float[Tensor, "{height} {width}"]:
    """What each pixel of a window counts: most in the middle, little at the rim, where a network sees half of things.

    >>> window_weights(1, 4)
    tensor([[0.5000, 1.0000, 1.0000, 0.5000]])
    """
    rows, columns = (
        torch.minimum(torch.arange(1, side + 1), torch.arange(side, 0, -1)) / ((side + 1) // 2)
        for side in (height, width)
    )
    return rows[:, None] * columns


def blended(
    size: tuple[int, int], side: int, of_window: Callable[[Window], Float[Tensor, "C _ _"]]
) -> Iterator[tuple[Window, Float[Tensor, "C _ _"]]]:
    """The weighted mean of overlapping windows, part by part from the top left.

    Beside a window, only what it shares with the next one and with those of the next row is held.

    Args:
        size: height and width of the picture.
        side: of a window.
        of_window: the values of each pixel of a window.

    Yields:
        Parts that no later window reaches, and their values; together they tile the picture.

    >>> parts = blended((40, 100), 64, lambda window: torch.ones(2, 40, window[1].stop - window[1].start))
    >>> [(columns, tuple(values.shape), float(values.min())) for (rows, columns), values in parts]
    [(slice(0, 32, None), (2, 40, 32), 1.0), (slice(32, 100, None), (2, 40, 68), 1.0)]
    """
    height, width = size
    down, across = _spans(height, side), _spans(width, side)
    # Sums of weighted values and, last, of weights: of the rows that windows of the row above share with this one. What
    # this row leaves to the next takes its place, column by column.
    lower = [*(rows.start for rows in down[1:]), height]
    most = max(rows.stop - start for rows, start in zip(down, lower, strict=True))
    strip, held = torch.zeros(0), 0
    for rows, end in zip(down, lower, strict=True):
        left, shared = torch.zeros(0), rows.stop - end
        for columns, stop in zip(across, (*(after.start for after in across[1:]), width), strict=True):
            values = of_window((rows, columns)).float().cpu()
            weights = window_weights(*values.shape[1:])
            sums = torch.zeros(len(values) + 1, *values.shape[1:])
            if not len(strip):
                strip = torch.zeros(len(sums), most, width)
            known = left.shape[-1]
            if known:
                sums[..., :known] = left
            sums[:, :held, known:] = strip[:, :held, columns.start + known : columns.stop]
            sums[:-1] += values * weights
            sums[-1] += weights
            done, left = sums[..., : stop - columns.start], sums[..., stop - columns.start :].clone()
            strip[:, :shared, columns.start : stop] = done[:, end - rows.start :]
            inner = done[:, : end - rows.start]
            yield (slice(rows.start, end), slice(columns.start, stop)), inner[:-1] / inner[-1]
        held = shared


def middle_of(window: Window, size: tuple[int, int], side: int) -> tuple[Window, Window]:
    """The part of a window that is nearer to its middle than to its neighbours', in the picture and in the window.

    Together these parts tile the picture.

    >>> [middle_of(window, (40, 100), 64)[0][1] for window in windows((40, 100), 64)]
    [slice(0, 48, None), slice(48, 100, None)]
    """
    rows, columns = (_middle(span, _spans(length, side)) for span, length in zip(window, size, strict=True))
    inner = (
        slice(part.start - span.start, part.stop - span.start)
        for part, span in zip((rows, columns), window, strict=True)
    )
    return (rows, columns), (next(inner), next(inner))


def _middle(span: slice, spans: list[slice]) -> slice:
    place = spans.index(span)
    start = span.start if place == 0 else (span.start + spans[place - 1].stop) // 2
    stop = span.stop if place == len(spans) - 1 else (spans[place + 1].start + span.stop) // 2
    return slice(start, stop)
