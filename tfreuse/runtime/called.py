"""What Python knows of the functions that a live `FuncGraph` calls: their own graphs, and how calls are differentiated.

A call's gradient is kept in Python, with the operation. A copy of an operation that calls needs it; where it cannot be
found, the function whose body holds the call is marked as one that stays a call.

So is one with a loop or a branch: TensorFlow differentiates these by changing their functions, which the call that gave
way, and other calls of the same function, have in common with the copy.

So are calls whose outputs somebody may hold beside the graph: closures of custom gradients do, those in functions that
were traced here as well, and so do loops and branches, whose gradient asks for the very tensors that their bodies
captured. Once such a tensor is used again the call runs again, so a call that writes always stays, and the others where
anything is written that they should not see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tfreuse.analysis.effects import EFFECT, Effects, Summaries
from tfreuse.analysis.inlinable import CALLS, STAYS
from tfreuse.bridge.module import MAIN
from tfreuse.ir.attrs import GRADIENT, Attr
from tfreuse.ir.graph import Graph, Module, Value
from tfreuse.ops.registry import Ops

Shape = tuple[int, ...] | None


_HOLDERS = frozenset({"If", "StatelessIf", "Case", "StatelessCase", "While", "StatelessWhile"})
_MAY_RUN_AGAIN: dict[str, Attr | None] = {
    STAYS: Attr("s", b"its outputs may be used again behind the graph, and it would run once more")
}
_DIFFERENTIATED: dict[str, Attr | None] = {
    STAYS: Attr("s", b"its function has a loop or a branch, which is differentiated by way of its own graph")
}
_NO_GRADIENT: dict[str, Attr | None] = {
    STAYS: Attr("s", b"it is not known how a call in its function is differentiated")
}


def with_bodies(module: Module, ops: Ops, func_graph: Any, in_place: bool = True) -> tuple[Module, dict[str, Any]]:
    """The module with what the inlining of calls in the main graph has to know: shapes, and which calls stay.

    Beside it, for functions that bodies call, the gradient of such a call. Where the graph is not changed `in_place`,
    nobody holds anything of it.
    """
    main = module.graphs.get(MAIN)
    calls = [] if main is None else [node for node in main.nodes.values() if node.op in CALLS]
    gradients: dict[str, Any] = {}
    if main is None or not calls:
        return module, gradients
    known = called_graphs(func_graph)
    effects = Effects(main, Summaries(module, ops))
    kinds = {name: effects.kind(node) for name, node in main.nodes.items() if name not in main.arguments}
    all_stay = EFFECT in kinds.values() and may_be_held(module, func_graph)
    staying = {
        call.name: call._replace(attrs=call.attrs.updated(_MAY_RUN_AGAIN))
        for call in calls
        if in_place and (all_stay or kinds[call.name] == EFFECT)
    }
    graphs = {**module.graphs, MAIN: main.evolve({**main.nodes, **staying})}
    for name, graph in module.graphs.items():
        if name == MAIN:
            continue
        found = _gradients(graph, known.get(name))
        gradients.update(found)
        if name in known:
            graph = replace(graph, shapes=shapes_of(known[name]))
        if in_place and not _HOLDERS.isdisjoint(graph.by_op):
            graph = replace(graph, attrs=graph.attrs.updated(_DIFFERENTIATED))
        if None in found.values():
            graph = replace(graph, attrs=graph.attrs.updated(_NO_GRADIENT))
        graphs[name] = graph
    return replace(module, graphs=graphs), {callee: found for callee, found in gradients.items() if found is not None}


def may_be_held(module: Module, func_graph: Any) -> bool:
    """Whether something beside the main graph may hold the outputs of its nodes, and use them later.

    A closure may be of a custom gradient in a function that was traced inside `func_graph`.
    """
    main = module.graphs[MAIN]
    return any(node.op in _HOLDERS or GRADIENT in node.attrs for node in main.nodes.values()) or any(
        GRADIENT in node.attrs
        for name, graph in called_graphs(func_graph).items()
        if name in module.graphs and _stands_in(graph, func_graph)
        for node in module.graphs[name].nodes.values()
    )


def _stands_in(graph: Any, outer: Any) -> bool:
    while graph is not None and graph is not outer:
        graph = getattr(graph, "outer_graph", None)
    return graph is outer


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


def _gradients(graph: Graph, func_graph: Any) -> dict[str, Any]:
    """The functions that a body calls, each with the function by which TensorFlow differentiates the call, or None.

    Calls are found by name: once a function is differentiated, the operations in its graph call others than its
    definition does.
    """
    found: dict[str, Any] = {}
    for node in graph.nodes.values():
        if node.op in CALLS:
            try:
                gradient = (
                    None if func_graph is None else func_graph.get_operation_by_name(node.name)._gradient_function
                )
            except KeyError:
                gradient = None
            found.update((callee.name, gradient) for callee in node.attrs.functions)
    return found


def shapes_of(func_graph: Any) -> Callable[[Value], Shape]:
    """Static shapes as the operations of a `FuncGraph` have them."""

    def shape_of(value: Value) -> Shape:
        try:
            shape = func_graph.get_operation_by_name(value.node).outputs[value.port].shape
        except (KeyError, IndexError):
            return None
        return None if shape.rank is None else tuple(-1 if size is None else size for size in shape.as_list())

    return shape_of
