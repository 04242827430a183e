"""Nodes that a rewrite adds: what the proof asks of them before it looks at their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tfreuse.ir.graph import Graph, Node, Value
from tfreuse.ir.text import print_node
from tfreuse.ops.registry import Ops
from tfreuse.validate.touches import PURE, Touches


def disagreements(
    after: Graph, new: Mapping[str, Node], touches: Touches, ops: Ops, has_frames: bool
) -> Iterator[tuple[str, str]]:
    """New nodes that are no functions of their operands, of the types that they say, or that wait for old nodes; and
    uses of outputs that they do not have. Each with the reason."""
    for name, node in new.items():
        schema = ops.schema(node.op)
        if has_frames or schema is None or touches.kind(after, node) != PURE:
            yield name, f"{node.op} was not there before, and is no function of its operands alone"
            continue
        waits = any(control not in new for control in node.controls)  # for a new value it may: it only runs later
        if node.name != name or waits or node.attrs.is_colocated or "_output_shapes" in node.attrs:
            yield name, "a new node says more than what it computes"
        wanted = [kind for arg in schema.inputs for kind in arg.types(node.attrs, schema.defaults)]
        if wanted != [_type(after, value, ops) for value in node.inputs]:
            yield name, f"{print_node(node)} takes other types than it says"
    for name, node in after.nodes.items() if new else ():
        for value in node.inputs:
            if value.node in new and _type(after, value, ops) is None:
                yield name, f"{value.node} has no output {value.port}"
    for label, value in after.outputs:
        if value.node in new and _type(after, value, ops) is None:
            yield value.node, f"output {label} is beyond its outputs"


def _type(after: Graph, value: Value, ops: Ops) -> int | None:
    node = after.nodes[value.node]
    if node.op == "_Arg":
        return node.attrs.value("T")  # type: ignore[no-any-return]
    types = ops.output_types(node.op, node.attrs)
    return types[value.port] if value.port < len(types) else None
