"""Makes operations on a live `FuncGraph` for nodes that a pipeline added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfreuse.bridge.attrs import write_attr
from tfreuse.bridge.load import tensorflow
from tfreuse.ir.graph import Node

_DERIVED = frozenset({"_output_shapes"})
"""Attributes that the graph works out for itself."""


def create_op(graph: Any, node: Node, inputs: Sequence[Any], controls: Sequence[Any]) -> Any:
    """The operation for `node`, of that name or, if it is taken, one like it.

    `inputs` are tensors and `controls` operations of the graph. Nothing of the scopes that the trace stood in last
    reaches the operation: no device, no colocation, no control inputs but these.
    """
    tf = tensorflow()
    attrs = {}
    for name, attr in node.attrs.items():
        if name not in _DERIVED:
            attrs[name] = tf.compat.v1.AttrValue()
            write_attr(attr, attrs[name])
    with graph.as_default(), graph.name_scope(None), graph.control_dependencies(None), graph.colocate_with(None, True):
        op = graph._create_op_internal(node.op, list(inputs), name=node.name, attrs=attrs, compute_device=False)
    if node.device:
        op._set_device(node.device)
    if controls:
        op._add_control_inputs(list(controls))
    return op
