"""Keeps Python's cyclic garbage collector out of the way while many nodes are made that all stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """No garbage collection inside: it would walk all nodes again and again, and nodes form no cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if not gc.get_freeze_count():
                # Counts the new objects as old ones, or the first collection would walk all of them at once.
                gc.freeze()
                gc.unfreeze()
            gc.enable()
