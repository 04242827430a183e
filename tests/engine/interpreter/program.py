"""A module as the interpreter runs it: steps, with the calls expanded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.engine.interpreter.ops import READS

PORTS = 3
"""Outputs that every step is taken to have."""
CHOICE = "(choice)"
"""The op of a step that gives its second operand where its first is true, else its third."""

Term = tuple[object, ...]
Guards = tuple[tuple[tuple[int, int], bool], ...]
"""Predicates, as (step, port), and which way each must go."""


@dataclass
class Step:
    """A node of the module with all calls expanded; `state` is what it reads or writes where its `guards` hold."""

    op: str
    attrs: str
    inputs: tuple[tuple[int, int], ...] = ()
    waits: frozenset[int] = frozenset()
    state: str = ""
    constant: Term | None = None
    guards: Guards = ()


@dataclass
class Program:
    """The steps of a module, the results by label, the steps that must run."""

    steps: list[Step] = field(default_factory=list)
    results: dict[str, tuple[int, int]] = field(default_factory=dict)
    required: set[int] = field(default_factory=set)

    def live(self) -> set[int]:
        """The steps that anybody waits for, as TensorFlow prunes a graph."""
        found: set[int] = set()
        work = [step for step, _ in self.results.values()] + list(self.required)
        while work:
            index = work.pop()
            if index not in found:
                found.add(index)
                work += [source for source, _ in self.steps[index].inputs] + list(self.steps[index].waits)
        return found

    def ancestors(self) -> dict[int, set[int]]:
        """For each live step all steps that are before it in every schedule."""
        above: dict[int, set[int]] = {}

        def visit(index: int) -> set[int]:
            if index not in above:
                step = self.steps[index]
                direct = {source for source, _ in step.inputs} | step.waits
                above[index] = direct.union(*(visit(source) for source in direct))
            return above[index]

        for index in self.live():
            visit(index)
        return above

    def conflicts(self) -> Iterator[tuple[int, int]]:
        """Pairs of live steps on one state of which at least one writes."""
        touching = [index for index in sorted(self.live()) if self.steps[index].state]
        for position, one in enumerate(touching):
            for other in touching[position + 1 :]:
                first, second = self.steps[one], self.steps[other]
                if first.state == second.state and not (first.op in READS and second.op in READS):
                    yield one, other

    def has_branches(self) -> bool:
        """Whether what runs depends on the world."""
        return any(step.guards for step in self.steps)

    def has_race(self) -> bool:
        """Whether two conflicting steps may run in either order."""
        above = self.ancestors()
        return any(one not in above[other] and other not in above[one] for one, other in self.conflicts())
