"""For tests of what is left for the garbage collector, which does nothing meanwhile."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["alive", "no_collector"]


@contextmanager
def no_collector() -> Iterator[None]:
    """In the block nothing is freed but what nobody refers to, and ``alive`` sees only what was made in it: a
    look at all that other tests have left would take a good part of a second."""
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.enable()


def alive(*kinds: type) -> int:
    """How many objects there are of these kinds, of those that the collector would look at."""
    return sum(isinstance(each, kinds) for each in gc.get_objects())
