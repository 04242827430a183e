"""Nodes whose gradient the user wrote: two equal ones stay two, because their gradient need not be linear.

The gradient of a merged node is asked for once, with the sum of what came from both. For TensorFlow's own gradients
that is the sum of two; for one that clips, say, it is not (`tf.custom_gradient`, `gradient_override_map`).
"""

from __future__ import annotations

from collections.abc import Container

from tfreuse.ir.attrs import GRADIENT
from tfreuse.ir.graph import Graph, Node


def custom_gradients(graph: Graph, customized: Container[str]) -> frozenset[str]:
    """Names of the nodes with a custom gradient of their own or in a function of `customized` that they call."""
    return frozenset([name for name, node in graph.nodes.items() if _is_custom(node, customized)])


def _is_custom(node: Node, customized: Container[str]) -> bool:
    attrs = node.attrs
    if node.op in customized:
        return True
    return not attrs.is_plain and (
        GRADIENT in attrs or any(function.name in customized for function in attrs.functions)
    )
