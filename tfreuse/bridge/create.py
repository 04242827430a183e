"""Makes operations in a live graph for nodes that a rewrite added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfreuse.bridge.load import tensorflow
from tfreuse.bridge.nodes import write_new
from tfreuse.ir.graph import Node


def create_operation(graph: Any, node: Node, inputs: Sequence[Any]) -> Any:
    """The operation that `node` says, on `inputs` (tensors of `graph`); TensorFlow may change its name.

    Raises:
        ValueError, TypeError: if TensorFlow does not accept it.
    """
    tf = tensorflow()
    proto = tf.compat.v1.NodeDef()
    write_new(node, proto, lambda value: value.node)
    with graph.as_default(), tf.control_dependencies(None):
        made = graph._create_op_internal(
            node.op, list(inputs), name=node.name, attrs=dict(proto.attr), compute_device=False
        )
    if node.device:
        made._set_device(node.device)
    return made
