"""Loops of a live `FuncGraph` whose work moved in front of them: they get operands more, as they do from TensorFlow.

TensorFlow's gradient of a loop does the same to keep what the forward pass computed: the body captures more tensors and
gives them back, condition and body become new functions, and the operation gets inputs and outputs at the end. So a
loop that was changed is differentiated as any other is, once or twice, before or after the change. Only a loop whose
graphs Python knows can be changed, and no branch: TensorFlow gives a branch no operands once it is made.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tfreuse.analysis.inlinable import STAYS
from tfreuse.analysis.movable import BRANCHES, LOOPS
from tfreuse.bridge.load import tensorflow
from tfreuse.bridge.module import MAIN
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.graph import Graph, Module, Node, Value
from tfreuse.ir.order import topological
from tfreuse.runtime.called import shapes_of
from tfreuse.runtime.new_ops import create_op

_BRANCH = Attr("s", b"TensorFlow gives a branch no operands once it is made")
_FOREIGN = Attr("s", b"Python does not know the graphs of the loop")
_EDITS = ("_add_while_inputs", "_add_outputs", "_set_func_attr", "_set_type_list_attr", "_set_shape_list_attr")


def with_loops(module: Module, func_graph: Any) -> Module:
    """The module with marks on the loops and branches that cannot change, and the static shapes of the others."""
    main = module.graphs.get(MAIN)
    if main is None or not (LOOPS | BRANCHES) & main.by_op.keys():
        return module
    nodes, graphs = dict(main.nodes), dict(module.graphs)
    for name, node in main.nodes.items():
        if node.op in BRANCHES:
            nodes[name] = _marked(node, _BRANCH)
        elif node.op in LOOPS:
            op = func_graph.get_operation_by_name(name)
            body, function = getattr(op, "_body_graph", None), node.attrs.value("body")
            if not _is_known(op, node) or function is None or function.name not in graphs:
                nodes[name] = _marked(node, _FOREIGN)
            else:
                graphs[function.name] = replace(graphs[function.name], shapes=shapes_of(body))
    return replace(module, graphs={**graphs, MAIN: main.evolve(nodes)})


def _marked(node: Node, why: Attr) -> Node:
    return node._replace(attrs=node.attrs.updated({STAYS: why}))


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
    tensors = [_held(op.graph, tensor) for tensor in tensors]
    ops = {name: body.get_operation_by_name(name) for name in before.nodes if name not in before.arguments}
    with body.as_default():
        inner = [body.capture(tensor) for tensor in tensors]
    with cond.as_default():
        for tensor in tensors:
            cond.capture(tensor)
    arguments = dict(zip(after.arguments, [*body.inputs[: len(before.arguments)], *inner], strict=True))

    def tensor_of(value: Value) -> Any:
        return arguments[value.node] if value.node in arguments else ops[value.node].outputs[value.port]

    for name in topological(after):
        node = after.nodes[name]
        if name not in before.nodes and name not in arguments:
            controls = [ops[control] for control in sorted(node.controls)]
            ops[name] = create_op(body, node, [tensor_of(value) for value in node.inputs], controls)
    gone = before.nodes.keys() - after.nodes.keys()
    for name, new in after.nodes.items():
        old = before.nodes.get(name)
        if old is None or new is old or name in before.arguments:
            continue
        for index, (was, now) in enumerate(zip(old.inputs, new.inputs, strict=True)):
            if was != now:
                ops[name]._update_input(index, tensor_of(now))
        if old.controls != new.controls:
            left = [control for control in ops[name].control_inputs if control.name not in gone]
            left += [ops[control] for control in sorted(new.controls - old.controls)]
            ops[name]._remove_all_control_inputs()
            ops[name]._add_control_inputs(left)
    for index, ((_, was), (_, now)) in enumerate(zip(before.outputs, after.outputs, strict=False)):
        if was != now:
            body.outputs[index] = tensor_of(now)
    body.outputs.extend(inner)
    body.control_outputs = [control for control in body.control_outputs if control.name not in gone]
    _set_functions(op, cond, body)
    op._add_while_inputs(tensors)
    op._add_outputs([tensor.dtype for tensor in inner], [tensor.shape for tensor in inner])


def _held(graph: Any, tensor: Any) -> Any:
    """The tensor through an `Identity` that nobody merges or moves: an input added to a loop can never be another."""
    attrs = {"T": Attr("type", tensor.dtype.as_datatype_enum), STAYS: Attr("s", f"loop {_number()}".encode())}
    return create_op(graph, Node(f"{tensor.op.name}/held", "Identity", attrs=Attrs(attrs)), [tensor], []).outputs[0]


def _set_functions(op: Any, cond: Any, body: Any) -> None:
    from tensorflow.python.ops.control_flow_util_v2 import create_new_tf_function

    for graph in (cond, body):  # TensorFlow refuses two functions of one name
        graph.name = f"{graph.name}_hoisted_{_number()}"
    op._set_func_attr("cond", create_new_tf_function(cond))
    op._set_func_attr("body", create_new_tf_function(body))
    op._set_type_list_attr("T", body.output_types)
    op._set_shape_list_attr("output_shapes", body.output_shapes)
    if any(name == "_num_original_outputs" for name in op.node_def.attr):
        count = tensorflow().compat.v1.AttrValue(i=len(body.outputs))
        op._set_attr("_num_original_outputs", count)


def _number() -> int:
    from tensorflow.python.framework.ops import uid

    found: int = uid()
    return found
