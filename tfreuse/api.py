"""The public functions, gathered from the rooms that implement them."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike

from tfreuse.offline.graphs import optimize, optimize_graph_def
from tfreuse.offline.saved_model import optimize_saved_model
from tfreuse.report.report import Report
from tfreuse.runtime.function import dedupe

__all__ = ["dedupe", "inspect", "optimize", "optimize_graph_def", "optimize_saved_model"]


def inspect(src: str | PathLike[str], *, preset: str = "exact", tags: Iterable[str] | None = None) -> Report:
    """What could be shared in the SavedModel at `src`, equal weights in its checkpoint among it; nothing is written.

    Raises:
        InputError: if the path or the model cannot be used.
    """
    return optimize_saved_model(src, None, preset=preset, tags=tags, dry_run=True, weights=True)
