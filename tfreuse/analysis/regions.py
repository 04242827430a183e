"""Maximal duplicate regions: what people mean by "this convolution tower, three times"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import networkx as nx

from tfreuse.ir.graph import Graph
from tfreuse.ir.view import CONTROL_PORT, graph_view


@dataclass(frozen=True)
class Region:
    """Nodes that stay, and for each copy of them the nodes that were merged away, in graph order."""

    survivor: tuple[str, ...]
    duplicates: tuple[tuple[str, ...], ...]


def merged_regions(graph: Graph, forward: Mapping[str, str]) -> list[Region]:
    """The merges `forward` (duplicate to survivor) on `graph`, grouped.

    A copy is a set of duplicates that data edges connect; copies with the same survivors form one region. A
    constant joins the copy of its first user, because constants are shared by copies that are otherwise apart.
    """
    view = graph_view(graph, forward)
    position = {name: index for index, name in enumerate(name for name in graph.nodes if name in forward)}
    computing = [name for name in position if graph.nodes[name].op != "Const"]
    joined = nx.Graph()
    joined.add_nodes_from(computing)
    for source, target, port in view.edges(data="port"):
        if port != CONTROL_PORT and source in joined and target in joined:
            joined.add_edge(source, target)
    for name in position:
        if name not in joined:
            joined.add_node(name)
            users = sorted((user for user in view.successors(name) if user in joined), key=position.__getitem__)
            if users:
                joined.add_edge(name, users[0])
    copies: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    order = {name: index for index, name in enumerate(graph.nodes)}
    for component in nx.connected_components(joined):
        members = tuple(sorted(component, key=order.__getitem__))
        survivors = tuple(sorted({forward[name] for name in members}, key=order.__getitem__))
        copies.setdefault(survivors, []).append(members)
    regions = [
        Region(survivors, tuple(sorted(found, key=lambda names: order[names[0]])))
        for survivors, found in copies.items()
    ]
    return sorted(regions, key=lambda region: (-len(region.survivor), order[region.survivor[0]]))
