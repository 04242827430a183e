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
    called = [name for op, names in graph.by_op.items() if op in customized for name in names]
    return frozenset([*called, *(node.name for node in graph.naming if _is_custom(node, customized))])


def _is_custom(node: Node, customized: Container[str]) -> bool:
    return GRADIENT in node.attrs or any(function.name in customized for function in node.attrs.functions)
