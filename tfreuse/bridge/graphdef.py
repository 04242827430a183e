"""A `GraphDef`'s own nodes to a `Graph` and back; data inputs are written `node` or `node:port`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from tfreuse.bridge.nodes import NodeReader, write_inputs, write_meaning, write_new
from tfreuse.bridge.origins import Origins, add_origins, note_origins
from tfreuse.errors import GraphError, UnknownOpError
from tfreuse.ir.graph import ARGUMENT_OP, Graph, Node, Value
from tfreuse.ops.registry import Ops

Merged = Callable[[], Mapping[str, str]]
NOTHING: Merged = dict


def read_main(
    protos: Any,
    ops: Ops,
    arguments: Iterable[str] = (),
    kept: Iterable[str] = (),
    frozen: Iterable[str] = (),
    reader: NodeReader | None = None,
) -> Graph:
    """The main graph from its `NodeDef`s; `arguments`, `kept` and `frozen` as in `ir.Graph`.

    Raises:
        UnknownOpError: if an op is not registered.
        GraphError: if the graph contradicts itself.
    """
    reader = reader or NodeReader()
    nodes = reader.read(protos, parse_value, by_name=True)
    graph = Graph("", nodes, arguments=tuple(arguments), kept=frozenset(kept), frozen=frozenset(frozen))
    if reader.in_order:
        graph.note_ordered()
    check_ops(graph, ops)
    return graph


def write_main(
    before: Graph, after: Graph, source: Any, target: Any, everything: bool = False, merged: Merged = NOTHING
) -> None:
    """Edit the repeated field `target` so that it says `after`; `before` was read from the one called `source`.

    They may be one field. Only nodes that changed are touched, unless `everything` asks for all inputs to be
    spelled anew. `merged` gives what duplicates merged into, which comes from where they came.
    """
    write_nodes(before, after, source, target, _print_value, everything, merged)


def write_nodes(
    before: Graph,
    after: Graph,
    source: Any,
    target: Any,
    text_of: Any,
    everything: bool = False,
    merged: Merged = NOTHING,
) -> None:
    """Copy the nodes that are left to `target` (or drop the others from it) and bring those that changed in line.

    Where nodes are new, all stand in the order of `after`.
    """
    left: list[Any] = []
    count = 0
    add = target.add
    changed: list[tuple[int, Node, Node]] = []
    origins: Origins = {}
    arguments = len(before.nodes) - len(source)  # a function's stand in front, and in no proto
    for (name, old), proto in zip(islice(before.nodes.items(), arguments, None), source, strict=True):
        new = after.nodes.get(name)
        if new is not old or everything:
            note_origins(name, proto, origins)
            if new is None:
                continue
            changed.append((count, old, new))
        count += 1
        if target is source:
            left.append(proto)
        else:
            add().CopyFrom(proto)  # one by one is faster than `extend`
    is_wider = len(after.nodes) > count + arguments
    if target is source and count != len(source):
        del target[:]
        for proto in left:
            add().CopyFrom(proto)
    for index, old, new in changed:
        proto = target[index]
        write_inputs(new, None if everything else old, proto, text_of)
        if (new.op, new.device) != (old.op, old.device) or new.attrs is not old.attrs:
            write_meaning(new, old, proto)
    if is_wider:
        _add_new(before, after, target, text_of)
    if origins:
        add_origins(origins, merged(), target)


def _add_new(before: Graph, after: Graph, target: Any, text_of: Any) -> None:
    """Write the new nodes, in the places that `after` lists them at."""
    protos = {proto.name: proto for proto in target}
    for name, node in after.nodes.items():
        if name not in before.nodes and node.op != ARGUMENT_OP:
            proto = target.add()
            write_new(node, proto, text_of)
            protos[name] = proto
    ordered = [protos[name] for name in after.nodes if name in protos]
    del target[:]
    target.extend(ordered)


def check_ops(graph: Graph, ops: Ops) -> None:
    """Check that every op has a signature.

    Raises:
        UnknownOpError: naming the first op that has none.
    """
    for op, names in graph.by_op.items():
        if ops.schema(op) is None:
            raise UnknownOpError(op, names[0])


def parse_value(text: str) -> tuple[Value]:
    """`node` or `node:port` as a value (in a tuple of one, as `NodeReader` takes them).

    Raises:
        GraphError: if the port is no number.
    """
    if ":" not in text:
        return (Value(text),)
    name, _, port = text.rpartition(":")
    if not port.isdigit():
        raise GraphError(f"cannot read the input {text!r}; expected NODE or NODE:PORT")
    return (Value(name, int(port)),)


def _print_value(value: Value) -> str:
    return f"{value.node}:{value.port}" if value.port else value.node
