"""Equal nodes that must stay apart, because TensorFlow differentiates the merged graph wrongly or not at all.

A rewritten graph must keep its gradients, and TensorFlow (2.21) has two places where one value used twice is not
as good as two equal values:

- *Operands of a branch.* The gradient of `If` and `Case` finds the captures of a branch by the identity of the
  operand, so one tensor in two operands raises an error.
- *Sums.* The gradient of `y + y` adds one tensor to itself. Inside the first side of a branch, where the shape is
  known only at run time, Grappler ties the constant that it makes of this to the side that does not run, and the
  gradient comes out empty. A function does not know whether a branch will call it, so this holds in all functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tfreuse.analysis.shapes import Shape, stated_shapes
from tfreuse.ir.dtypes import DIFFERENTIABLE
from tfreuse.ir.graph import Graph, Node, Value

_BRANCHES = frozenset({"If", "StatelessIf", "Case", "StatelessCase"})
_SUMS = frozenset({"Add", "AddV2"})
HELD = frozenset({"branch-operands", "sum-of-equals"})
"""The remarks that say why."""


def held_apart(graph: Graph, number: Mapping[str, int]) -> dict[str, str]:
    """Nodes that must not be merged, each with the id of the remark that says why.

    `number` is that of the congruence; of several equal operands all but the first are held.
    """
    held: dict[str, str] = {}
    for op in sorted(_BRANCHES & graph.by_op.keys()):
        for name in graph.by_op[op]:
            held.update(dict.fromkeys(_twins(graph.nodes[name].inputs, number), "branch-operands"))
    for node in _sums(graph):
        held.update(dict.fromkeys(_twins(node.inputs, number), "sum-of-equals"))
    return held


def _twins(operands: Iterable[Value], number: Mapping[str, int]) -> Iterable[str]:
    """Nodes of operands that are equal to an earlier operand of another node."""
    first: dict[int, str] = {}
    for node, port in operands:
        if first.setdefault(number[node] + port, node) != node:
            yield node


def _sums(graph: Graph) -> Iterable[Node]:
    """Sums of differentiable values without a static shape, in a graph that is a function (it has outputs)."""
    shape_of = stated_shapes(graph)
    for node in graph.nodes.values() if graph.outputs else ():
        if node.op not in _SUMS or node.attrs.value("T") not in DIFFERENTIABLE:
            continue
        if not all(_is_static(shape_of(operand)) for operand in node.inputs):
            yield node


def _is_static(shape: Shape | None) -> bool:
    return shape is not None and all(size >= 0 for size in shape)
