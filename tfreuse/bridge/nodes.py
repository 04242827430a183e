"""`NodeDef`s to nodes and back; attribute sets that are equal on the wire are read once and shared."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from sys import intern
from typing import Any

from tfreuse.bridge.attrs import read_attrs, write_attr
from tfreuse.bridge.wire import ATTR, LENGTH, AttrReader
from tfreuse.errors import GraphError
from tfreuse.ir.attrs import Attrs
from tfreuse.ir.graph import NO_CONTROLS, Node, Value

_NAME, _OP, _INPUT = 0x0A, 0x12, 0x1A
"""The wire tags of the first fields of a `NodeDef` (node_def.proto); each has a length of one byte up to 127."""
_LATER_TAGS = frozenset({0x22, ATTR, 0x32, 0x3A})

_SHARED_LIMIT = 4096
"""Nodes longer than this (constants with large values) are not worth a place in the table of shared attributes."""


class NodeReader:
    """Reads `NodeDef`s; attributes, and sets of them, are shared by all nodes, of all graphs, that it reads."""

    def __init__(self) -> None:
        self._attrs = AttrReader()
        self._shared: dict[bytes, tuple[str, Attrs, str]] = {}
        self.in_order = False
        """Whether the nodes read last are known to stand behind their inputs each."""

    def read(
        self, protos: Iterable[Any], values_of: Callable[[str], tuple[Value, ...]], by_name: bool = False
    ) -> dict[str, Node]:
        """All nodes by name, in the order of `protos`; `values_of` turns the text of a data input into values.

        With `by_name`, a node's bare name is the text of its first output, which spares most calls of `values_of`
        and keeps one object for each name.

        Raises:
            GraphError: for a name that stands twice.
        """
        # One loop, with little called for the ordinary node: protocol-buffer access dominates reading, and Python
        # calls come next. So a node is taken from its wire form, which without name and inputs is the key of what was
        # read before; a length of two bytes is rare, and read in the ordinary way.
        nodes: dict[str, Node] = {}
        in_order = by_name
        known: dict[str, tuple[Value, ...]] = {}
        shared, new = self._shared, tuple.__new__
        for proto in protos:
            wire = proto.SerializeToString()  # in any order: equal bytes mean equal attributes, others are compared
            texts: list[str] = []
            size = len(wire)
            try:
                lengths = wire[1]
                start = lengths + 2
                name, length = wire[2:start].decode(), wire[start + 1]
                lengths |= length  # if any had two bytes, so has this
                at = start + 2 + length
                op = wire[start:at]
                while at < size and wire[at] == _INPUT:
                    length = wire[at + 1]
                    lengths |= length
                    end = at + 2 + length
                    texts.append(wire[at + 2 : end].decode())
                    at = end
                is_short = lengths < LENGTH and wire[0] == _NAME and wire[start] == _OP
                is_short = is_short and (at == size or wire[at] in _LATER_TAGS)
            except (IndexError, UnicodeDecodeError):
                is_short = False
            if not is_short:
                name, texts = proto.name, list(proto.input)
            inputs: tuple[Value, ...] = ()
            controls = NO_CONTROLS
            for text in texts:
                values = known.get(text)
                if values is None:
                    if text[:1] == "^":
                        source = known.get(text[1:]) if by_name else None
                        control = source[0].node if source else text[1:]
                        in_order = in_order and control in nodes
                        controls |= {control}
                        continue
                    values = known[text] = values_of(text)
                    in_order = in_order and values[0].node in nodes
                inputs = inputs + values if inputs else values
            rest = op + wire[at:] if is_short and size - at < _SHARED_LIMIT else None
            found = None if rest is None else shared.get(rest)
            kind, attrs, device = self._read_rest(proto, rest) if found is None else found
            if name in nodes:
                raise GraphError(f"two nodes are called {name!r}")
            nodes[name] = new(Node, (name, kind, inputs, controls, attrs, device))
            if by_name:
                known[name] = (new(Value, (name, 0)),)
        self.in_order = in_order
        return nodes

    def _read_rest(self, proto: Any, rest: bytes | None) -> tuple[str, Attrs, str]:
        """Op, attributes and device of a node, noted under the parts of its wire form that hold just them."""
        op, device = intern(proto.op), intern(proto.device)
        if rest is None:
            return op, read_attrs(proto.attr), device
        found = self._shared[rest] = op, self._attrs.read(op, rest, proto), device
        return found


def write_inputs(node: Node, before: Node | None, proto: Any, text_of: Callable[[Value], str]) -> None:
    """Bring the inputs of the existing `NodeDef` `proto` in line with `node`; without `before`, spell all anew."""
    if before is None or node.controls != before.controls or not _one_text_each(proto, before, node):
        listed = [text[1:] for text in proto.input if text.startswith("^")]
        ordered = [name for name in dict.fromkeys(listed) if name in node.controls]
        ordered += sorted(node.controls.difference(ordered))
        del proto.input[:]
        proto.input.extend([text_of(value) for value in node.inputs] + [f"^{name}" for name in ordered])
        return
    for index, value in enumerate(node.inputs):
        if value != before.inputs[index]:
            proto.input[index] = text_of(value)


def write_new(node: Node, proto: Any, text_of: Callable[[Value], str]) -> None:
    """Fill the empty `NodeDef` `proto` with a node that no proto says yet."""
    proto.name, proto.op, proto.device = node.name, node.op, node.device
    write_inputs(node, None, proto, text_of)
    for name, attr in node.attrs.items():
        write_attr(attr, proto.attr[name])


def _one_text_each(proto: Any, before: Node, node: Node) -> bool:
    """Whether each input has a text of its own, before and after (a text may name a whole list of tensors)."""
    return len(proto.input) == len(before.inputs) + len(before.controls) and len(before.inputs) == len(node.inputs)


def write_meaning(node: Node, before: Node, proto: Any) -> None:
    """Write what changed of op, device and attributes."""
    proto.op = node.op
    proto.device = node.device
    for name in before.attrs:
        if name not in node.attrs:
            del proto.attr[name]
    for name, attr in node.attrs.items():
        if before.attrs.get(name) != attr:
            proto.attr[name].Clear()
            write_attr(attr, proto.attr[name])
