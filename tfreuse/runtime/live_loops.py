"""Loops of a live `FuncGraph` whose work moved in front of them: they get operands more, as they do from TensorFlow.

TensorFlow's gradient of a loop does the same to keep what the forward pass computed: the body captures more tensors and
gives them back, condition and body become new functions, and the operation gets inputs and outputs at the end. So a
loop that was changed is differentiated as any other is, once or twice, before or after the change. Only a loop whose
graphs Python knows can be changed. TensorFlow gives a branch no operands once it is made: see `live_branches`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from tfreuse.analysis.inlinable import STAYS
from tfreuse.analysis.movable import LOOPS
from tfreuse.bridge.load import tensorflow
from tfreuse.bridge.module import MAIN
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.graph import Graph, Module, Node, Value
from tfreuse.ir.order import topological
from tfreuse.runtime.called import shapes_of
from tfreuse.runtime.new_ops import create_op

_FOREIGN = Attr("s", b"Python does not know the graphs of the loop")
_EDITS = ("_add_while_inputs", "_add_outputs", "_set_func_attr", "_set_type_list_attr", "_set_shape_list_attr")


class _Here(threading.local):
    registering = False


_here = _Here()


def with_loops(module: Module, func_graph: Any) -> Module:
    """The module with marks on the loops that cannot change, and the static shapes of the others."""
    main = module.graphs.get(MAIN)
    if main is None or not LOOPS & main.by_op.keys():
        return module
    nodes, graphs = dict(main.nodes), dict(module.graphs)
    for name, node in main.nodes.items():
        if node.op in LOOPS:
            op = func_graph.get_operation_by_name(name)
            body, function = getattr(op, "_body_graph", None), node.attrs.value("body")
            if not _is_known(op, node) or function is None or function.name not in graphs:
                nodes[name] = node._replace(attrs=node.attrs.updated({STAYS: _FOREIGN}))
            else:
                graphs[function.name] = replace(graphs[function.name], shapes=shapes_of(body))
    return replace(module, graphs={**graphs, MAIN: main.evolve(nodes)})


def _is_known(op: Any, node: Node) -> bool:
    """Whether Python has the graphs of the loop, as they stand in its functions, and the means to change it."""
    graphs = [getattr(op, name, None) for name in ("_cond_graph", "_body_graph")]
    return all(hasattr(op, edit) for edit in _EDITS) and all(
        graph is not None and len(graph.inputs) == len(node.inputs) and graph.name == node.attrs.value(key).name
        for graph, key in zip(graphs, ("cond", "body"), strict=True)
    )


def widen_loop(op: Any, tensors: list[Any], before: Graph, after: Graph) -> None:
    """Give the loop `op` the operands `tensors` more, and let its body be what `after` made of `before`."""
    cond, body = op._cond_graph, op._body_graph
    tensors = [held(op.graph, tensor) for tensor in tensors]
    with body.as_default():
        inner = [body.capture(tensor) for tensor in tensors]
    with cond.as_default():
        for tensor in tensors:
            cond.capture(tensor)
    move_nodes(body, before, after, inner, [])
    body.outputs.extend(inner)
    _set_functions(op, cond, body)
    op._add_while_inputs(tensors)
    op._add_outputs([tensor.dtype for tensor in inner], [tensor.shape for tensor in inner])


def move_nodes(graph: Any, before: Graph, after: Graph, inner: list[Any], undo: list[Callable[[], None]]) -> None:
    """Let a `FuncGraph` be what `after` made of `before`, where `inner` are the arguments more.

    Its list of outputs changes in place, that of its control outputs is another. What takes an edit of an operation
    back is put into `undo`; operations that were made stay, and nothing needs them.
    """
    arguments = dict(zip(after.arguments, [*graph.inputs[: len(before.arguments)], *inner], strict=True))
    ops = {name: graph.get_operation_by_name(name) for name in before.nodes if name not in before.arguments}

    def tensor_of(value: Value) -> Any:
        return arguments[value.node] if value.node in arguments else ops[value.node].outputs[value.port]

    for name in topological(after):
        node = after.nodes[name]
        if name not in before.nodes and name not in arguments:
            controls = [ops[control] for control in sorted(node.controls)]
            ops[name] = create_op(graph, node, [tensor_of(value) for value in node.inputs], controls)
    gone = before.nodes.keys() - after.nodes.keys()
    for name, new in after.nodes.items():
        old = before.nodes.get(name)
        if old is None or new is old or name in before.arguments:
            continue
        op = ops[name]
        for index, (was, now) in enumerate(zip(old.inputs, new.inputs, strict=True)):
            if was != now:
                undo.append(partial(op._update_input, index, op.inputs[index]))
                op._update_input(index, tensor_of(now))
        if old.controls != new.controls:
            controls = list(op.control_inputs)
            undo.append(partial(_set_controls, op, controls))
            left = [control for control in controls if control.name not in gone]
            _set_controls(op, [*left, *(ops[control] for control in sorted(new.controls - old.controls))])
    for index, ((_, was), (_, now)) in enumerate(zip(before.outputs, after.outputs, strict=False)):
        if was != now:
            graph.outputs[index] = tensor_of(now)
    graph.control_outputs = [control for control in graph.control_outputs if control.name not in gone]


def _set_controls(op: Any, controls: list[Any]) -> None:
    op._remove_all_control_inputs()
    op._add_control_inputs(controls)


def held(graph: Any, tensor: Any) -> Any:
    """The tensor through an `Identity` that nobody merges or moves: an input added to a loop can never be another,
    and TensorFlow knows what a branch captured by the tensor."""
    attrs = {"T": Attr("type", tensor.dtype.as_datatype_enum), STAYS: Attr("s", f"operand {_number()}".encode())}
    return create_op(graph, Node(f"{tensor.op.name}/held", "Identity", attrs=Attrs(attrs)), [tensor], []).outputs[0]


def _set_functions(op: Any, cond: Any, body: Any) -> None:
    op._set_func_attr("cond", register(cond))
    op._set_func_attr("body", register(body))
    op._set_type_list_attr("T", body.output_types)
    op._set_shape_list_attr("output_shapes", body.output_shapes)
    if any(name == "_num_original_outputs" for name in op.node_def.attr):
        count = tensorflow().compat.v1.AttrValue(i=len(body.outputs))
        op._set_attr("_num_original_outputs", count)


def register(graph: Any) -> str:
    """Make a function of a `FuncGraph` that changed, and return its name, which is new.

    TensorFlow shows the graph to whoever watches functions being made; `is_registering` tells that it was seen before.
    """
    from tensorflow.python.ops.control_flow_util_v2 import create_new_tf_function

    graph.name = f"{graph.name}_hoisted_{_number()}"  # TensorFlow refuses two functions of one name
    _here.registering = True
    try:
        name: str = create_new_tf_function(graph)
    finally:
        _here.registering = False
    return name


def is_registering() -> bool:
    """Whether this thread makes a function of a graph that was optimised already, and is being edited."""
    return _here.registering


def _number() -> int:
    from tensorflow.python.framework.ops import uid

    found: int = uid()
    return found
