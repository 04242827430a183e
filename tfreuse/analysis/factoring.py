"""Which sums of linear ops are to be taken before the op instead of behind it, so that fewer ops run.

`f(a) + f(b)` is `f(a + b)` for an op that is linear in that operand. The sum of the operands may again be one of linear
ops, and so on down a whole backward pass: ops merge level by level, from the last sum to the first value that two
losses do not share. What is gained depends on all levels: a gradient that something else needs as well must be
computed anyway, and so must all that it comes from.

So a plan is made for the whole graph at once, by demand: from the roots down, a sum asks for the sums of its operands'
operands, and anything else for its operands. A plan assumes that the ops which it merges are wanted for nothing else;
those that turn out to be are set aside with a reason, and the plan is made again, until it holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from typing import NamedTuple

from tfreuse.analysis.analyses import Analyses
from tfreuse.analysis.cost import HEAVY
from tfreuse.analysis.linear_sums import ELSEWHERE, LIMIT, NO_GAIN, Factor, Key, LinearSums, Refused
from tfreuse.ir.graph import Value

_PER_NODE = 1000
"""Summands looked at, in all plans together, for each node of the graph; a deep residual network takes some hundred."""


class _TooMuchError(Exception):
    """So many sums of sums that it does not pay to look at them."""


class Part(NamedTuple):
    """A sum that is needed anyway, as a part of a larger one."""

    key: Key


Piece = Factor | Part | Value


class Factoring:
    """The plan for one graph: `wanted` has the summands of each sum that changes; `pieces` gives what adds up to
    summands, and `existing` the sum of them that stays; `refused` says what keeps its sum behind it, and why; `place`
    is the order of nodes."""

    def __init__(self, analyses: Analyses, added: Container[str] = ()) -> None:
        self._nodes = analyses.graph.nodes
        self._linear = LinearSums(analyses, added)
        self.place = self._linear.place
        self._lumps: set[str] = set()
        self._budget = _PER_NODE * len(self._nodes)
        self.wanted: dict[str, Key] = {}
        self.existing: dict[Key, str] = {}
        self._by_first: dict[Factor | Value, list[Key]] = {}
        try:
            while not self._holds():
                pass
        except _TooMuchError:
            self.refused = [Refused(LIMIT, ())]
            return
        self.refused = list(self._linear.refused)
        self.wanted = {name: key for name, key in self._asked.items() if self._factors_of(key)}
        for name in sorted(self._asked.keys() - self.wanted.keys(), key=self.place.__getitem__):
            self.existing.setdefault(self._asked[name], name)
        needed = {
            *self.existing,
            *self.wanted.values(),
            *(factor.inner for key in self._sums for factor in self._factors_of(key)),
        }
        for key in sorted(needed, key=lambda key: (-len(self._sums[key]), key)):
            self._by_first.setdefault(self._sums[key][0], []).append(key)

    def pieces(self, key: Key) -> list[Piece]:
        """What adds up to the summands `key`: ops on sums, values, and the largest part that is a sum needed anyway
        (of a chain of skip connections, all but the last)."""
        pieces = self._sums[key]
        for other in self._by_first.get(pieces[0], ()):
            part = self._sums[other]
            if 1 < len(part) < len(pieces):
                left = Counter(pieces)
                left.subtract(part)
                if min(left.values()) >= 0:
                    return [Part(other), *left.elements()]
        return list(pieces)

    def _holds(self) -> bool:
        """Make a plan; False if nodes had to be set aside for the next one. Each time there are more of these."""
        self._plan()
        lumps = self._expanded & self._asked.keys()
        self._lumps |= lumps
        if lumps:
            return False
        factors = [factor for key in self._sums for factor in self._factors_of(key)]
        needed = self._used_elsewhere(factors)
        if not needed:
            for names in _without_saving(factors):
                needed |= names
        if not needed:
            for factor in self._without_gain():
                needed.update(factor.members)
                if factor.op == "BiasAddGrad":
                    self._linear.refuse(NO_GAIN, factor.members)
        self._linear.set_aside |= needed
        return not needed

    def _used_elsewhere(self, factors: Iterable[Factor]) -> set[str]:
        """Ops that run anyway."""
        needed: set[str] = set()
        for factor in factors:
            found = self._live.intersection(factor.members)
            needed |= found
            if found and factor.op in HEAVY:
                self._linear.refuse(ELSEWHERE, found if len(set(factor.members) - found) > 1 else factor.members)
        return needed

    # The plan.

    def _plan(self) -> None:
        self._sums: dict[Key, list[Factor | Value]] = {}
        self._asked: dict[str, Key] = {}
        self._live: set[str] = set()
        self._expanded: set[str] = set()
        values, keys = list(self._linear.roots), list[Key]()
        while values or keys:
            if keys:
                key = keys.pop()
                if key not in self._sums:
                    self._sums[key] = self._linear.pieces(self._summands(key))
                    for piece in self._sums[key]:
                        values += [piece.node] if isinstance(piece, Value) else self._shared(piece)
                    keys += [factor.inner for factor in self._factors_of(key)]
                continue
            name = values.pop()
            if name in self._live or name in self._asked:
                continue
            node = self._nodes[name]
            if self._linear.is_sum(node):
                self._asked[name] = tuple(sorted(node.inputs))
                keys.append(self._asked[name])
            else:
                self._live.add(name)
                values += [source for source, _ in node.inputs]
                values += node.controls

    def _summands(self, key: Key) -> Counter[Value]:
        """The summands, sums that are used for nothing else taken apart."""
        found: Counter[Value] = Counter()
        work = list(key)
        while work:
            value = work.pop()
            self._budget -= 1
            if self._budget < 0:
                raise _TooMuchError
            node = self._nodes[value.node]
            if node.name not in self._lumps and self._linear.is_sum(node):
                self._expanded.add(node.name)
                work += node.inputs
            elif self._linear.is_transparent(node):
                work += node.inputs
            else:
                found[value] += 1
        return found

    def _shared(self, factor: Factor) -> list[str]:
        """The nodes of the operands that the members have in common, or what those that are held back come from."""
        found: list[str] = []
        for place, (source, _) in enumerate(self._nodes[factor.members[0]].inputs):
            if place != factor.law.operand:
                again = self.is_made_again(factor, place)
                found += [value.node for value in self._nodes[source].inputs] if again else [source]
        return found

    def is_made_again(self, factor: Factor, place: int) -> bool:
        """Whether the members' operands are equal but for what each of them waits for, so that a new one is needed."""
        return len({self._nodes[name].inputs[place].node for name in factor.members}) > 1 and any(
            self._linear.is_held_back(self._nodes[name].inputs[place].node) for name in factor.members
        )

    def _factors_of(self, key: Key) -> list[Factor]:
        return [piece for piece in self._sums[key] if isinstance(piece, Factor)]

    def _without_gain(self) -> list[Factor]:
        """Ops whose sum is better taken behind them: nothing is multiplied less often for it, in them or further down,
        and nothing that is multiplied less often needs the sum of their operands."""
        rising = sorted(self._sums, key=lambda key: max(self.place[value.node] for value in key))
        gives: dict[Key, bool] = {}
        for key in rising:
            gives[key] = any(factor.op in HEAVY or gives[factor.inner] for factor in self._factors_of(key))
        needed: set[Key] = set()
        for key in reversed(rising):
            for factor in self._factors_of(key):
                if factor.op in HEAVY or (key in needed and not factor.law.shrinks):
                    needed.add(factor.inner)
        factors = [factor for key in rising for factor in self._factors_of(key)]
        return [f for f in factors if not (f.op in HEAVY or gives[f.inner] or f.inner in needed)]


def _without_saving(factors: Iterable[Factor]) -> list[set[str]]:
    """Ops that would be merged with some in one sum and with others in another, in so many that no fewer would run.

    Of three backward passes, one of which two losses share, two may remain. Two outputs of one op are parts of two
    sums, but of the same ops.
    """
    names: dict[str, set[str]] = {}
    groups: dict[str, set[tuple[str, ...]]] = {}
    first: dict[str, str] = {}
    for factor in factors:
        joined = {first[member] for member in factor.members if member in first}
        into = min(joined, default=factor.members[0])
        names.setdefault(into, set()).update(factor.members, *(names.pop(other) for other in joined - {into}))
        groups.setdefault(into, set()).update({factor.members}, *(groups.pop(other) for other in joined - {into}))
        first.update(dict.fromkeys(names[into] if len(joined) > 1 else factor.members, into))
    return [found for into, found in names.items() if len(groups[into]) >= len(found)]
