"""Orders of what touches the same state, before and after a rewrite.

Most rewrites keep every edge, and then there is nothing to compare. Where an edge was lost or won, every pair of
conflicting accesses that was ordered must still be, and every output and public node must depend on the same
effects. That is enough only where the order of all conflicting accesses is fixed to begin with: a merged read that
races with a write takes no part in a rewrite that loses an edge, and no edge is lost that together with races, which
go both ways, closes a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tfreuse.ir.graph import Graph, Node
from tfreuse.ir.order import ancestors, topological
from tfreuse.validate.touches import ANYTHING, PURE, Touch, Touches, conflict

_CHUNK = 4096
"""So many accesses are followed through the graph in one sweep, as bits of one mask."""

Found = tuple[str, str]
Pair = tuple[str, str]


class Orders:
    """The orders of `before` against those of `after`; `forward` leads from a node that went to its stand-in."""

    def __init__(
        self, before: Graph, after: Graph, forward: Mapping[str, str], touches: Touches, order: Sequence[str]
    ) -> None:
        self._before, self._after = before, after
        self._forward = forward
        self._touches = touches
        self._order = order
        self._accesses: dict[str, frozenset[Touch]] = {}
        self._knots: dict[str, int] = {}

    def disagreements(self, equal: Mapping[str, str]) -> Iterator[Found]:
        """Nodes whose order is not kept, and why; `equal` are reads that stay and should see what another sees."""
        moved = self._edges_moved()
        if not moved and not equal:
            return
        arguments = set(self._before.arguments)
        for name in self._order:
            node = self._before.nodes[name]
            if name not in arguments and self._touches.kind(self._before, node) != PURE:
                touched = self._touches.of(self._before, node)
                if touched:
                    self._accesses[name] = touched
        self._writes = [name for name, found in self._accesses.items() if any(touch.writes for touch in found)]
        if not self._writes:
            return
        if moved:
            yield from self._compare()
            yield from self._races()
        yield from self._see_the_same({r: o for r, o in equal.items() if {r, o} <= self._after.nodes.keys()})

    def _edges_moved(self) -> bool:
        """Whether some edge before is no edge after between the nodes that stand for its ends, or the other way."""
        before, after, forward = self._before.nodes, self._after.nodes, self._forward
        for (_, was), (_, value) in zip(self._before.outputs, self._after.outputs, strict=False):
            if forward.get(was.node, was.node) != forward.get(value.node, value.node):
                return True
        for name, node in before.items():
            now = after.get(name)
            if now is node:
                continue
            now = after.get(forward.get(name, name))
            if now is None:
                continue  # nothing uses it any more: its users' edges tell
            were = {forward.get(source, source) for source in _sources(node)}
            are = {forward.get(source, source) for source in _sources(now)}
            if were != are and any(not self._says_nothing(source) for source in were ^ are):
                return True
        return False

    def _says_nothing(self, name: str) -> bool:
        """Whether waiting for this node orders nothing: a constant that waits for nothing itself."""
        node = self._before.nodes.get(name)
        return node is not None and node.op == "Const" and not node.controls

    def _compare(self) -> Iterator[Found]:
        before, after = self._before.nodes, self._after.nodes
        watched = [name for name in self._accesses if self._stand_in(name) in after]
        writes = set(self._writes)
        named = self._before.kept.union(self._before.frozen, [name for _, name in self._before.control_outputs])
        pairs = {
            (name, name if name in after else self._stand_in(name)) for name in named.difference(self._before.arguments)
        }
        outputs = zip(self._before.outputs, self._after.outputs, strict=False)
        roots = sorted(pairs | {(was.node, now.node) for (_, was), (_, now) in outputs})
        order_after = topological(self._after)
        for start in range(0, len(watched), _CHUNK):
            chunk = watched[start : start + _CHUNK]
            bits = {name: 1 << index for index, name in enumerate(chunk)}
            bits_after: dict[str, int] = {}
            for name, bit in bits.items():
                bits_after[self._stand_in(name)] = bits_after.get(self._stand_in(name), 0) | bit
            above = _ancestors(before, self._order, bits)
            above_after = _ancestors(after, order_after, bits_after)
            for name in watched:
                gone = above.get(name, 0) & ~above_after.get(self._stand_in(name), 0)
                for earlier in _names(gone, chunk):
                    if self._conflict(earlier, name):
                        yield name, f"it ran after {earlier}, and need not any more"
                    elif self._is_on_a_cycle(earlier, name):
                        yield name, f"it ran after {earlier}, which tells between accesses that race"
            effects = sum(bits[name] for name in chunk if name in writes)
            for _, name in self._before.control_outputs:  # what every run needs, every root may be said to need
                effects &= ~(above.get(name, 0) & above_after.get(self._stand_in(name), 0))
            for root, now in roots:
                for effect in _names((above.get(root, 0) ^ above_after.get(now, 0)) & effects, chunk):
                    yield root, f"whether it needs {effect} changed"

    def _stand_in(self, name: str) -> str:
        return self._forward.get(name, name)

    def _races(self) -> Iterator[Found]:
        """Reads that were merged, and race with a write of the very same resource."""
        merged = [name for name in self._accesses if self._stand_in(name) != name]
        concerned = dict.fromkeys([*merged, *(self._stand_in(name) for name in merged)])
        pairs = [pair for pair in self._clashes(concerned) if self._is_one_resource(*pair)]
        ordered = _ordered(self._before.nodes, self._order, [*pairs, *((w, r) for r, w in pairs)])
        for read, write in pairs:
            if (read, write) not in ordered and (write, read) not in ordered and self._needed_together(read, write):
                yield read, f"it races with {write}, and the rewrite lost an edge"

    def _is_on_a_cycle(self, earlier: str, later: str) -> bool:
        """Whether edges and races, which go both ways, lead from `later` back to `earlier`.

        If not, any schedule without this order gives what some schedule with it gives (Shasha and Snir, "Efficient
        and correct execution of parallel programs that share memory", 1988).
        """
        if not self._knots:
            races: dict[str, list[str]] = {}
            by_resource: dict[str, list[str]] = {}
            for name, found in self._accesses.items():
                for touch in found:
                    by_resource.setdefault(touch.resource, []).append(name)
            pairs = [
                (other, write) for write in self._writes
                for touch in self._accesses[write] if touch.writes and touch.resource != ANYTHING
                for other in by_resource[touch.resource] if other != write
            ]  # fmt: skip
            ordered = _ordered(self._before.nodes, self._order, [*pairs, *((w, r) for r, w in pairs)])
            for one, other in pairs:
                if not {(one, other), (other, one)} & ordered and self._needed_together(one, other):
                    races.setdefault(one, []).append(other)
                    races.setdefault(other, []).append(one)
            self._knots = _components(self._before.nodes, self._order, races)
        return self._knots[earlier] == self._knots[later]

    def _see_the_same(self, equal: Mapping[str, str]) -> Iterator[Found]:
        """Reads that stay and are taken to see one state do so: every write stands on the same side of both.

        A caller may pass one variable as two arguments, so a write of any that may be the same counts.
        """
        pairs = [
            pair for read, other in equal.items() for write in self._writes if self._conflict(read, write)
            for pair in ((read, write), (other, write))
        ]  # fmt: skip
        ordered = _ordered(self._after.nodes, topological(self._after), [*pairs, *((w, r) for r, w in pairs)])
        for read, other in equal.items():
            for write in self._writes:
                if not self._conflict(read, write):
                    continue
                if ((write, read) in ordered) != ((write, other) in ordered):
                    yield read, f"{write} runs before only one of it and {other}"
                if (write, read) in ordered:
                    continue
                is_before = (read, write) in ordered and (other, write) in ordered
                if not is_before and self._needed_together(read, write):
                    yield read, f"it races with {write}, so it need not see what {other} sees"

    def _clashes(self, reads: Iterable[str]) -> Iterator[Pair]:
        for read in reads:
            for write in self._writes:
                if read != write and self._conflict(read, write):
                    yield read, write

    def _conflict(self, one: str, other: str) -> bool:
        return any(conflict(mine, theirs) for mine in self._accesses[one] for theirs in self._accesses[other])

    def _is_one_resource(self, read: str, write: str) -> bool:
        """Whether both touch the very same resource; two arguments count as two, as they do in TensorFlow."""
        written = {touch.resource for touch in self._accesses[write] if touch.writes} - {ANYTHING}
        return any(touch.resource in written for touch in self._accesses[read])

    def _needed_together(self, one: str, other: str) -> bool:
        """Whether some run needs both: a function's one run, or that of one root of a main graph."""
        graph = self._before
        if graph.outputs:
            return True
        for root in graph.roots - graph.frozen - set(graph.arguments):
            if {one, other} <= ancestors(graph, [root]):
                return True
        return False


def _ancestors(nodes: Mapping[str, Node], order: Sequence[str], bits: Mapping[str, int]) -> dict[str, int]:
    """For each node the bits of what runs before it, its own among them."""
    above: dict[str, int] = {}
    for name in order:
        mask = bits.get(name, 0)
        for source in _sources(nodes[name]):
            mask |= above.get(source, 0)
        if mask:
            above[name] = mask
    return above


def _ordered(nodes: Mapping[str, Node], order: Sequence[str], pairs: Sequence[Pair]) -> set[Pair]:
    """Those of `pairs` of which the first runs before the second."""
    found: set[Pair] = set()
    firsts = list(dict.fromkeys(first for first, _ in pairs))
    for start in range(0, len(firsts), _CHUNK):
        bits = {name: 1 << index for index, name in enumerate(firsts[start : start + _CHUNK])}
        above = _ancestors(nodes, order, bits)
        found.update(pair for pair in pairs if pair[0] in bits and above.get(pair[1], 0) & bits[pair[0]])
    return found


def _components(nodes: Mapping[str, Node], order: Sequence[str], more: Mapping[str, list[str]]) -> dict[str, int]:
    """For each node the number of its strongly connected component (Kosaraju), with `more` edges into nodes."""
    users: dict[str, list[str]] = {name: [] for name in nodes}
    for name, node in nodes.items():
        for source in _sources(node):
            users[source].append(name)
    finished: list[str] = []
    seen: set[str] = set()
    for start in order:
        work = [(start, False)]
        while work:
            name, done = work.pop()
            if done:
                finished.append(name)
            elif name not in seen:
                seen.add(name)
                work.append((name, True))
                work += [(user, False) for user in [*users[name], *more.get(name, ())] if user not in seen]
    number: dict[str, int] = {}
    for start in reversed(finished):
        found = [start]
        while found:
            name = found.pop()
            if name not in number:
                number[name] = len(number) if name == start else number[start]
                found += [source for source in [*_sources(nodes[name]), *more.get(name, ())] if source not in number]
    return number


def _names(mask: int, chunk: list[str]) -> Iterator[str]:
    while mask:
        low = mask & -mask
        yield chunk[low.bit_length() - 1]
        mask ^= low


def _sources(node: Node) -> list[str]:
    return [source for source, _ in node.inputs] + list(node.controls)
