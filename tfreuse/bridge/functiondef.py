"""A `FunctionDef` to a `Graph` and back; data inputs are written `argument` or `node:output:index`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tfreuse.bridge.attrs import read_attr, read_attrs, write_attr
from tfreuse.bridge.graphdef import NOTHING, Merged, check_ops, write_nodes
from tfreuse.bridge.nodes import NodeReader
from tfreuse.errors import GraphError, UnknownOpError
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.graph import ARGUMENT_OP, Graph, Node, Value
from tfreuse.ops.registry import Ops

_SAID_OF_ARGUMENTS = frozenset({"_user_specified_name"})


def read_function(
    function: Any,
    ops: Ops,
    kept: Iterable[str] = (),
    reader: NodeReader | None = None,
) -> Graph:
    """The body of one library function, its arguments as `_Arg` nodes in front.

    Raises:
        UnknownOpError: if an op is not registered.
        GraphError: if the body contradicts itself.
    """
    arguments = {
        arg.name: _argument(arg, function.arg_attr[index].attr if index in function.arg_attr else {})
        for index, arg in enumerate(function.signature.input_arg)
    }
    ports = _Ports(function, ops)
    nodes = (reader or NodeReader()).read(function.node_def, ports.parse)
    clash = arguments.keys() & nodes.keys()
    if clash:
        raise GraphError(f"{min(clash)!r} is both an argument and a node")
    outputs = []
    for arg in function.signature.output_arg:
        if arg.name not in function.ret:
            raise GraphError(f"output {arg.name!r} has no value")
        (value,) = ports.parse(function.ret[arg.name])[:1]
        outputs.append((arg.name, value))
    controls = []
    for label in function.signature.control_output:
        if label not in function.control_ret:
            raise GraphError(f"control output {label!r} has no node")
        controls.append((label, function.control_ret[label]))
    # Older TensorFlow wrote `control_ret` alone.
    controls += [(label, node) for label, node in sorted(function.control_ret.items()) if label not in dict(controls)]
    graph = Graph(
        function.signature.name,
        {**arguments, **nodes},
        arguments=tuple(arguments),
        outputs=tuple(outputs),
        control_outputs=tuple(controls),
        kept=frozenset(kept),
        attrs=read_attrs(function.attr),
    )
    check_ops(graph, ops)
    return graph


def write_signature(before: Graph, after: Graph, function: Any) -> None:
    """Add to `function`, which says `before`, the arguments and results that `after` has more, and its attributes."""
    for name in after.arguments[len(before.arguments) :]:
        function.signature.input_arg.add(name=name, type=after.nodes[name].attrs.value("T"))
    for key, attr in after.attrs.items():
        if before.attrs.get(key) != attr:
            function.attr[key].Clear()
            write_attr(attr, function.attr[key])
    for label, value in after.outputs[len(before.outputs) :]:
        function.signature.output_arg.add(name=label, type=after.nodes[value.node].attrs.value("T"))


def write_function(
    before: Graph, after: Graph, function: Any, ops: Ops, everything: bool = False, merged: Merged = NOTHING
) -> None:
    """Edit `function`, from which `before` was read, so that it says `after`; name and arguments stay.

    `everything` and `merged` as in `write_main`.
    """
    ports = _Ports(function, ops)
    text_of = ports.print
    ports.add(node for name, node in after.nodes.items() if name not in before.nodes)
    # The spelling of ports comes from the producers, so it is fixed before producers are dropped.
    texts = {value: text_of(value) for node in after.nodes.values() for value in node.inputs} if everything else {}
    write_nodes(
        before,
        after,
        function.node_def,
        function.node_def,
        lambda value: texts.get(value) or text_of(value),
        everything,
        merged,
    )
    for label, value in after.outputs:
        if everything or dict(before.outputs).get(label) != value:
            function.ret[label] = text_of(value)
    if after.control_outputs != before.control_outputs or everything:
        function.control_ret.clear()
        for label, name in after.control_outputs:
            function.control_ret[label] = name
        listed = set(function.signature.control_output)
        del function.signature.control_output[:]
        function.signature.control_output.extend(label for label, _ in after.control_outputs if label in listed)


def _argument(arg: Any, attrs: Any) -> Node:
    """An argument with what its attributes say, its static shape among it, beside how it is called."""
    said = {name: read_attr(value) for name, value in attrs.items() if name not in _SAID_OF_ARGUMENTS}
    return Node(arg.name, ARGUMENT_OP, attrs=Attrs({**said, "T": Attr("type", arg.type)}))


class _Ports:
    """Turns `node:output:index` into flat ports and back."""

    def __init__(self, function: Any, ops: Ops) -> None:
        self._arguments = {arg.name for arg in function.signature.input_arg}
        self._protos = {proto.name: proto for proto in function.node_def}
        self._ops = ops
        self._ranges: dict[str, dict[str, tuple[int, int]]] = {}

    def add(self, nodes: Iterable[Node]) -> None:
        """Take in nodes that the function does not hold yet."""
        for node in nodes:
            schema = self._ops.schema(node.op)
            if schema is None:
                raise UnknownOpError(node.op, node.name)
            self._ranges[node.name] = schema.output_ranges(node.attrs)

    def parse(self, text: str) -> tuple[Value, ...]:
        """The values that an input names: one, or without an index all tensors of an output."""
        name, *rest = text.split(":")
        if name in self._arguments:
            return (Value(name, int(rest[0]) if rest and rest[0].isdigit() else 0),)
        output = rest[0] if rest else ""
        ranges = self._output_ranges(name)
        if output not in ranges:
            raise GraphError(f"the input {text!r} names no output of {name!r}")
        start, count = ranges[output]
        if len(rest) == 1:
            return tuple(Value(name, start + index) for index in range(count))
        index = int(rest[1]) if rest[1].isdigit() else count
        if index >= count:
            raise GraphError(f"the input {text!r} is beyond the {count} tensors of {output!r}")
        return (Value(name, start + index),)

    def print(self, value: Value) -> str:
        if value.node in self._arguments:
            return value.node
        for output, (start, count) in self._output_ranges(value.node).items():
            if start <= value.port < start + count:
                return f"{value.node}:{output}:{value.port - start}"
        raise GraphError(f"node {value.node!r} has no output {value.port}")

    def _output_ranges(self, name: str) -> dict[str, tuple[int, int]]:
        found = self._ranges.get(name)
        if found is None:
            if name not in self._protos:
                raise GraphError(f"an input refers to {name!r}, which is not in the function")
            proto = self._protos[name]
            schema = self._ops.schema(proto.op)
            if schema is None:
                raise UnknownOpError(proto.op, name)
            needed = {attr for arg in schema.outputs for attr in (arg.type_attr, arg.number_attr, arg.type_list_attr)}
            attrs = Attrs({attr: read_attr(proto.attr[attr]) for attr in needed if attr and attr in proto.attr})
            found = self._ranges[name] = schema.output_ranges(attrs)
        return found
