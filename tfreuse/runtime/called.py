"""What Python knows of the functions that a live `FuncGraph` calls: their own graphs, and how calls are differentiated.

A call's gradient is kept in Python, with the operation. A copy of an operation that calls needs it; where it cannot be
found, the function whose body holds the call is marked as one that stays a call.

So are calls whose outputs somebody may hold beside the graph: closures of custom gradients do, and so do loops and
branches, whose gradient asks for the very tensors that their bodies captured. Once such a tensor is used again the call
runs again, so a call that writes always stays, and the others where anything is written that they should not see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tfreuse.analysis.effects import EFFECT, Effects, Summaries
from tfreuse.analysis.inlinable import CALLS
from tfreuse.bridge.module import MAIN
from tfreuse.ir.attrs import GRADIENT, Attr
from tfreuse.ir.graph import Graph, Module, Value
from tfreuse.ops.registry import Ops

Shape = tuple[int, ...] | None


_HOLDERS = frozenset({"If", "StatelessIf", "Case", "StatelessCase", "While", "StatelessWhile"})
_STAYS: dict[str, Attr | None] = {"_noinline": Attr("b", True)}


def with_bodies(module: Module, ops: Ops, func_graph: Any) -> Module:
    """The module with what the inlining of calls in the main graph has to know: shapes, and which calls stay."""
    main = module.graphs.get(MAIN)
    calls = [] if main is None else [node for node in main.nodes.values() if node.op in CALLS]
    if main is None or not calls:
        return module
    known = called_graphs(func_graph)
    effects = Effects(main, Summaries(module, ops))
    kinds = {name: effects.kind(node) for name, node in main.nodes.items() if name not in main.arguments}
    all_stay = may_be_held(main) and EFFECT in kinds.values()
    staying = {
        call.name: call._replace(attrs=call.attrs.updated(_STAYS))
        for call in calls
        if all_stay or kinds[call.name] == EFFECT
    }
    graphs = {**module.graphs, MAIN: main.evolve({**main.nodes, **staying})}
    for name, graph in module.graphs.items():
        if name == MAIN:
            continue
        callees = {node.attrs.functions[0].name for node in graph.nodes.values() if node.op in CALLS}
        if name in known:
            graph = replace(graph, shapes=_shapes_of(known[name]))
        if any(gradient_of_calls(func_graph, callee) is None for callee in callees):
            graph = replace(graph, attrs=graph.attrs.updated(_STAYS))
        graphs[name] = graph
    return replace(module, graphs=graphs)


def may_be_held(main: Graph) -> bool:
    """Whether something beside the graph may hold the outputs of its nodes, and use them later."""
    return any(node.op in _HOLDERS or GRADIENT in node.attrs for node in main.nodes.values())


def called_graphs(func_graph: Any) -> dict[str, Any]:
    """The graphs of the functions that `func_graph` calls, and that these call, by name; those that Python knows."""
    found: dict[str, Any] = {}
    work = [func_graph]
    while work:
        for name, function in getattr(work.pop(), "_functions", {}).items():
            graph = getattr(function, "graph", None)
            if graph is not None and name not in found:
                found[name] = graph
                work.append(graph)
    return found


def gradient_of_calls(func_graph: Any, callee: str) -> Any:
    """The function by which TensorFlow differentiates calls of `callee`, or None where no call of it tells."""
    for graph in [func_graph, *called_graphs(func_graph).values()]:
        for op in graph.get_operations():
            if op.type in CALLS and op._gradient_function is not None and op.get_attr("f").name == callee:
                return op._gradient_function
    return None


def _shapes_of(func_graph: Any) -> Callable[[Value], Shape]:
    def shape_of(value: Value) -> Shape:
        try:
            shape = func_graph.get_operation_by_name(value.node).outputs[value.port].shape
        except (KeyError, IndexError):
            return None
        return None if shape.rank is None else tuple(-1 if size is None else size for size in shape.as_list())

    return shape_of
