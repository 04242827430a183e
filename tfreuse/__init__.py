"""tfreuse: work that a TensorFlow program computes twice is computed once.

`dedupe` decorates functions, `optimize_saved_model`, `optimize_graph_def` and `optimize` rewrite models and
graphs, `inspect` says what could be shared. Importing tfreuse does not import TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfreuse.api import dedupe, inspect, optimize, optimize_graph_def, optimize_saved_model
    from tfreuse.errors import TfreuseError
    from tfreuse.report.report import Report

__all__ = [
    "Report",
    "TfreuseError",
    "dedupe",
    "inspect",
    "optimize",
    "optimize_graph_def",
    "optimize_saved_model",
]

_HOMES = {"Report": "tfreuse.report.report", "TfreuseError": "tfreuse.errors"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'tfreuse' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "tfreuse.api")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
