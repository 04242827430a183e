"""Ops that are linear in an operand: with all else as it is, f(a) + f(b) = f(a + b). Read by the passes and the proof.

Definitions: the ops' documentation in TensorFlow's nn_ops.cc, math_ops.cc and array_ops.cc; `tests/ops` holds each row
against the kernel. Values that are not finite are left out of account: of `inf - inf` either form makes what it makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from tfreuse.ir import dtypes
from tfreuse.ir.graph import Node, Value
from tfreuse.ops.elements import UNARY

FLOATS = frozenset(dtypes.NUMBERS[name] for name in ("half", "bfloat16", "float", "double"))
"""Element types for which sums may be taken in another order, up to rounding; whole numbers wrap around instead."""


class Linear(NamedTuple):
    """The number of an operand in which an op is linear.

    `pinned` says that the operand's shape follows from those of the result and the other operands; where it does not,
    two results of one shape may come from operands of two. `ports` is the number of outputs, from the first on, that
    are linear. `shrinks`: the result may be much smaller than the operand.
    """

    operand: int
    pinned: bool = False
    ports: int = 1
    shrinks: bool = False


def _rows(operand: int, *ops: str, pinned: bool = True, shrinks: bool = False) -> dict[str, tuple[Linear, ...]]:
    return dict.fromkeys(ops, (Linear(operand, pinned, shrinks=shrinks),))


_FIRST, _SECOND, _THIRD = Linear(0), Linear(1), Linear(2)
_GIVEN_SECOND, _GIVEN_THIRD = Linear(1, pinned=True), Linear(2, pinned=True)

LINEAR: Mapping[str, tuple[Linear, ...]] = {
    # The gradient that comes in has the shape of the convolution's result, which the kernels check.
    **dict.fromkeys(("Conv2DBackpropFilter", "Conv3DBackpropFilterV2"), (_GIVEN_THIRD, _FIRST)),
    **dict.fromkeys(("Conv2DBackpropInput", "Conv3DBackpropInputV2"), (_GIVEN_THIRD, _SECOND)),
    "DepthwiseConv2dNativeBackpropFilter": (_GIVEN_THIRD, _FIRST),
    "DepthwiseConv2dNativeBackpropInput": (_GIVEN_THIRD, _SECOND),
    **dict.fromkeys(("Conv2D", "Conv3D", "DepthwiseConv2dNative"), (_FIRST, _SECOND)),
    "MatMul": (Linear(0, pinned=True), _GIVEN_SECOND),
    **dict.fromkeys(("BatchMatMul", "BatchMatMulV2"), (_FIRST, _SECOND)),
    # What is between two layers. Most are elementwise in the gradient and the value that it belongs to.
    **_rows(0, "EluGrad", "LeakyReluGrad", "Relu6Grad", "ReluGrad", "SeluGrad", "SoftplusGrad", "SoftsignGrad"),
    **_rows(1, "ReciprocalGrad", "RsqrtGrad", "SigmoidGrad", "SqrtGrad", "TanhGrad"),
    **_rows(0, "Cast", "ExpandDims", "Neg", "Pad", "Tile", "Transpose"),
    **_rows(0, "RealDiv", "Reshape", "Squeeze", pinned=False),
    **_rows(1, "AvgPool3DGrad", "AvgPoolGrad", pinned=False),
    **_rows(2, "MaxPool3DGrad", "MaxPoolGrad"),
    "Mul": (_FIRST, _SECOND),
    "FusedBatchNormGradV3": (Linear(0, pinned=True, ports=3),),
    **_rows(0, "BiasAddGrad", "Mean", "Slice", "Sum", pinned=False, shrinks=True),
}
"""Rows by op; of two, the one that is more often shared comes first."""

SUMS = frozenset({"Add", "AddN", "AddV2"})
"""Ops that add. `AddN` demands equal shapes, the others broadcast."""


def is_float(node: Node) -> bool:
    """Whether operand and result are of `FLOATS`."""
    names = ("SrcT", "DstT") if node.op == "Cast" else ("T",)
    return all(node.attrs.value(name) in FLOATS for name in names)


_LIKE = {
    **dict.fromkeys(UNARY, 0),
    **dict.fromkeys(("AddN", "BiasAdd", "FusedBatchNormV3", "Identity", "LogSoftmax", "Softmax"), 0),
    **dict.fromkeys(("EluGrad", "LeakyReluGrad", "Relu6Grad", "ReluGrad", "SeluGrad"), 1),
    **dict.fromkeys(("FusedBatchNormGradV3", "SoftplusGrad", "SoftsignGrad"), 1),
    **dict.fromkeys(("MaxPool3DGrad", "MaxPoolGrad", "ReciprocalGrad", "RsqrtGrad"), 0),
    **dict.fromkeys(("SigmoidGrad", "SqrtGrad", "TanhGrad"), 0),
}
"""An operand that has the shape of the first output."""
_SIZED = {
    **dict.fromkeys(("AvgPoolGrad", "Conv2DBackpropInput", "DepthwiseConv2dNativeBackpropInput"), 4),
    "Conv3DBackpropInputV2": 5,
}
"""Ops whose first operand is the shape of the result, if it has that many sizes: `Conv2DBackpropInput` takes height and
width alone, too, and then as many examples as there are gradients."""
_PAIRS = frozenset({"Add", "AddV2", "Mul", "RealDiv", "Sub"})


class Extents:
    """Tells which values of a graph surely have equal shapes, sizes known or not.

    `shape_of` gives static shapes; `number` gives equal numbers to equal values.
    """

    def __init__(
        self,
        nodes: Mapping[str, Node],
        shape_of: Callable[[Value], tuple[int, ...] | None],
        number: Callable[[Value], int],
    ) -> None:
        self._nodes, self._shape_of, self._number = nodes, shape_of, number

    def equal(self, one: Value, other: Value) -> bool:
        """Whether two values have one shape."""
        return one == other or self._source(one) == self._source(other)

    def _source(self, value: Value) -> object:
        """The shape, or what it comes from."""
        while True:
            shape = self._shape_of(value)
            if shape is not None and all(size >= 0 for size in shape):
                return shape
            node = self._nodes[value.node]
            if value.port == 0 and node.op in _SIZED and self._shape_of(node.inputs[0]) == (_SIZED[node.op],):
                return "sizes", self._number(node.inputs[0])
            if value.port == 0 and node.op in _LIKE:
                value = node.inputs[_LIKE[node.op]]
                continue
            scalars = [operand for operand in node.inputs if self._shape_of(operand) == ()]
            if node.op in _PAIRS and len(scalars) == 1:
                value = next(operand for operand in node.inputs if operand not in scalars)
                continue
            return "value", self._number(value)
