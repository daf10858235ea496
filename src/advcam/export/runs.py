"""Masks as run lengths, in the three forms that annotation tools have for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int, UInt8

# Label Studio's packing: bits of a value less one, and of the four lengths less one.
_WORD, _LENGTHS = 8, (3, 4, 8, 16)
_LONGEST = 2**16


def run_lengths(flat: Bool[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
    """Lengths of the runs of False and True in turn, that of False first, 0 where the first pixel is True.

    >>> run_lengths(np.array([True, True, False])).tolist()
    [0, 2, 1]
    """
    if not flat.size:
        return np.zeros(0, np.int64)
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff(np.concatenate(([0], changes, [flat.size])))
    return np.concatenate(([0], lengths)) if flat[0] else lengths


def from_runs(lengths: Sequence[int] | Int[np.ndarray, " m"], count: int) -> Bool[np.ndarray, " {count}"]:
    """What :func:`run_lengths` was made from.

    Raises:
        ValueError: the lengths are negative, or do not add up to ``count``.
    """
    counts = np.asarray(lengths, np.int64)
    if counts.ndim != 1 or (counts < 0).any() or counts.sum() != count:
        raise ValueError(f"its run lengths do not add up to {count} pixels")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts)


def coco_runs(mask: Bool[np.ndarray, "H W"]) -> str:
    """COCO's compressed string: runs down the columns, five bits a character, differences from the fourth on.

    Source: ``rleToString`` of pycocotools' ``maskApi.c``.

    >>> coco_runs(np.array([[False, True], [True, True]]))
    '13'
    """
    lengths = run_lengths(mask.T.ravel())
    values = lengths.copy()
    values[3:] -= lengths[1:-2]
    text = bytearray()
    for value in values.tolist():
        while True:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text.append(48 + (bits | 32 if more else bits))
            if not more:
                break
    return text.decode("ascii")


def box_of(mask: Bool[np.ndarray, "H W"]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of a mask that is not empty, x1 and y1 one past the last pixel."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def cvat_runs(mask: Bool[np.ndarray, "H W"]) -> dict[str, str]:
    """The attributes of CVAT 1.1's ``<mask>``: runs along the rows of its box, pixels outside first.

    >>> cvat_runs(np.array([[False, True], [True, True]]))["rle"]
    '1, 3'
    """
    x0, y0, x1, y1 = box_of(mask)
    lengths = run_lengths(mask[y0:y1, x0:x1].ravel())
    rle = ", ".join(map(str, lengths.tolist()))
    return {"rle": rle, "left": str(x0), "top": str(y0), "width": str(x1 - x0), "height": str(y1 - y0)}


def brush_runs(mask: Bool[np.ndarray, "H W"]) -> list[int]:
    """Label Studio's brush: RGBA values along the rows, all four 255 on the object, packed as rle-pack has it.

    Source: ``label_studio_sdk.converter.brush.encode_rle``, whose bytes these are.
    """
    lengths = 4 * run_lengths(mask.ravel())
    bits = [f"{4 * mask.size:032b}{_WORD - 1:05b}", *(f"{size - 1:04b}" for size in _LENGTHS)]
    for index, length in enumerate(lengths.tolist()):
        value = "11111111" if index % 2 else "00000000"
        while length:
            now = min(length, _LONGEST)
            which = next(i for i, size in enumerate(_LENGTHS) if now <= 2**size)
            bits.append(f"1{which:02b}{now - 1:0{_LENGTHS[which]}b}{value}")
            length -= now
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def from_brush(packed: Sequence[int], height: int, width: int) -> UInt8[np.ndarray, "{height} {width}"]:
    """The alpha channel of a brush, 0 to 255.

    Raises:
        ValueError: it is broken off, or of another size.
    """
    data = bytes(packed)
    text = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}" if data else ""
    at = 0

    def read(size: int) -> int:
        nonlocal at
        if at + size > len(text):
            raise ValueError("its run lengths are broken off")
        at += size
        return int(text[at - size : at], 2)

    count = read(32)
    if count != 4 * height * width:
        raise ValueError(f"its brush has {count} values, and an image of {width} x {height} pixels needs four for each")
    word = read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    if word != 8:
        raise ValueError(f"its brush has values of {word} bits in place of 8")
    values = np.zeros(count, np.uint8)
    index = 0
    while index < count:
        alike = read(1)
        last = min(index + 1 + read(sizes[read(2)]), count)
        if alike:
            values[index:last] = read(8)
        else:
            values[index:last] = [read(8) for _ in range(last - index)]
        index = last
    return values.reshape(height, width, 4)[..., 3]
