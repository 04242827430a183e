"""The graph of `M`, the magnitudes that `tfreuse.validate.tolerance` multiplies its bound with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfreuse.validate.roundings import RULES

_ON_MAGNITUDES = frozenset(RULES) - {"Identity", "IdentityN", "Neg"}
_FLOATS = frozenset({1, 2, 14, 19})


def as_magnitudes(graph_def: Any) -> None:
    """Edit a `GraphDef` so that it computes `M`: every operand's magnitude, and sums in place of differences."""
    _take_magnitudes(graph_def.node, "")
    for function in graph_def.library.function:
        _take_magnitudes(function.node_def, ":y:0")


def _take_magnitudes(nodes: Any, port: str) -> None:
    for node in list(nodes):
        dtype = node.attr["T"].type if "T" in node.attr else 0
        if node.op not in _ON_MAGNITUDES or dtype not in _FLOATS:
            continue
        for slot, operand in _operands(node):
            added = nodes.add()
            added.name, added.op = f"{node.name}_magnitude_{slot}", "Abs"
            added.device = node.device
            added.input.append(operand)
            added.attr["T"].type = dtype
            node.input[slot] = added.name + port
        if node.op == "Sub":
            node.op = "AddV2"


def _operands(node: Any) -> Sequence[tuple[int, str]]:
    """The operands of type `T` with their places: where others follow (axes, shapes), the first ones."""
    inputs = list(enumerate(text for text in node.input if not text.startswith("^")))
    if node.op in ("AddN", "ConcatV2", "Pack"):
        return inputs[: node.attr["N"].i]
    if "Backprop" in node.op:
        sizes = 0 if "BackpropInput" in node.op else 1
        return [pair for pair in inputs if pair[0] != sizes]
    both = ("Add", "AddV2", "BatchMatMul", "BatchMatMulV2", "BiasAdd", "Conv2D", "Conv3D", "DepthwiseConv2dNative",
            "MatMul", "Maximum", "Mul", "RealDiv", "ReluGrad", "Sub")  # fmt: skip
    none = ("GatherV2", "Shape", "ShapeN", "Size", "Split")
    return inputs[:2] if node.op in both else [] if node.op in none else inputs[:1]
