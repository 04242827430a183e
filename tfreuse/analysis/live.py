"""Nodes that something outside needs."""

from __future__ import annotations

from tfreuse.ir.graph import Graph


def live_nodes(graph: Graph) -> set[str]:
    """What the roots need, saving and initialisation (frozen nodes) aside; all else where nothing is known of roots."""
    apart = graph.frozen.difference(value.node for _, value in graph.outputs)
    starts = graph.roots - apart
    if starts <= set(graph.arguments):
        return set(graph.nodes) - apart
    found: set[str] = set()
    work = list(starts)
    while work:
        name = work.pop()
        if name not in found and name not in apart:
            found.add(name)
            work += [source for source, _ in graph.nodes[name].inputs]
            work += graph.nodes[name].controls
    return found
