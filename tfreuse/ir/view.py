"""Read-only networkx views: of a graph's edges, of parts of it, and of who calls whom."""

from __future__ import annotations

from collections.abc import Iterable

import networkx as nx

from tfreuse.ir.graph import Graph, Module

CONTROL_PORT = -1
"""The `port` of an edge that carries control only."""


def graph_view(graph: Graph, only: Iterable[str] | None = None) -> nx.MultiDiGraph:
    """The graph as a `MultiDiGraph`: nodes carry `node`, edges `port` (source output) and `slot` (input index).

    Two edges between the same nodes stay two (``Mul(x, x)``). Control edges have port and slot -1.
    With `only`, the view is of the subgraph that these nodes induce, and costs no more than they do.
    """
    names = graph.nodes.keys() if only is None else dict.fromkeys(only).keys()
    view = nx.MultiDiGraph(name=graph.name)
    for name in names:
        view.add_node(name, node=graph.nodes[name])
    for name in names:
        node = graph.nodes[name]
        view.add_edges_from(
            (source.node, name, {"port": source.port, "slot": slot})
            for slot, source in enumerate(node.inputs)
            if source.node in names
        )
        view.add_edges_from(
            (control, name, {"port": CONTROL_PORT, "slot": CONTROL_PORT})
            for control in sorted(node.controls)
            if control in names
        )
    return nx.freeze(view)


def call_view(module: Module) -> nx.MultiDiGraph:
    """Who calls whom: an edge from the caller to each function that a node of it names, keyed by the node."""
    view = nx.MultiDiGraph()
    view.add_nodes_from(module.graphs)
    view.add_nodes_from(module.opaque)
    for graph in module.graphs.values():
        for op in module.graphs.keys() & graph.by_op:
            view.add_edges_from((graph.name, op, name) for name in graph.by_op[op])
        for node in graph.naming:
            for func in node.attrs.functions:
                if func.name in view:
                    view.add_edge(graph.name, func.name, key=node.name)
    return nx.freeze(view)


def callees_first(module: Module) -> list[list[str]]:
    """Function names in groups, callees before callers; a group of several, or a self-call, is recursive.

    Groups are the strongly connected components of the call graph, each sorted by name.
    """
    calls = call_view(module)
    condensed = nx.condensation(nx.DiGraph(calls))
    order = nx.lexicographical_topological_sort(
        condensed.reverse(copy=False), key=lambda group: min(condensed.nodes[group]["members"])
    )
    return [sorted(condensed.nodes[group]["members"]) for group in order]
