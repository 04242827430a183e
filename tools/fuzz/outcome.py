"""What a case gives: how much was merged, or a failure with all that is needed to reduce and keep it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tfreuse.ir.graph import Module


@dataclass(frozen=True)
class Failure:
    """A case that fails. `judge` says what is wrong with a module, in a few words, or nothing; without, it is reduced.

    The `problem` begins with what `judge` says of `module`; `notes` are lines for the head of the kept case.
    """

    kind: str
    seed: int
    problem: str
    pipeline: str
    module: Module
    judge: Callable[[Module], str] | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """Merges seen, the failure if there is one, a digest that must not depend on hashes, differences by class."""

    merges: int
    failure: Failure | None = None
    digest: str = ""
    explained: dict[str, int] = field(default_factory=dict)
