"""A concrete function from an optimised graph: the graph is imported anew, with what a `GraphDef` does not carry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tfreuse.analysis.inlinable import CALLS
from tfreuse.bridge.load import tensorflow
from tfreuse.bridge.public_names import called_functions, reachable
from tfreuse.errors import InputError, NotSupportedError
from tfreuse.ir.attrs import GRADIENT
from tfreuse.runtime.live import declared_outputs

_BODIES = frozenset({"If", "StatelessIf", "While", "StatelessWhile", "Case", "StatelessCase"})


def check_importable(function: Any) -> Any:
    """The graph of a concrete function, if it can be imported again without losing anything, gradients included.

    Raises:
        InputError: if it is no concrete function.
        NotSupportedError: naming what an import would lose (TensorFlow keeps it in Python, not in the graph).
    """
    if not (hasattr(function, "structured_input_signature") and hasattr(function, "graph")):
        raise InputError("expected a concrete function; call get_concrete_function(...) on the tf.function first")
    graph_def = function.graph.as_graph_def(add_shapes=True)
    library = {found.signature.name: found for found in graph_def.library.function}
    reasons = []
    if function.graph.deferred_external_captures:
        reasons.append("captures that are evaluated at call time")
    if any(GRADIENT in node.attr for node in graph_def.node):
        reasons.append("a custom gradient, whose Python closure holds tensors of the original graph")
    in_bodies = [node for name in body_functions(graph_def) for node in library[name].node_def]
    if any(GRADIENT in node.attr for node in in_bodies):
        reasons.append("a custom gradient inside a loop or branch")
    if any("PartitionedCall" in node.op for node in in_bodies):
        reasons.append("a call inside a loop or branch, whose gradient is kept in Python")
    if reasons:
        raise NotSupportedError(
            f"{function.graph.name} has {' and '.join(reasons)}, which an import would lose; "
            "decorate the Python function with @tfreuse.dedupe instead"
        )
    return graph_def


def import_function(
    original: Any, graph_def: Any, must_run: Iterable[str], gradients: Mapping[str, Any] | None = None
) -> Any:
    """The concrete function whose graph is `graph_def` (it is changed), with `original`'s signature and captures.

    `must_run` are the operations that run for their effects, and that callers wait for. `gradients` has the gradient
    of calls of a function, for calls that the original's graph does not hold.
    """
    tf = tensorflow()
    from tensorflow.python.eager.context import context
    from tensorflow.python.eager.polymorphic_function.concrete_function import ConcreteFunction
    from tensorflow.python.framework.func_graph import FuncGraph

    old = original.graph
    new = FuncGraph(old.name)
    for body in _rename_bodies(graph_def):
        context().add_function_def(body)  # importing alone would leave them unknown to the executor
    with new.as_default():
        tf.graph_util.import_graph_def(graph_def, name="")
    _carry(old, new, gradients or {})
    captured = [placeholder for _, placeholder in old.captures]
    inside = {id(placeholder) for placeholder in captured}
    new.inputs = [_same(new, tensor) for tensor in old.inputs if id(tensor) not in inside]
    for outside, placeholder in old.captures:
        new.add_capture(outside, _same(new, placeholder))
    new.outputs = [_same(new, tensor) for tensor in declared_outputs(old)]
    new.structured_input_signature = old.structured_input_signature
    new.structured_outputs = _structured(tf, old.structured_outputs, new.outputs)
    new.control_outputs = [new.get_operation_by_name(name) for name in must_run]
    new.variables = old.variables
    function = ConcreteFunction.from_func_graph(new, original.function_type, _attributes(original))
    for name in ("_arg_keywords", "_num_positional_args"):
        if hasattr(original, name):
            setattr(function, name, getattr(original, name))
    return function


def _carry(old: Any, new: Any, gradients: Mapping[str, Any]) -> None:
    """Static shapes set from Python, handle data, gradients of calls, called functions and Python functions."""
    from tensorflow.python.ops.handle_data_util import copy_handle_data

    known = {op.name: op for op in old.get_operations()}
    for op in new.get_operations():
        source = known.get(op.name)
        if source is None:  # it came with the body of a call
            if op.type in CALLS:
                op._gradient_function = gradients.get(op.get_attr("f").name)
            continue
        if op.type != source.type:  # an alias that took a duplicate's name
            continue
        if source._gradient_function is not None:
            op._gradient_function = source._gradient_function
        for before, after in zip(source.outputs, op.outputs, strict=False):  # a loop may have got more
            after.set_shape(before.shape)
            if before.dtype.name in ("resource", "variant"):
                copy_handle_data(before, after)
    # An imported function is a bare definition; the original knows its graph, which saving its gradient needs.
    new._functions.update((name, old._functions[name]) for name in new._functions if name in old._functions)
    if hasattr(old, "_py_funcs_used_in_graph"):
        new._py_funcs_used_in_graph = list(old._py_funcs_used_in_graph)


def _same(graph: Any, tensor: Any) -> Any:
    return graph.get_tensor_by_name(tensor.name)


def _structured(tf: Any, structure: Any, outputs: list[Any]) -> Any:
    left = iter(outputs)
    return tf.nest.map_structure(lambda leaf: None if leaf is None else next(left), structure, expand_composites=True)


def _attributes(function: Any) -> dict[str, Any]:
    definition = getattr(function, "inference_fn", None)
    return dict(getattr(definition, "attributes", None) or getattr(function, "_attrs", None) or {})


def body_functions(graph_def: Any) -> list[str]:
    """The functions that loops and branches of the graph run, at any depth."""
    library = {found.signature.name: found for found in graph_def.library.function}
    bodies = [name for node in graph_def.node if node.op in _BODIES for name in called_functions(node, library)]
    return sorted(reachable(bodies, library))


def _rename_bodies(graph_def: Any) -> list[Any]:
    """Give the bodies names of their own, and return them.

    TensorFlow refuses two functions of one name and different bodies, and names the functions that it makes for
    the gradient of a loop after the loop's body, so a body shared with the original would clash even unchanged.
    """
    from tensorflow.python.framework.ops import uid

    suffix = f"_tfreuse_{uid()}"
    renamed = set(body_functions(graph_def))
    bodies = [function for function in graph_def.library.function if function.signature.name in renamed]
    for function in bodies:
        function.signature.name += suffix
    for node in [*graph_def.node, *(node for function in bodies for node in function.node_def)]:
        for value in node.attr.values():
            for func in [value.func] if value.HasField("func") else value.list.func:
                if func.name in renamed:
                    func.name += suffix
    return bodies
