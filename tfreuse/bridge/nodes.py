"""`NodeDef`s to nodes and back; attribute sets that are equal on the wire are read once and shared."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tfreuse.bridge.attrs import read_attrs, write_attr
from tfreuse.errors import GraphError
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.graph import NO_CONTROLS, Node, Value

_NAME_TAG = b"\x0a"
_LATER_TAGS = frozenset({b"", b"\x22", b"\x2a", b"\x32", b"\x3a"})
"""The wire tags of `NodeDef.name`, and of what stands behind the inputs (node_def.proto)."""

_SHARED_LIMIT = 4096
"""Nodes longer than this (constants with large values) are not worth a place in the table of shared attributes."""


class NodeReader:
    """Reads `NodeDef`s; attributes, and sets of them, are shared by all nodes, of all graphs, that it reads."""

    def __init__(self) -> None:
        self._known: dict[bytes, Attr] = {}
        self._shared: dict[bytes, tuple[Attrs, str]] = {}

    def read(self, protos: Iterable[Any], values_of: Callable[[str], tuple[Value, ...]]) -> dict[str, Node]:
        """All nodes by name, in the order of `protos`; `values_of` turns the text of a data input into values.

        Raises:
            GraphError: for a name that stands twice.
        """
        # One loop, with nothing called for the ordinary node: protocol-buffer access dominates reading, and
        # Python calls come next.
        nodes: dict[str, Node] = {}
        known: dict[str, tuple[Value, ...]] = {}
        shared = self._shared
        for proto in protos:
            name = proto.name
            op = proto.op
            texts = proto.input[:]
            inputs: list[Value] = []
            controls = NO_CONTROLS
            size = len(name) + len(op)
            for text in texts:
                size += len(text)
                values = known.get(text)
                if values is None:
                    if text[:1] == "^":
                        controls |= {text[1:]}
                        continue
                    values = known[text] = values_of(text)
                inputs += values
            head = size + 2 * len(texts) + 4  # each text has a tag and a length, of one byte up to 127
            if size > 127:
                head += sum([len(text) > 127 for text in (name, op, *texts)])
            wire = proto.SerializeToString(deterministic=True)
            rest = wire[head:] if len(wire) < _SHARED_LIMIT else None
            found = shared.get(rest) if rest is not None and wire[:1] == _NAME_TAG and name.isascii() else None
            attrs, device = self._read_rest(proto, rest, name) if found is None else found
            if name in nodes:
                raise GraphError(f"two nodes are called {name!r}")
            nodes[name] = Node(name, op, tuple(inputs), controls, attrs, device)
        return nodes

    def _read_rest(self, proto: Any, rest: bytes | None, name: str) -> tuple[Attrs, str]:
        """Attributes and device of a node, noted under the part of its wire form that holds just them."""
        found = read_attrs(proto.attr, None if rest is None else self._known), proto.device
        # Fields stand in the order of their numbers: name, op and inputs first, whose lengths are known.
        if rest is not None and rest[:1] in _LATER_TAGS and name.isascii():
            self._shared[rest] = found
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
