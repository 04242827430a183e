"""A `GraphDef`'s own nodes to a `Graph` and back; data inputs are written `node` or `node:port`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tfreuse.bridge.nodes import NodeReader, write_inputs, write_meaning, write_new
from tfreuse.errors import GraphError, UnknownOpError
from tfreuse.ir.graph import Graph, Node, Value
from tfreuse.ops.registry import Ops


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
    nodes = (reader or NodeReader()).read(protos, parse_value, by_name=True)
    check_ops(nodes.values(), ops)
    return Graph("", nodes, arguments=tuple(arguments), kept=frozenset(kept), frozen=frozenset(frozen))


def write_main(before: Graph, after: Graph, source: Any, target: Any, everything: bool = False) -> None:
    """Edit the repeated field `target` so that it says `after`; `before` was read from the one called `source`.

    They may be one field. Only nodes that changed are touched, unless `everything` asks for all inputs to be
    spelled anew.
    """
    write_nodes(before, after, source, target, _print_value, everything)


def write_nodes(before: Graph, after: Graph, source: Any, target: Any, text_of: Any, everything: bool = False) -> None:
    """Copy the nodes that are left to `target` (or drop the others from it) and bring those that changed in line.

    New nodes come last: both kinds of graphs may list nodes in any order.
    """
    nodes = after.nodes
    left = [proto for proto in source if proto.name in nodes]
    if target is not source:
        target.extend(left)
    elif len(left) != len(before.nodes):
        del target[:]
        target.extend(left)
    del left
    for proto in target:
        name = proto.name
        old, new = before.nodes[name], nodes[name]
        if old is new and not everything:
            continue
        write_inputs(new, None if everything else old, proto, text_of)
        if (new.op, new.device) != (old.op, old.device) or new.attrs is not old.attrs:
            write_meaning(new, old, proto)
    for name, node in nodes.items():
        if name not in before.nodes:
            write_new(node, target.add(), text_of)


def check_ops(nodes: Iterable[Node], ops: Ops) -> None:
    """Check that every op has a signature.

    Raises:
        UnknownOpError: naming the first op that has none.
    """
    known: set[str] = set()
    for node in nodes:
        if node.op not in known:
            if ops.schema(node.op) is None:
                raise UnknownOpError(node.op, node.name)
            known.add(node.op)


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
