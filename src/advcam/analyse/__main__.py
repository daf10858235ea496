"""``python -m advcam.analyse fig2 --data FOLDER --classifier FOLDER --out FOLDER``: one analysis without a run."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonargparse

from advcam.analyse import ANALYSES, analysis
from advcam.analyse.subject import open_subject
from advcam.attribute.settings import ClimbSettings
from advcam.errors import UserError


def main() -> None:
    parser = jsonargparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=tuple(ANALYSES))
    parser.add_argument("--data", type=str, required=True)
    parser.add_argument("--classifier", type=str, required=True)
    parser.add_argument("--out", type=str, default="analysis")
    parser.add_argument("--split", type=str, default=None)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--scales", type=tuple[float, ...], default=(1.0,))
    parser.add_argument("--max_side", type=int, default=640)
    parser.add_argument("--adapt", type=bool, default=True)
    parser.add_argument("--panels", type=str, default="abcde", help="of fig11")
    parser.add_class_arguments(ClimbSettings, "climb")
    asked = parser.parse_args()
    out = Path(asked.out)
    climb = ClimbSettings(**{field.name: getattr(asked.climb, field.name) for field in fields(ClimbSettings)})
    try:
        subject = open_subject(
            asked.data,
            asked.classifier,
            split=asked.split,
            images=asked.images,
            climb=climb,
            adapt=asked.adapt,
            scales=asked.scales,
            max_side=asked.max_side,
            cache=out / "climbs",
            progress=counted,
        )
        options = {"panels": asked.panels} if asked.name == "fig11" else {}
        found = analysis(asked.name)(subject, **options)
    except UserError as error:
        sys.exit(f"advcam: {error}")
    for path in found.write(out):
        sys.stderr.write(f"{path}\n")
    for name, value in found.numbers.items():
        sys.stdout.write(f"{name}: {value:.4g}\n" if isinstance(value, float) else f"{name}: {value}\n")


def counted(items: Sequence[Any], what: str) -> Iterable[Any]:
    """Goes through the items and counts them."""
    for index, item in enumerate(items):
        sys.stderr.write(f"{what}: {index}/{len(items)}\n")
        yield item


if __name__ == "__main__":
    main()
