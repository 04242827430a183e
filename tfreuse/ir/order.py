"""Topological order and ancestors in linear time, by loops of our own, which run on the hot path (docs/adr/0002)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Set

from tfreuse.errors import GraphError
from tfreuse.ir.graph import Graph, Node, check_edges, check_roots

_BACK_EDGE_OPS = frozenset({"NextIteration", "RefNextIteration"})


def is_ordered(nodes: Mapping[str, Node]) -> bool:
    """Whether every node stands behind all of its inputs, back edges of loops aside."""
    seen: set[str] = set()
    for name, node in nodes.items():
        _, _, inputs, controls, _, _ = node
        for source, _ in inputs:
            if source not in seen and not _is_back_edge(nodes, source, node):
                return False
        if controls and not seen.issuperset(controls):
            return False
        seen.add(name)
    return True


def check_graph(graph: Graph) -> None:
    """Check that every edge and root leads somewhere and that there is no cycle.

    Raises:
        GraphError: naming what is wrong.
    """
    if graph.known_ordered or is_ordered(graph.nodes):
        graph.note_ordered()
        check_roots(graph)
        return
    check_edges(graph)
    topological(graph)


def sources_first(graph: Graph) -> Graph:
    """The graph with each node listed behind what it needs, back edges of loops aside, and else as it was.

    Raises:
        GraphError: if the graph has a cycle.
    """
    if is_ordered(graph.nodes):
        return graph
    topological(graph)  # or a cycle would be followed for ever
    listed: dict[str, Node] = {}
    for name in graph.nodes:
        work = [name]
        while work:
            node = graph.nodes[work[-1]]
            sources = [source for source, _ in node.inputs if not _is_back_edge(graph.nodes, source, node)]
            missing = [source for source in (*sources, *sorted(node.controls)) if source not in listed]
            if missing:
                work += reversed(missing)
            else:
                listed[work.pop()] = node
    return graph.evolve(listed)


def topological(graph: Graph) -> list[str]:
    """Node names, inputs before users; the listed order is kept wherever it is one already.

    The edge from a `NextIteration` to its `Merge` (a loop of TF1 control flow) is not followed.

    Raises:
        GraphError: if the graph has a cycle, naming a node on it.
    """
    nodes = graph.nodes
    if graph.known_ordered or is_ordered(nodes):
        graph.note_ordered()
        return list(nodes)
    waiting: dict[str, int] = {}
    users: dict[str, list[str]] = {name: [] for name in nodes}
    for name, node in nodes.items():
        sources = {value.node for value in node.inputs} | node.controls
        sources = {source for source in sources if not _is_back_edge(nodes, source, node)}
        waiting[name] = len(sources)
        for source in sources:
            users[source].append(name)
    ready = deque(name for name, count in waiting.items() if count == 0)
    order: list[str] = []
    while ready:
        name = ready.popleft()
        order.append(name)
        for user in users[name]:
            waiting[user] -= 1
            if waiting[user] == 0:
                ready.append(user)
    if len(order) != len(nodes):
        stuck = min(name for name, count in waiting.items() if count > 0)
        raise GraphError(f"graph {graph.name!r} has a cycle through or before node {stuck!r}")
    return order


def ancestors(graph: Graph, names: Iterable[str], apart: Set[str] = frozenset()) -> set[str]:
    """The nodes that must run for these to run, themselves included; never one of `apart`, nor past one."""
    nodes = graph.nodes
    found = set(apart)
    work = list(names)
    while work:
        name = work.pop()
        if name not in found:
            found.add(name)
            node = nodes[name]
            work += [source for source, _ in node.inputs]
            work += node.controls
    found.difference_update(apart)
    return found


def data_ancestors(graph: Graph, names: Iterable[str], ends: Set[str] = frozenset()) -> set[str]:
    """The nodes whose values go into these, themselves included; control edges carry none, and no op of `ends` hands
    a value on."""
    found: set[str] = set()
    work = list(names)
    while work:
        name = work.pop()
        if name not in found:
            found.add(name)
            node = graph.nodes[name]
            work += [source for source, _ in node.inputs] if node.op not in ends else ()
    return found


def _is_back_edge(nodes: Mapping[str, Node], source: str, user: Node) -> bool:
    if user.op not in ("Merge", "RefMerge"):
        return False
    found = nodes.get(source)
    return found is not None and found.op in _BACK_EDGE_OPS
