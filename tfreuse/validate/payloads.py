"""Whether a rewrite put the one order of two operands for the other: then a NaN may keep other bits."""

from __future__ import annotations

from tfreuse.ir.graph import Value
from tfreuse.pipeline.run import Result


def swaps_operands(result: Result) -> bool:
    """Whether a commutative node was merged with one that has the same operands in another order."""
    for graph in result.graphs.values():
        named = graph.named.nodes
        forward = {edit.node: edit.other for edit in graph.journal if edit.kind in ("merge", "alias")}

        def survivor(value: Value, forward: dict[str, str] = forward) -> Value:
            name = value.node
            while name in forward:
                name = forward[name]
            return Value(name, value.port)

        for duplicate, other in forward.items():
            nodes = [named.get(name) for name in (duplicate, other)]
            if nodes[0] is None or nodes[1] is None or not result.ops.commutes(nodes[0].op, nodes[0].attrs):
                continue
            orders = [[survivor(value) for value in node.inputs] for node in nodes if node is not None]
            if orders[0] != orders[1]:
                return True
    return False
