"""Static shapes as far as the graph itself states them; nothing is inferred by running shape functions."""

from __future__ import annotations

from collections.abc import Callable

from tfreuse.ir.graph import Graph, Value

Shape = tuple[int, ...]
"""Dimension sizes, -1 where a size is unknown."""

ShapeOf = Callable[[Value], "Shape | None"]
"""Gives the shape of a value, or None where not even the rank is known."""


def stated_shapes(graph: Graph) -> ShapeOf:
    """Shapes as `graph.shapes` knows them, or from `_output_shapes`, constants, placeholders and variable handles."""
    known = graph.shapes

    def shape_of(value: Value) -> Shape | None:
        if known is not None:
            shape = known(value)
            if shape is not None:
                return shape
        node = graph.nodes[value.node]
        stated: Shape | None = None
        listed = node.attrs.get("_output_shapes")
        if (
            listed is not None
            and listed.kind == "list"
            and listed.value[0] == "shape"
            and value.port < len(listed.value[1])
        ):
            stated = listed.value[1][value.port]
        elif node.op == "Const":
            stated = getattr(node.attrs.value("value"), "shape", None)
        elif node.op in ("Placeholder", "VarHandleOp", "VariableV2"):
            stated = node.attrs.value("shape")
        elif node.op == "Identity" and node.inputs:
            stated = shape_of(node.inputs[0])
        elif node.op == "ReadVariableOp" and node.inputs:
            stated = variable_shape(graph, node.inputs[0])
        return stated

    return shape_of


def variable_shape(graph: Graph, handle: Value) -> Shape | None:
    """The shape of the variable that a handle names, as the op says that makes it; a handle's own shape is ()."""
    node = graph.nodes[handle.node]
    while node.op == "Identity":
        node = graph.nodes[node.inputs[0].node]
    return node.attrs.value("shape") if node.op == "VarHandleOp" else None
