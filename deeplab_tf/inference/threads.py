"""Work that goes on beside the network: reading ahead of it, drawing behind it."""

import collections
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_WAITING = 2  # images at once beside the caller's; each may be large


def in_order(
    function: Callable[[T], R], items: Iterable[T], threads: int = 1
) -> Iterator[R]:
    """Yields function(item) of each item, in order, computed in other threads.

    The items are taken in the caller's thread, a few ahead of what is yielded: what
    makes them, or what the caller does with the results, goes on beside the function.

    Args:
      function: must be safe in several threads, where there are more than one.
      items: taken as they are needed.
      threads: that compute.

    Raises:
      What the function raised, in the item's turn; or what taking an item raised.
      Items already taken are finished first, as without threads, also at Ctrl-C.
    """
    waiting: collections.deque[concurrent.futures.Future[R]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > _WAITING:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
