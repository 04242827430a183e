"""What an op does along each axis of its first operand, for the proof (`tfreuse.validate.forms`)."""

from __future__ import annotations

from tfreuse.ir.graph import Node

ROW, WHOLE = "row", "whole"
"""Each element by itself; all of the axis at once."""

Kind = str | tuple[int, int, int]
"""`ROW`, `WHOLE`, or the size, stride and dilation of a window that sees no padding."""


def kinds_of(node: Node, rank: int, taps: tuple[int, ...] | None) -> list[Kind] | None:
    """One kind an axis; `taps` is the shape of the second operand. None for an op that is not known, or used in a way
    that mixes examples.

    A kind that says too little (`WHOLE` for `ROW`) only costs a proof; one that says too much would be wrong.
    """
    op = node.op
    layout = str(node.attrs.value("data_format", b"NDHWC" if op.endswith("3D") else b"NHWC").decode())
    channel = 1 if layout.startswith("NC") else rank - 1
    first: list[Kind] = [ROW] * rank
    if op in ("MatMul", "Softmax", "LogSoftmax", "BatchMatMul", "BatchMatMulV2"):
        turned = node.attrs.value("transpose_a") or node.attrs.value("adj_x")
        if turned or rank < 1 or (op.startswith("BatchMatMul") and (taps is None or len(taps) != 2)):
            return None
        return [*first[:-1], WHOLE]
    if op == "BiasAdd" or (op.startswith("FusedBatchNorm") and node.attrs.value("is_training") is False):
        first[channel] = WHOLE
        return first
    pools = op in ("AvgPool", "AvgPool3D", "MaxPool", "MaxPool3D")
    if not pools and op not in ("Conv2D", "Conv3D", "DepthwiseConv2dNative"):
        return None
    if len(layout) != rank or (not pools and (taps is None or len(taps) != rank)):
        return None
    spatial = [axis for axis in range(1, rank) if axis != channel]
    lists = {
        name: list(node.attrs.value(name, ("i", ()))[1]) or [1] * rank for name in ("ksize", "strides", "dilations")
    }
    if any(len(listed) != rank or listed[0] != 1 or listed[channel] != 1 for listed in lists.values()):
        return None
    explicit = list(node.attrs.value("explicit_paddings", ("i", ()))[1])
    padding = node.attrs.value("padding")
    if not pools:
        first[channel] = WHOLE
    for place, axis in enumerate(spatial):
        size = lists["ksize"][axis] if pools or taps is None else taps[place]
        stride, dilation = lists["strides"][axis], lists["dilations"][axis]
        bare = padding == b"VALID" or (padding == b"EXPLICIT" and explicit[2 * axis : 2 * axis + 2] == [0, 0])
        bare = bare or (padding == b"SAME" and size == stride == 1)
        first[axis] = (size, stride, dilation) if bare and size > 0 else WHOLE
    return first
