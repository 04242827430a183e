"""The register of scenarios.

A scenario takes a decorator with the call conventions of `tf.function` (`decorate(fn)`,
`decorate(fn, **options)`, `decorate(**options)(fn)`), builds all it needs afresh, checks what is known in
advance, and returns everything else that can be seen from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Decorate = Callable[..., Any]

FUNCTION = "tf.function"
EAGER = "eager"


@dataclass(frozen=True)
class Scenario:
    """One program. `reference` names the decorator whose observations are the right ones."""

    name: str
    run: Callable[[Decorate], Any]
    reference: str = FUNCTION


SCENARIOS: dict[str, Scenario] = {}


def scenario(run: Callable[[Decorate], Any] | None = None, *, reference: str = FUNCTION) -> Any:
    """Register a scenario under its function's name, as `@scenario` or `@scenario(reference="eager")`."""
    if run is None:
        return lambda function: scenario(function, reference=reference)
    if reference not in (FUNCTION, EAGER):
        raise ValueError(f"{run.__name__}: no such reference: {reference!r}")
    if run.__name__ in SCENARIOS:
        raise ValueError(f"two scenarios are called {run.__name__}")
    SCENARIOS[run.__name__] = Scenario(run.__name__, run, reference)
    return run


def undecorated(function: Callable | None = None, **_options: Any) -> Any:
    """The eager reference: leaves the function as it is, whatever the options."""
    return (lambda inner: inner) if function is None else function
