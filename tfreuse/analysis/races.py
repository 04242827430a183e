"""Reads that race with a write: no edge says which of the two comes first, so two such reads may see two states.

What uses a TF1 reference, or a view of its buffer, reads the variable when it runs: `Identity` copies nothing.

Graphs behind automatic control dependencies have none. In others the program has no one meaning, and merging some of
the racing reads could give a result that no order of the original gives; they are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tfreuse.analysis.alias import UNKNOWN, Resource, may_alias
from tfreuse.analysis.effects import EFFECT, PURE, READ, Effects
from tfreuse.analysis.kinds import Kinds
from tfreuse.analysis.live import live_nodes
from tfreuse.ir.graph import Graph, Node, Value
from tfreuse.ops.buffers import MAY_VIEW, VIEW, buffer_ops

MAX_ACCESSES = 16_384
"""Above this many reads and writes of resources that are both read and written, only direct edges count as an order."""


def racing_reads(graph: Graph, effects: Effects, kinds: Kinds, order: list[str]) -> frozenset[str]:
    """Names of the reads with which some write of the very same resource is not ordered.

    Only reads and writes that one run needs together count: all of a function's, and in a main graph those that one
    and the same fetched or public node needs, so initialisation does not count. Two arguments count as two
    resources, as they do for automatic control dependencies.
    """
    writers = _by_resource(graph, effects, kinds, EFFECT, "write", lambda resource: resource != UNKNOWN)
    if not writers:
        return frozenset()
    pairs = [
        (read, write)
        for resource, readers in _readers(graph, effects, kinds, order, writers).items()
        for read in readers
        for write in writers[resource]
        if not _are_neighbours(graph, read, write)
    ]
    if not pairs:
        return frozenset()
    return _racing(graph, effects, kinds, order, pairs)


def parted_reads(
    graph: Graph, effects: Effects, kinds: Kinds, order: list[str], equal: Mapping[str, str]
) -> frozenset[str]:
    """Those of `equal`, reads that stay beside the equal read that each leads to, that may see another state.

    They do if some write with which one of the two is not ordered is of the same variable; here two arguments may be
    one. Reads that are merged need not fear that: both at one moment is one of the orders that the program allows.
    """
    accesses = {name: effects.of(graph.nodes[name]) for name in {*equal, *equal.values()}}
    writers = _by_resource(graph, effects, kinds, EFFECT, "write", lambda resource: True)
    pairs = [
        (name, write)
        for name, found in accesses.items()
        for resource, writes in writers.items()
        if any(may_alias(resource, access.resource) for access in found)
        for write in writes
        if not _are_neighbours(graph, name, write)
    ]
    racing = _racing(graph, effects, kinds, order, pairs) if pairs else frozenset()
    return frozenset(read for read, other in equal.items() if not racing.isdisjoint((read, other)))


def _racing(
    graph: Graph, effects: Effects, kinds: Kinds, order: list[str], pairs: list[tuple[str, str]]
) -> frozenset[str]:
    """The reads of those pairs (read, write) that some run needs together and that no path orders."""
    needed_by = _needed_by(graph, kinds, order, effects.has_frames)
    conflicts: dict[str, list[str]] = {}
    for read, write in pairs:
        if needed_by[read] & needed_by[write]:
            conflicts.setdefault(read, []).append(write)
    return _unordered(graph, order, conflicts) if conflicts else frozenset()


def _are_neighbours(graph: Graph, one: str, other: str) -> bool:
    """Whether an edge leads from one of the two to the other."""
    return _uses(graph.nodes[other], one) or _uses(graph.nodes[one], other)


def _uses(node: Node, name: str) -> bool:
    return name in node.controls or name in [source for source, _ in node.inputs]


def _by_resource(
    graph: Graph, effects: Effects, kinds: Kinds, kind: str, mode: str, wanted: Callable[[Resource], bool]
) -> dict[Resource, list[str]]:
    found: dict[Resource, list[str]] = {}
    nodes = graph.nodes
    for name in kinds.names(kind):
        for access in effects.of(nodes[name]):
            if access.mode == mode and wanted(access.resource):
                found.setdefault(access.resource, []).append(name)
    return found


def _readers(
    graph: Graph, effects: Effects, kinds: Kinds, order: list[str], written: Mapping[Resource, list[str]]
) -> dict[Resource, list[str]]:
    """What reads each resource of those that are `written`."""
    found = _by_resource(graph, effects, kinds, READ, "read", written.__contains__)
    if not effects.reference_sources:
        return found
    views: dict[str, frozenset[Resource]] = {
        name: frozenset({effects.resource(Value(name))}) for name in effects.reference_sources
    }
    for name in order:
        node = graph.nodes[name]
        seen = frozenset(resource for source, _ in node.inputs for resource in views.get(source, ()))
        if not seen:
            continue
        if node.op in buffer_ops(VIEW) or node.op in buffer_ops(MAY_VIEW):
            views[name] = views.get(name, frozenset()) | seen
        if kinds[name] == PURE:
            for resource in seen.intersection(written):
                found.setdefault(resource, []).append(name)
    return found


def _needed_by(graph: Graph, kinds: Kinds, order: list[str], has_frames: bool) -> dict[str, int]:
    """For each node a mask of the runs that need it: one for a function, one a root for a main graph.

    A function's writes count even if nothing needs them: the proof, which compares schedules, lets them run as well.
    """
    roots = sorted(graph.roots - graph.frozen - set(graph.arguments))
    if graph.outputs or not roots:
        live = live_nodes(graph)
        return {name: int(name in live or (kinds[name] == EFFECT and bool(graph.outputs))) for name in order}
    needed = dict.fromkeys(order, 0)
    needed.update((name, 1 << index) for index, name in enumerate(roots))
    while _pass_on(graph, order, needed) and has_frames:
        pass  # a loop's back edge leads against the order: another round for each loop around it
    return needed


def _pass_on(graph: Graph, order: list[str], needed: dict[str, int]) -> bool:
    """Give each node's mask to what it uses; whether one that had passed its own on already got more."""
    again = False
    passed: set[str] = set()
    for name in reversed(order):
        mask = needed[name]
        passed.add(name)
        if not mask:
            continue
        node = graph.nodes[name]
        for used in [*(source for source, _ in node.inputs), *node.controls]:
            if mask & ~needed[used]:
                needed[used] |= mask
                again = again or used in passed
    return again


