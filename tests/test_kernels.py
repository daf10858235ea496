"""Compiled functions in an installation that nobody may write to."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import advcam
from advcam import kernels


def test_without_a_folder_for_the_cache_it_compiles_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def njit(cache: bool = False, **options: object):
        asked.append(cache)

        def compile_(function):
            if cache:
                raise RuntimeError("cannot cache function: no locator available")
            return function

        return compile_

    monkeypatch.setattr(kernels, "njit", njit)
    assert kernels.compiled(nogil=True)(lambda x: 2 * x)(21) == 42
    assert asked == [True, False]


def test_no_kernel_is_compiled_in_another_way() -> None:
    root = Path(advcam.__file__).parent
    found = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "numba" and any(a.name == "njit" for a in node.names)
    ]
    assert found == ["kernels.py"]
