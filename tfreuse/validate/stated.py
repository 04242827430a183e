"""Static shapes, as the proof reads them: what a graph records of a value, or what follows from the op alone."""

from __future__ import annotations

from tfreuse.ir.graph import Graph, Value

Shape = tuple[int, ...]


def recorded(graph: Graph, value: Value) -> Shape | None:
    """The static shape that TensorFlow inferred for a value; -1 for an unknown size, None for an unknown rank."""
    known: Shape | None = graph.shapes(value) if graph.shapes is not None else None
    if known is not None:
        return known
    kind, listed = graph.nodes[value.node].attrs.value("_output_shapes", ("", ()))
    return listed[value.port] if kind == "shape" and value.port < len(listed) else None


def stated(graph: Graph, value: Value) -> Shape | None:
    """The static shape of a value, that of a constant, of what is fed, and of a variable that is named included."""
    found = recorded(graph, value)
    node = graph.nodes[value.node]
    if found is None and node.op == "Const":
        found = getattr(node.attrs.value("value"), "shape", None)
    elif found is None and node.op in ("Placeholder", "VarHandleOp", "VariableV2"):
        found = node.attrs.value("shape")
    elif found is None and node.op == "ReadVariableOp":  # the shape of the handle is not that of the variable
        while node.inputs and node.op in ("Identity", "ReadVariableOp"):
            node = graph.nodes[node.inputs[0].node]
        found = node.attrs.value("shape") if node.op == "VarHandleOp" else None
    elif found is None and node.op == "Identity":
        found = stated(graph, node.inputs[0])
    return found