def _unordered(graph: Graph, order: list[str], conflicts: Mapping[str, list[str]]) -> frozenset[str]:
    concerned = list(dict.fromkeys([*conflicts, *(write for writes in conflicts.values() for write in writes)]))
    if len(concerned) > MAX_ACCESSES:
        return frozenset(conflicts)
    loops = _loop_variables(graph)
    bits = {name: 1 << index for index, name in enumerate([*concerned, *(switch for switch, _ in loops.values())])}
    above: dict[str, int] = {}
    while _gather(graph, order, bits, loops, above) and loops:
        pass  # what a loop hands out stands before its body: another round for each loop around it

    def is_before(one: str, other: str) -> bool:
        return bool(above.get(other, 0) & bits[one])

    return frozenset(
        read
        for read, writes in conflicts.items()
        if any(not is_before(read, write) and not is_before(write, read) for write in writes)
    )


def _gather(
    graph: Graph,
    order: list[str],
    bits: Mapping[str, int],
    loops: Mapping[str, tuple[str, str]],
    above: dict[str, int],
) -> bool:
    """Add to `above` the bits of what each node comes after; whether an `Exit` came to know more.

    A loop variable leaves its loop when every iteration has made it anew, so after all that its `NextIteration` needs;
    if each value needs the one before. (Iterations overlap: what the last value does not need may still be running.)
    """
    more = False
    back = {name for op in ("NextIteration", "RefNextIteration") for name in graph.by_op.get(op, ())}
    for name in order:
        mask = 0
        for source, _ in graph.nodes[name].inputs:
            if source not in back:
                mask |= above.get(source, 0) | bits.get(source, 0)
        for control in graph.nodes[name].controls:
            mask |= above.get(control, 0) | bits.get(control, 0)
        if name in loops:
            switch, following = loops[name]
            if above.get(following, 0) & bits[switch]:
                mask |= above[following]
            more = more or mask != above.get(name, 0)
        if mask:
            above[name] = mask
    return more


def _loop_variables(graph: Graph) -> dict[str, tuple[str, str]]:
    """For each `Exit` of TF1 control flow the `Switch` of its loop variable and the `NextIteration`."""
    found = {}
    for name in graph.by_op.get("Exit", ()):
        switch = graph.nodes[graph.nodes[name].inputs[0].node]
        merge = graph.nodes[switch.inputs[0].node] if switch.op == "Switch" else switch
        for source, _ in merge.inputs if merge.op == "Merge" else ():
            if graph.nodes[source].op == "NextIteration":
                found[name] = switch.name, source
    return found
