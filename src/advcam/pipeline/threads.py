"""Work on many images in threads: for code that releases the interpreter's lock, as the CRF and the walks do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_threads(work: Callable[[Job], Result], jobs: Sequence[Job], threads: int) -> Iterator[Result]:
    """The results in the order of the jobs, a few ahead of what is consumed; the first error stops the rest.

    >>> list(in_threads(lambda job: job + 1, [1, 2, 3], threads=2))
    [2, 3, 4]
    """
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        waiting = []
        try:
            for job in jobs:
                waiting.append(pool.submit(work, job))
                if len(waiting) > 2 * threads:
                    yield waiting.pop(0).result()
            for future in waiting:
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
