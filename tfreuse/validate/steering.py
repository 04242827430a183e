"""Whether values that are fed decide how long a loop runs: infinities or NaNs there might never let it end."""

from __future__ import annotations

from collections.abc import Iterable

from tfreuse.ir.attrs import Func
from tfreuse.ir.graph import Graph, Module, Node
from tfreuse.ir.order import data_ancestors
from tfreuse.validate.draws import reached
from tfreuse.validate.signatures import Signature

_FLOATS = frozenset({1, 2, 14, 19})
_SHAPES = frozenset({"Rank", "Shape", "ShapeN", "Size", "TensorArraySizeV3", "TensorListLength"})
"""Ops whose value tells nothing of their operands' values."""


def steering_loop(module: Module, signature: Signature) -> str:
    """The name of a loop whose condition may depend on a floating-point input; empty if there is none.

    Within a function that is called, every argument counts as an input.
    """
    floats = {entry.value.node for entry in signature.inputs if entry.dtype in _FLOATS}
    if not floats:
        return ""
    for function, names in reached(module, [value.node for _, value in signature.outputs]).items():
        graph = module.graphs[function]
        fed = set(graph.arguments) if function else floats
        for name in sorted(names):
            node = graph.nodes[name]
            if node.op in ("While", "StatelessWhile"):
                deciding = [node.inputs[number].node for number in _deciding(module, node)]
            elif node.op == "LoopCond":
                deciding = [value.node for value in node.inputs]
            else:
                continue
            if data_ancestors(graph, deciding, _SHAPES) & fed:
                return name
    return ""


def _deciding(module: Module, node: Node) -> set[int]:
    """The loop variables that the condition depends on, in the first round or through earlier ones."""
    called = {name: node.attrs.value(name) for name in ("cond", "body")}
    graphs = [module.graphs.get(found.name) for found in called.values() if isinstance(found, Func)]
    everything = set(range(len(node.inputs)))
    if len(graphs) != 2 or graphs[0] is None or graphs[1] is None:
        return everything
    condition, body = graphs[0], graphs[1]
    numbers = _arguments(condition, [value.node for _, value in condition.outputs])
    while True:
        wider = numbers | _arguments(body, [body.outputs[n][1].node for n in numbers if n < len(body.outputs)])
        if wider == numbers:
            return numbers & everything
        numbers = wider


def _arguments(graph: Graph, names: Iterable[str]) -> set[int]:
    """The arguments whose values these depend on; what only asks for a shape depends on no value."""
    found = data_ancestors(graph, names, _SHAPES)
    return {number for number, name in enumerate(graph.arguments) if name in found}
