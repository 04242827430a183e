"""Whether what is known of shapes rules out that an op fails because its operands do not fit each other.

Asked where an op is to run that did not run before, as in front of a loop without iterations. Sources: the shape
checks of the kernels (matmul_op_impl.h, conv_ops.cc, bias_op.cc, cwise_ops_common.cc). Static shapes are true.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tfreuse.ir.graph import Node, Value
from tfreuse.ops.elements import BINARY, UNARY

_Shape = tuple[int, ...]
_Shapes = list[_Shape | None]

_ANY = UNARY | {"Identity", "ReadVariableOp", "Shape", "Size"}
"""Ops of one operand, of whatever shape."""
_BY_EXAMPLE = frozenset({"AvgPool", "FusedBatchNormV3", "LogSoftmax", "MaxPool", "Softmax"})
"""Ops to which it is the same how many examples there are (dimension 0 of operand 0)."""


SHAPING = frozenset(
    {
        *("BatchToSpaceND", "ExpandDims", "GatherV2", "Pad", "PadV2", "Reshape", "Slice", "SpaceToBatchND"),
        *("StridedSlice", "Transpose"),
    }
)
"""Ops that move elements by the numbers in all operands but the first, and fail where there are no such elements."""


def fails_by_shape(node: Node, nodes: Mapping[str, Node]) -> bool:
    """Whether an op that may fail does so because of its first operand's shape alone: all others are constants."""
    return node.op in SHAPING and all(nodes[source].op == "Const" for source, _ in node.inputs[1:])


def surely_fits(node: Node, shape_of: Callable[[Value], _Shape | None]) -> bool:
    """Whether operands of these shapes (-1 for a size that is unknown, None for a rank) cannot fail to fit.

    Where all sizes are known, TensorFlow's shape functions have refused those that do not fit as the graph was made.
    """
    if node.op in _ANY or (node.op in BINARY and node.inputs[0] == node.inputs[1]):
        return True
    shapes = [shape_of(value) for value in node.inputs]
    if all(map(_is_known, shapes)):
        return True
    if node.op in BINARY:
        return () in shapes or _broadcast(shapes[0], shapes[1])
    if node.op == "MatMul":
        return _multiply(node, shapes, ("transpose_a", "transpose_b"), rank=2)
    if node.op in ("BatchMatMul", "BatchMatMulV2"):
        return _multiply(node, shapes, ("adj_x", "adj_y"))
    if node.op == "Conv2D":
        return _convolves(node, shapes)
    if node.op == "BiasAdd":
        return _adds_bias(node, shapes)
    first = shapes[0]
    return node.op in _BY_EXAMPLE and bool(first) and all(map(_is_known, [first[1:] if first else None, *shapes[1:]]))


def _is_known(shape: _Shape | None) -> bool:
    return shape is not None and all(size >= 0 for size in shape)


def _is_last(node: Node) -> bool:
    """Whether channels come last."""
    return not str(node.attrs.value("data_format", b"NHWC"), "ascii").startswith("NC")


def _broadcast(one: _Shape | None, other: _Shape | None) -> bool:
    if one is None or other is None:
        return False
    pairs = zip(reversed(one), reversed(other), strict=False)
    return all(1 in pair or (pair[0] == pair[1] >= 0) for pair in pairs)


def _multiply(node: Node, shapes: _Shapes, transposes: tuple[str, str], rank: int = 0) -> bool:
    left, right = shapes
    if left is None or right is None or min(len(left), len(right)) < 2 or (rank and (len(left), len(right)) != (2, 2)):
        return False
    inner = left[-2 if node.attrs.value(transposes[0], False) else -1]
    same = inner == right[-1 if node.attrs.value(transposes[1], False) else -2] >= 0
    batches = left[:-2] == right[:-2] and _is_known(left[:-2])
    return same and (batches or (node.op != "BatchMatMul" and _broadcast(left[:-2], right[:-2])))


def _convolves(node: Node, shapes: _Shapes) -> bool:
    """Groups of channels, and a window that is no larger than what it slides over."""
    image, kernel = shapes
    if image is None or kernel is None or (len(image), len(kernel)) != (4, 4) or min(kernel) < 1:
        return False
    channels, sizes = (image[3], image[1:3]) if _is_last(node) else (image[1], image[2:])
    if channels < 1 or channels % kernel[2] or kernel[3] % (channels // kernel[2]):
        return False
    pads = node.attrs.value("padding")
    return pads == b"SAME" or (pads == b"VALID" and (kernel[:2] == (1, 1) or _is_known(sizes)))


def _adds_bias(node: Node, shapes: _Shapes) -> bool:
    value, bias = shapes
    if value is None or bias is None or len(value) < 2 or len(bias) != 1:
        return False
    return value[-1 if _is_last(node) else 1] == bias[0] >= 0
