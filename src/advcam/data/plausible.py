"""Lists of classes that look odd: what a person should look at before a long run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from advcam.data.classes import shortened
from advcam.data.record import Problem

# Of a class with fewer images hardly anything can be learnt.
FEW_IMAGES = 5


def similar_names(file: str, class_names: Sequence[str]) -> list[Problem]:
    """Classes whose names differ only in case or blanks: surely one class written twice."""
    first: dict[str, str] = {}
    problems = []
    for name in class_names:
        other = first.setdefault(" ".join(name.lower().split()), name)
        if other != name:
            message = f"the classes {other!r} and {name!r} differ only in case or blanks: write both alike"
            problems.append(Problem(file, message))
    return problems


def odd_classes(file: str, class_names: Sequence[str], counts: Mapping[int, int], images: int) -> list[Problem]:
    """What is odd about the classes of so many images.

    >>> [str(problem) for problem in odd_classes("d", ("1", "2"), {0: 9, 1: 2}, 9)]  # doctest: +NORMALIZE_WHITESPACE
    ['d: every image shows 1: nothing can be learnt of it without images that lack it',
     'd: 1 of 2 classes have fewer than 5 images (2)',
     'd: the classes are numbers only: list their names in classes.txt, if these are not their names']
    """
    found = []
    always = [name for index, name in enumerate(class_names) if counts.get(index, 0) == images]
    few = [name for index, name in enumerate(class_names) if counts.get(index, 0) < FEW_IMAGES]
    if len(class_names) == 1 and always:
        found.append(
            f"{always[0]} is the only class and every image shows it: nothing can be learnt of it without images that "
            "lack it, labelled background"
        )
    elif always:
        them = "it" if len(always) == 1 else "them"
        found.append(
            f"every image shows {shortened(always)}: nothing can be learnt of {them} without images that lack {them}"
        )
    if few:
        found.append(f"{len(few)} of {len(class_names)} classes have fewer than {FEW_IMAGES} images ({shortened(few)})")
    if all(name.isdecimal() for name in class_names):
        found.append("the classes are numbers only: list their names in classes.txt, if these are not their names")
    return [Problem(file, message) for message in found]
