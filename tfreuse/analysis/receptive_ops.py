"""What each op is on each axis of its operand: row-wise, window-wise, or in need of the whole of it.

The definitions are those of the ops' documentation in TensorFlow (nn_ops.cc, math_ops.cc, array_ops.cc): a convolution
sums over a window and the channels of one example, a pooling over a window of one channel, a normalisation at inference
scales each channel, a matrix product takes each row by itself. An op without a row here stops a selection.
"""

from __future__ import annotations

from typing import NamedTuple

from tfreuse.analysis.receptive import SAME, Window
from tfreuse.analysis.shapes import ShapeOf
from tfreuse.ir.graph import Node
from tfreuse.ops.elements import BINARY, UNARY

ROW, WHOLE = "row", "whole"
"""Kinds of axes beside a `Window`: `WHOLE` says that a result depends on all of the operand's axis."""

AxisKind = str | Window


class Refusal(NamedTuple):
    """Why nothing can be said: the id of a remark and what decided it."""

    id: str
    detail: str


_NORMALISATIONS = frozenset({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"})
CONVOLUTIONS = frozenset({"Conv2D", "Conv3D", "DepthwiseConv2dNative"})
_POOLINGS = frozenset({"AvgPool", "AvgPool3D", "MaxPool", "MaxPool3D"})
SHAPE_KEEPING = _NORMALISATIONS | {"BiasAdd", "Softmax", "LogSoftmax", "AvgPool", "AvgPool3D", "MaxPool", "MaxPool3D"}
"""Ops that keep the length of an axis that they need whole."""
TRAILING = frozenset({"Softmax", "LogSoftmax", "BatchMatMul", "BatchMatMulV2"})
"""Ops that need the whole last axis, and are row-wise on those before, however many."""


def axes_of(node: Node, rank: int, shape_of: ShapeOf) -> tuple[AxisKind, ...] | Refusal:
    """The kind of each axis of operand 0, which stands at the same place in the result."""
    op = node.op
    if op in UNARY or op in BINARY:
        return (ROW,) * rank
    if op in TRAILING or (op == "BiasAdd" and _format(node) != "NCHW"):
        return _trailing(node, rank, shape_of)
    if op == "MatMul":
        if node.attrs.value("transpose_a"):
            return Refusal("overlap-cross-row", "MatMul takes its first operand transposed")
        return (ROW, WHOLE)
    if op in _NORMALISATIONS:
        if node.attrs.value("is_training", True):
            return Refusal("overlap-training", f"{op} in training mode takes the mean over all rows")
        return _with_channel(node, rank, ROW)
    if op == "BiasAdd":
        return _with_channel(node, rank, ROW)
    if op in CONVOLUTIONS:
        return _convolution(node, rank, shape_of)
    if op in _POOLINGS:
        return _pooling(node, rank)
    return Refusal("overlap-cross-row", f"{op} is not known to take each row, or each window, by itself")


def _trailing(node: Node, rank: int, shape_of: ShapeOf) -> tuple[AxisKind, ...] | Refusal:
    if node.op.startswith("BatchMatMul"):
        other = shape_of(node.inputs[1])
        if node.attrs.value("adj_x") or other is None or len(other) != 2:
            return Refusal("overlap-cross-row", f"{node.op} has a second operand for each row, or the first transposed")
    return (*(ROW,) * (rank - 1), WHOLE)


def _with_channel(node: Node, rank: int, kind: AxisKind) -> tuple[AxisKind, ...]:
    channel = 1 if _format(node).startswith("NC") else rank - 1
    return tuple(WHOLE if axis == channel else kind for axis in range(rank))


def _convolution(node: Node, rank: int, shape_of: ShapeOf) -> tuple[AxisKind, ...] | Refusal:
    taps = shape_of(node.inputs[1])
    layout = _format(node)
    if taps is None or len(taps) != rank or len(layout) != rank:
        return Refusal("overlap-unknown-shape", f"the shape of the filter of {node.op} is not known")
    return _windows(node, rank, list(taps[: rank - 2]), _listed(node, "dilations", rank))


def _pooling(node: Node, rank: int) -> tuple[AxisKind, ...] | Refusal:
    sizes = _listed(node, "ksize", rank)
    if len(_format(node)) != rank:
        return Refusal("overlap-cross-row", f"{node.op} has the data format {_format(node)}")
    spatial = _spatial(node, rank)
    if any(sizes[axis] != 1 for axis in range(rank) if axis not in spatial):
        return Refusal("overlap-cross-row", f"{node.op} pools over examples or channels")
    return _windows(node, rank, [sizes[axis] for axis in spatial], [1] * rank)


def _windows(node: Node, rank: int, sizes: list[int], dilations: list[int]) -> tuple[AxisKind, ...] | Refusal:
    strides = _listed(node, "strides", rank)
    spatial = _spatial(node, rank)
    padding = node.attrs.value("padding", b"VALID")
    apart = any(strides[axis] != 1 or dilations[axis] != 1 for axis in range(rank) if axis not in spatial)
    if padding not in (b"VALID", b"SAME", b"EXPLICIT") or apart or min(sizes) < 1:
        return Refusal("overlap-cross-row", f"{node.op} has a padding, stride or size that is not understood")
    explicit = _listed(node, "explicit_paddings", 2 * rank) if padding == b"EXPLICIT" else [0] * (2 * rank)
    channel = 1 if _format(node).startswith("NC") else rank - 1
    kinds: list[AxisKind] = [ROW] * rank
    kinds[channel] = WHOLE
    for axis, size in zip(spatial, sizes, strict=True):
        pads = SAME if padding == b"SAME" else (explicit[2 * axis], explicit[2 * axis + 1])
        kinds[axis] = Window(size, strides[axis], dilations[axis], pads)
    return tuple(kinds)


def _format(node: Node) -> str:
    default = {"Conv3D": b"NDHWC", "MaxPool3D": b"NDHWC", "AvgPool3D": b"NDHWC"}.get(node.op, b"NHWC")
    return str(node.attrs.value("data_format", default).decode())


def _spatial(node: Node, rank: int) -> list[int]:
    return list(range(2, rank)) if _format(node).startswith("NC") else list(range(1, rank - 1))


def _listed(node: Node, name: str, length: int) -> list[int]:
    """A list attribute; ones where it is absent or of another length."""
    kind, values = node.attrs.value(name, ("", ()))
    return list(values) if kind == "i" and len(values) == length else [1] * length
