"""Nodes that something outside needs."""

from __future__ import annotations

from tfreuse.ir.graph import Graph
from tfreuse.ir.order import ancestors


def live_nodes(graph: Graph) -> set[str]:
    """What the roots need, saving and initialisation (frozen nodes) aside; all else where nothing is known of roots."""
    apart = graph.frozen.difference(value.node for _, value in graph.outputs)
    starts = graph.roots - apart
    if starts <= set(graph.arguments):
        return set(graph.nodes) - apart
    return ancestors(graph, starts, apart)
