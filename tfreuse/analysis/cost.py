"""Multiply-adds and result bytes of nodes, from static shapes."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import NamedTuple

from tfreuse.analysis.shapes import Shape, ShapeOf
from tfreuse.ir import dtypes
from tfreuse.ir.graph import Node, Value
from tfreuse.ops.registry import Ops
from tfreuse.ops.schema import RESOURCE


class Cost(NamedTuple):
    """What computing nodes takes.

    `multiply_adds` and `bytes` (of all results) are None where a shape is unknown. An unknown first dimension
    counts as one, and `per_example` says so.
    """

    multiply_adds: int | None
    bytes: int | None
    per_example: bool = False

    def plus(self, other: Cost) -> Cost:
        """The sum; unknown if either is."""
        return Cost(
            _add(self.multiply_adds, other.multiply_adds),
            _add(self.bytes, other.bytes),
            self.per_example or other.per_example,
        )


NO_COST = Cost(0, 0)

_Formula = Callable[[Node, ShapeOf], "int | None"]


def cost_of(node: Node, shape_of: ShapeOf, ops: Ops, handles: bool = True) -> Cost:
    """The cost of one node; an op without a formula has no multiply-adds.

    A handle has no size, which makes that of all results unknown, or with `handles=False` counts as nothing.
    """
    batch_unknown = False

    def known(value: Value) -> Shape | None:
        nonlocal batch_unknown
        shape = shape_of(value)
        if shape and shape[0] < 0:
            batch_unknown = True
            shape = (1, *shape[1:])
        return None if shape is None or any(size < 0 for size in shape) else shape

    formula = _FORMULAS.get(node.op)
    multiply_adds = 0 if formula is None else formula(node, known)
    return Cost(multiply_adds, _result_bytes(node, known, ops, handles), batch_unknown)


def _result_bytes(node: Node, shape_of: ShapeOf, ops: Ops, handles: bool) -> int | None:
    if ops.schema(node.op) is None:
        return None
    total = 0
    for port, dtype in enumerate(ops.output_types(node.op, node.attrs)):
        if dtype == RESOURCE and not handles:
            continue
        width = dtypes.size_of(dtype)
        shape = shape_of(Value(node.name, port))
        if width is None or shape is None:
            return None
        total += width * prod(shape)
    return total


def _convolution(result: Callable[[Node], Value], filters: Callable[[Node], Value], per_filter: int) -> _Formula:
    """Elements of the result times the filter's taps: all its dimensions but the last `per_filter` ones."""

    def multiply_adds(node: Node, shape_of: ShapeOf) -> int | None:
        size, taps = shape_of(result(node)), shape_of(filters(node))
        return None if size is None or taps is None else prod(size) * prod(taps[:-per_filter])

    return multiply_adds


def _output(node: Node) -> Value:
    return Value(node.name)


def _operand(index: int) -> Callable[[Node], Value]:
    return lambda node: node.inputs[index]


def _matmul(node: Node, shape_of: ShapeOf) -> int | None:
    """Elements of the result times the length of the sum (MatMul and BatchMatMul in math_ops.cc)."""
    left, result = shape_of(node.inputs[0]), shape_of(_output(node))
    if left is None or result is None or len(left) < 2:
        return None
    transposed = node.attrs.value("transpose_a") or node.attrs.value("adj_x")
    return prod(result) * (left[-2] if transposed else left[-1])


# A convolution's gradients take as many multiply-adds as the convolution: they sum over the same triples of
# result element, filter tap and input channel (nn_ops.cc). Operand 2 of a gradient is the gradient of the result.
_FORMULAS: dict[str, _Formula] = {
    **dict.fromkeys(("Conv", "Conv2D", "Conv3D"), _convolution(_output, _operand(1), 1)),
    **dict.fromkeys(
        ("Conv2DBackpropInput", "Conv3DBackpropInput", "Conv3DBackpropInputV2"),
        _convolution(_operand(2), _operand(1), 1),
    ),
    **dict.fromkeys(
        ("Conv2DBackpropFilter", "Conv3DBackpropFilter", "Conv3DBackpropFilterV2"),
        _convolution(_operand(2), _output, 1),
    ),
    "DepthwiseConv2dNative": _convolution(_output, _operand(1), 2),
    "DepthwiseConv2dNativeBackpropInput": _convolution(_operand(2), _operand(1), 2),
    "DepthwiseConv2dNativeBackpropFilter": _convolution(_operand(2), _output, 2),
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), _matmul),
}
HEAVY = frozenset(_FORMULAS)
"""Ops whose multiply-adds are counted."""


def _add(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
