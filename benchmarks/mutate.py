"""Do the tests notice? One operator or number of a numeric core is changed at a time, and its tests are run.

    python benchmarks/mutate.py                                       # some changes of every core in CORES
    python benchmarks/mutate.py --most 30 evaluate/confusion.py

What survives is printed: a change that changes nothing, or a gap in the tests. Kernels of numba are left out: their
machine code is kept by file, not by text.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import signal
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CORES = {
    "attribute/climb.py": ["attribute/test_climb.py", "attribute/test_climb_golden.py"],
    "evaluate/confusion.py": ["evaluate/test_segmentation.py"],
    "evaluate/scores.py": ["evaluate/test_segmentation.py"],
    "refine/pairs.py": ["refine/test_irn.py", "refine/test_psa.py"],
    "refine/seeds.py": ["refine/test_seeds.py"],
    "saliency/threshold.py": ["saliency/test_threshold.py", "refine/test_threshold.py"],
    "refine/unary.py": ["refine/test_crf.py"],
    "pipeline/parts.py": ["pipeline/test_share.py", "pipeline/test_parts.py"],
    "io/share.py": ["pipeline/test_share.py"],
    "io/stored.py": ["data/test_shards.py"],
}
SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Add,
    ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


class Mutate(ast.NodeTransformer):
    """Changes the place of a number; counts places where that is none."""

    def __init__(self, place: int | None = None) -> None:
        self.place, self.seen, self.line = place, 0, 0

    def _here(self, node: Any) -> bool:
        self.seen += 1
        if self.seen - 1 != self.place:
            return False
        self.line = node.lineno
        return True

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        if type(node.ops[0]) in SWAPS and self._here(node):
            node.ops[0] = SWAPS[type(node.ops[0])]()
        return self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        if type(node.op) in SWAPS and self._here(node):
            node.op = SWAPS[type(node.op)]()
        return self.generic_visit(node)

    visit_BoolOp = visit_BinOp  # type: ignore[assignment]

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, bool) and self._here(node):
            return ast.copy_location(ast.Constant(not node.value), node)
        if isinstance(node.value, int | float) and not isinstance(node.value, bool) and self._here(node):
            return ast.copy_location(ast.Constant(node.value + 1), node)
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node  # Sentences are for people.

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        returns, node.returns = node.returns, None
        self.generic_visit(node)
        node.returns = returns
        return node


def noticed(file: Path, source: str, tests: list[str], seconds: int) -> bool:
    """Whether tests fail, or never end, with another text in place of a file's; in a process of its own."""
    child = os.fork()
    if child == 0:
        signal.alarm(seconds)
        sys.dont_write_bytecode = True
        data, stats = SourceFileLoader.get_data, SourceFileLoader.path_stats

        def get_data(self: Any, path: str) -> bytes:
            return source.encode() if Path(path) == file else data(self, path)

        def path_stats(self: Any, path: str) -> Any:
            if Path(path) == file:
                raise OSError  # Or its compiled form would be taken.
            return stats(self, path)

        SourceFileLoader.get_data, SourceFileLoader.path_stats = get_data, path_stats  # type: ignore[method-assign]
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        import pytest

        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])))
    return os.waitpid(child, 0)[1] != 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cores", nargs="*", default=list(CORES))
    parser.add_argument("--most", type=int, default=12, help="changes of each core")
    parser.add_argument("--seconds", type=int, default=600, help="for the tests, at most")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    os.chdir(ROOT)
    # Once, for all that are forked.
    import beartype, jaxtyping, numpy, pytest, scipy.ndimage, torch  # noqa: E401, F401, I001

    torch.set_num_threads(1)
    for core in asked.cores:
        file, tests = ROOT / "src/advcam" / core, [f"tests/{name}" for name in CORES[core]]
        tree = ast.parse(file.read_text())
        counting = Mutate()
        counting.visit(tree)
        assert not noticed(file, file.read_text(), tests, asked.seconds), f"{tests} fail as they are"
        places = sorted(random.Random(asked.seed).sample(range(counting.seen), min(asked.most, counting.seen)))
        survived = 0
        for place in places:
            mutate, changed = Mutate(place), ast.parse(file.read_text())
            before = ast.unparse(changed).splitlines()
            after = ast.unparse(mutate.visit(changed))
            if not noticed(file, after, tests, asked.seconds):
                survived += 1
                lines = [f"{new.strip()}" for old, new in zip(before, after.splitlines(), strict=False) if old != new]
                print(f"{core}:{mutate.line} survives: {lines[0] if lines else '?'}", flush=True)
        print(f"{core}: {len(places) - survived} of {len(places)} changes noticed, of {counting.seen}", flush=True)


if __name__ == "__main__":
    main()
