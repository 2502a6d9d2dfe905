"""Work on pieces of images in threads; numpy and BLAS run without the interpreter's lock.

BLAS itself gets one thread meanwhile: its own threads would wait for each other at every product.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import threadpoolctl


__all__ = (
    "in_threads",
    "thread_count",
)


Item = TypeVar("Item")
Result = TypeVar("Result")


def thread_count() -> int:
    """Return how many threads this process may run at once."""
    return len(os.sched_getaffinity(0))


@lru_cache(maxsize=1)
def _libraries() -> threadpoolctl.ThreadpoolController:
    """Return the numerical libraries of this process, which takes a while to find."""
    return threadpoolctl.ThreadpoolController()


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None
) -> Iterator[Result]:
    """Yield ``function`` of every item, in the order of the items.

    Items are taken from the caller's thread, at most one more than there are threads ahead of
    the results, so that memory is bounded however many there are.

    Parameters
    ----------
    function : callable
        What to do with an item.
    items : iterable
        The work.
    threads : int, optional
        Threads; :func:`thread_count` by default.

    Examples
    --------
    >>> list(in_threads(abs, [-1, 2, -3], threads=2))
    [1, 2, 3]
    """
    threads = threads or thread_count()
    pending: deque[Future[Result]] = deque()
    with _libraries().limit(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
