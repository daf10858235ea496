"""Functions compiled by numba, once for all processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[Function], Function]:
    """Compile with numba at the first call, and keep the result on disk for the next process.

    In a read-only installation without a home there is no folder for it: each process then compiles anew. The copy on
    disk is renewed when the function's own file changes, so compiled functions call none of a file that may change
    apart from theirs.

    >>> @compiled(nogil=True)
    ... def twice(x):
    ...     return 2 * x
    >>> twice(21)
    42
    """

    def compile_(function: Function) -> Function:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:
            return njit(**options)(function)

    return compile_
