"""What a `MetaGraphDef` says of its functions beside their bodies, and how functions leave it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tfreuse.bridge.public_names import called_functions, collection_names

_NAMES_ONLY = "_user_specified_name"


@dataclass
class FunctionNames:
    """`declared`, `public` and `pinned` as in `pipeline.library.Library`."""

    declared: dict[str, Hashable] = field(default_factory=dict)
    public: dict[str, Hashable] = field(default_factory=dict)
    pinned: set[str] = field(default_factory=set)


def function_names(meta_graph: Any, frozen: Iterable[str], opaque: Iterable[str]) -> FunctionNames:
    """Collects them; `frozen` functions only save, restore or initialise, `opaque` ones cannot be read.

    The outside has a function by name if the object graph has it: its signature, what it captures, the objects that
    hold it and how these may be called, its alias. Pinned are functions that a gradient is registered for or as, that
    a captured tensor lies in, that opaque functions call, and whatever a text anywhere in an attribute names.
    """
    found = FunctionNames()
    library = meta_graph.graph_def.library
    functions = {function.signature.name: function for function in library.function}
    objects = meta_graph.object_graph_def
    found.declared = {name: _declaration(function) for name, function in functions.items()}
    holders, saved = _holders(objects), set(objects.concrete_functions)
    for name in dict.fromkeys([*sorted(saved), *holders, *meta_graph.meta_info_def.function_aliases]):
        if name in functions:
            found.public[name] = (
                _bytes(objects.concrete_functions[name]) if name in saved else None,
                tuple(sorted(holders.get(name, ()))),
                meta_graph.meta_info_def.function_aliases.get(name),
                _names(functions[name], len(objects.concrete_functions[name].bound_inputs) if name in saved else 0),
            )
    found.pinned.update(frozen)
    for gradient in library.gradient:
        found.pinned.update((gradient.function_name, gradient.gradient_func))
    found.pinned.update(gradient.gradient_func for gradient in library.registered_gradients)
    for entry in objects.nodes:
        if entry.WhichOneof("kind") == "captured_tensor":
            found.pinned.add(entry.captured_tensor.concrete_function)
    for name in opaque:
        nodes = functions[name].node_def if name in functions else meta_graph.graph_def.node
        found.pinned.update(called for node in nodes for called in called_functions(node, functions))
    found.pinned.update(_texts(meta_graph, functions))
    for collection in meta_graph.collection_def.values():
        found.pinned.update(collection_names(collection, functions.keys()))
    found.pinned &= functions.keys()
    return found


def write_library(meta_graph: Any, merged: Mapping[str, str], removed: Iterable[str]) -> None:
    """Take functions out of the library, and let the object graph name those that stand for them.

    Bodies must name them no more.
    """
    gone = merged.keys() | set(removed)
    library = meta_graph.graph_def.library
    left = [function for function in library.function if function.signature.name not in gone]
    if len(left) != len(library.function):
        del library.function[:]
        library.function.extend(left)
    objects = meta_graph.object_graph_def
    for entry in objects.nodes:
        kind = entry.WhichOneof("kind")
        if kind == "function" and not merged.keys().isdisjoint(entry.function.concrete_functions):
            names = dict.fromkeys(merged.get(name, name) for name in entry.function.concrete_functions)
            del entry.function.concrete_functions[:]
            entry.function.concrete_functions.extend(names)
        elif kind == "bare_concrete_function":
            bare = entry.bare_concrete_function
            bare.concrete_function_name = merged.get(bare.concrete_function_name, bare.concrete_function_name)
    for name in gone:
        objects.concrete_functions.pop(name, None)
        meta_graph.meta_info_def.function_aliases.pop(name, None)


def _declaration(function: Any) -> Hashable:
    """All that a function's declaration says beside names: types, handles, shapes, attributes."""
    said = type(function)()
    for args, target in (
        (function.signature.input_arg, said.signature.input_arg),
        (function.signature.output_arg, said.signature.output_arg),
    ):
        for arg in args:
            target.add().CopyFrom(arg)
            target[-1].ClearField("name")
            target[-1].ClearField("description")
    said.signature.is_stateful = function.signature.is_stateful
    said.signature.is_distributed_communication = function.signature.is_distributed_communication
    for name, value in function.attr.items():
        said.attr[name].CopyFrom(value)
    for index, attrs in function.arg_attr.items():
        for name, value in attrs.attr.items():
            if name != _NAMES_ONLY:
                said.arg_attr[index].attr[name].CopyFrom(value)
    for index, unique in function.resource_arg_unique_id.items():
        said.resource_arg_unique_id[index] = unique
    return _bytes(said)


def _names(function: Any, captured: int) -> Hashable:
    """How arguments and results are called, by users too where an argument is not captured."""
    signature = function.signature
    given = len(signature.input_arg) - captured
    return (
        tuple(arg.name for arg in signature.input_arg),
        tuple(arg.name for arg in signature.output_arg),
        tuple(
            function.arg_attr[index].attr[_NAMES_ONLY].s
            for index in range(given)
            if index in function.arg_attr and _NAMES_ONLY in function.arg_attr[index].attr
        ),
    )


def _holders(objects: Any) -> dict[str, set[tuple[str, bytes]]]:
    """For each function the ways in which objects that hold it may be called."""
    found: dict[str, set[tuple[str, bytes]]] = {}
    for entry in objects.nodes:
        kind = entry.WhichOneof("kind")
        if kind == "function":
            for name in entry.function.concrete_functions:
                found.setdefault(name, set()).add((kind, _bytes(entry.function.function_spec)))
        elif kind == "bare_concrete_function":
            bare = type(entry.bare_concrete_function)()
            bare.CopyFrom(entry.bare_concrete_function)
            bare.concrete_function_name = ""
            found.setdefault(entry.bare_concrete_function.concrete_function_name, set()).add((kind, _bytes(bare)))
    return found


def _texts(meta_graph: Any, functions: Mapping[str, Any]) -> Iterator[str]:
    """Functions that a text in an attribute of a node or a function names (forward and backward functions do so)."""
    graph_def = meta_graph.graph_def
    values = [value for function in functions.values() for value in function.attr.values()]
    for nodes in (graph_def.node, *(function.node_def for function in functions.values())):
        values += [value for node in nodes for value in node.attr.values()]
    for value in values:
        kind = value.WhichOneof("value")
        for text in [value.s] if kind == "s" else value.list.s if kind == "list" else ():
            name = text.decode(errors="replace")
            if name in functions:
                yield name


def _bytes(proto: Any) -> bytes:
    data: bytes = proto.SerializeToString(deterministic=True)
    return data
