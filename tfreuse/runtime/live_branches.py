"""Branches of a live `FuncGraph` whose work moved in front of them: an operation of more operands takes their place.

TensorFlow can give a loop operands once it is made (`AddWhileInputHack`), but no `If` and no `Case`. So a new operation
gets the operands, attributes and control inputs of the old one, and its branches' graphs: each captures the values
that are now computed in front. Whatever used the old operation uses the new one, which has the same outputs: those
behind the program's own as well, by which an earlier gradient keeps what it needs. So it is differentiated as any other
is, once or twice, before or after the change.

The old operation is disconnected. TensorFlow would make its graphs from its functions if anybody asked for its
gradient; nobody does, as programs hold the `Identity` behind each output and not the output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from tfreuse.analysis.inlinable import STAYS
from tfreuse.analysis.movable import BRANCHES
from tfreuse.bridge.module import MAIN
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.graph import Graph, Module, Node
from tfreuse.runtime.called import shapes_of
from tfreuse.runtime.live_loops import held, move_nodes, register
from tfreuse.runtime.new_ops import create_op

_FOREIGN = Attr("s", b"Python does not know the graphs of the branches")
_HELD = Attr("s", b"it is to be run whole, and the program may hold its own outputs")
_WRAPPED = Attr(
    "s", b"TensorFlow wrapped it in a function that does not know its branches, as it does for nested tapes"
)
_GAVE_WAY = "_tfreuse_gave_way"


def with_branches(module: Module, func_graph: Any) -> Module:
    """The module with marks on the branches that cannot change, and the static shapes of the others.

    Operations that another took the place of are left out; they are in the graph, but nothing needs them.
    """
    main = module.graphs.get(MAIN)
    if main is None or not BRANCHES & main.by_op.keys():
        return module
    nodes, graphs = dict(main.nodes), dict(module.graphs)
    used = {source for node in nodes.values() for source in (*(value.node for value in node.inputs), *node.controls)}
    used |= {tensor.op.name for tensor in func_graph.outputs}
    for name in [name for op in sorted(BRANCHES) for name in main.by_op.get(op, ())]:
        op, node = func_graph.get_operation_by_name(name), main.nodes[name]
        if name not in used and hasattr(op, _GAVE_WAY):
            del nodes[name]
        elif why := _why_not(op, node, graphs):
            nodes[name] = node._replace(attrs=node.attrs.updated({STAYS: why}))
        else:
            graphs.update(
                (inner.name, replace(graphs[inner.name], shapes=shapes_of(inner))) for inner in _graphs_of(op)
            )
    return replace(module, graphs={**graphs, MAIN: main.evolve(nodes)})


def replace_branch(
    op: Any,
    node: Node,
    inputs: Sequence[Any],
    controls: Sequence[Any],
    bodies: Mapping[str, tuple[Graph, Graph]],
    undo: list[Callable[[], None]],
) -> Any:
    """The operation for `node`, in the place of `op`, which has fewer of the `inputs` (tensors).

    `bodies` has for each function of `node` what it is made from and what it is to be. What takes an edit of the
    branches' graphs back is put into `undo` before the edit. The caller moves those that use `op`.
    """
    from tensorflow.python.ops.handle_data_util import copy_handle_data

    graphs, kept = _graphs_of(op), len(op.inputs)
    more = [held(op.graph, tensor) for tensor in inputs[kept:]]
    for graph, function in zip(graphs, _functions(node), strict=True):
        _widen(graph, more, *bodies[function], undo)
    names = dict(zip(_functions(node), map(register, graphs), strict=True))
    attrs = Attrs({key: _renamed(attr, names) for key, attr in node.attrs.items()})
    new = create_op(op.graph, node._replace(attrs=attrs), [*inputs[:kept], *more], controls)
    for was, now in zip(op.outputs, new.outputs, strict=True):
        now.set_shape(was.shape)
        copy_handle_data(was, now)
    if not op.graph.is_fetchable(op):
        op.graph.prevent_fetching(new)
    for place, graph in zip(_places(op), graphs, strict=True):
        setattr(new, place, graph)
    undo.append(partial(retire, new))
    return new


def retire(op: Any) -> None:
    """Note that another operation has the place and the graphs of this one."""
    for place in _places(op):
        delattr(op, place)
    setattr(op, _GAVE_WAY, True)


def _widen(graph: Any, tensors: list[Any], before: Graph, after: Graph, undo: list[Callable[[], None]]) -> None:
    """Let the graph of a branch take `tensors` as well, and be what `after` made of `before`."""
    undo.append(partial(_restore, graph, graph.name, list(graph.inputs), list(graph.outputs), graph.control_outputs))
    inner = []
    with graph.as_default():
        for tensor in tensors:
            undo.append(partial(graph.function_captures.pop, id(tensor)))
            inner.append(graph.capture(tensor))
    move_nodes(graph, before, after, inner, undo)


def _restore(graph: Any, name: str, inputs: list[Any], outputs: list[Any], control_outputs: list[Any]) -> None:
    graph.name, graph.inputs[:], graph.outputs[:], graph.control_outputs = name, inputs, outputs, control_outputs


def _renamed(attr: Attr, names: Mapping[str, str]) -> Attr:
    if attr.kind == "func":
        return Attr("func", attr.value._replace(name=names[attr.value.name]))
    if attr.kind == "list" and attr.value[0] == "func":
        return Attr("list", ("func", tuple(function._replace(name=names[function.name]) for function in attr.value[1])))
    return attr


def _functions(node: Node) -> list[str]:
    """The functions of the branches, in the order of the branches."""
    if node.op.endswith("Case"):
        return [function.name for function in node.attrs.value("branches")[1]]
    return [node.attrs.value(key).name for key in ("then_branch", "else_branch")]


def _places(op: Any) -> list[str]:
    """The Python attributes in which TensorFlow keeps the graphs of the branches, in their order."""
    if op.type.endswith("Case"):
        return [f"_branch_graph_{index}" for index in range(len(op.get_attr("branches")))]
    return ["_true_graph", "_false_graph"]


def _graphs_of(op: Any) -> list[Any]:
    return [getattr(op, place, None) for place in _places(op)]


def _why_not(op: Any, node: Node, functions: Mapping[str, Graph]) -> Attr | None:
    """None if Python has the graphs of all branches as they stand in the functions, each for this operation alone."""
    graphs, names = _graphs_of(op), _functions(node)
    known = len(set(names)) == len(names) and all(
        graph is not None
        and (graph.name, graph.outer_graph) == (name, op.graph)
        and (len(graph.inputs), len(graph.outputs)) == (len(node.inputs) - 1, len(op.outputs))
        for graph, name in zip(graphs, names, strict=True)
    )
    if not known:
        return _FOREIGN
    if not node.attrs.value("_lower_using_switch_merge", True):  # `fast_cond_v2` has no `Identity` behind it
        return _HELD
    if not functions.keys() >= set(names):
        return _WRAPPED
    return None if all(_is_of(graph, functions[graph.name]) for graph in graphs) else _FOREIGN


def _is_of(func_graph: Any, function: Graph) -> bool:
    """Whether each node of the function is an operation of its name in the graph."""
    ops = {op.name: op.type for op in func_graph.get_operations()}
    return all(ops.get(name) == node.op for name, node in function.nodes.items() if name not in function.arguments)
