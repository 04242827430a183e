"""Attributes of a `NodeDef` from its wire form: what was read before is told by its bytes, and not read again.

The wire form is the encoding of protocol buffers: a tag, a length and so many bytes for each field. Only lengths of one
byte (up to 127) are looked at here; the rest is left to the protocol-buffer library.
"""

from __future__ import annotations

from sys import intern
from typing import Any, NamedTuple

from tfreuse.bridge.attrs import read_attr, read_attrs
from tfreuse.bridge.tensors import read_elements
from tfreuse.ir.attrs import Attr, Attrs, Tensor

ATTR = 0x2A
"""The tag of an attribute, an entry of a map: a key as field 1, a value as field 2 (node_def.proto)."""
_KEY, _VALUE = 0x0A, 0x12
_BYTES, _TENSOR = 0x12, 0x42
"""Tags of an `AttrValue` that holds `s`, or `tensor` (attr_value.proto)."""
_TYPE, _SHAPE = 0x08, 0x12
"""Tags of the first fields of a `TensorProto`."""
LENGTH = 128
"""The first length that takes two bytes."""


class _Template(NamedTuple):
    """A set in which one attribute was new: its wire form in front of that and behind it, how that begins, its name."""

    before: bytes
    after: bytes
    head: bytes
    name: str
    attrs: Attrs


class AttrReader:
    """Reads sets of attributes; single ones are shared by all sets that have them.

    Most nodes of an op differ from the one before in one attribute (a constant in its value, a variable in its name),
    so the last set of each op that did is a template for the next.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Attr] = {}
        self._entries: dict[bytes, tuple[str, Attr]] = {}
        self._templates: dict[str, _Template] = {}
        self._tensors: dict[bytes, Tensor] = {}

    def read(self, op: str, rest: bytes, proto: Any) -> Attrs:
        """The attributes of the `NodeDef` `proto`; `rest` is what its wire form has beside name and inputs."""
        template = self._templates.get(op)
        if template is not None:
            before, after, head, name, attrs = template
            entry = rest[len(before) : len(rest) - len(after)]
            if _is_entry(entry, head) and rest.startswith(before) and rest.endswith(after):
                return attrs.replaced(name, self._attr(entry[len(head) + 3 :], name, proto))
        found = self._entry_by_entry(op, rest, proto)
        return read_attrs(proto.attr, self._known) if found is None else found

    def _entry_by_entry(self, op: str, rest: bytes, proto: Any) -> Attrs | None:
        """The attributes, asking `proto` only for values not seen before; None for a length of two bytes."""
        found: dict[str, Attr] = {}
        new: list[tuple[int, int, bytes, str]] = []
        entries, at, size = self._entries, 0, len(rest)
        try:
            while at < size:
                end = at + 2 + rest[at + 1]
                if rest[at + 1] >= LENGTH:
                    return None
                if rest[at] == ATTR:
                    entry = rest[at:end]
                    pair = entries.get(entry)
                    if pair is None:
                        head = entry[2 : 5 + entry[3]]
                        if not _is_entry(entry, head):
                            return None
                        name = intern(head[2:-1].decode())
                        pair = entries[entry] = name, self._attr(entry[len(head) + 3 :], name, proto)
                        new.append((at, end, head, name))
                    found[pair[0]] = pair[1]
                at = end
        except IndexError:
            return None
        attrs = Attrs(found)
        if len(new) == 1:
            ((at, end, head, name),) = new
            self._templates[op] = _Template(rest[:at], rest[end:], head, name, attrs)
        return attrs

    def _attr(self, wire: bytes, name: str, proto: Any) -> Attr:
        """The attribute of that wire form and that name."""
        body = wire[2:]
        if wire[:2] == bytes((_BYTES, len(body))):
            return Attr("s", body)
        if wire[:2] != bytes((_TENSOR, len(body))) or len(body) < 5 or body[0] != _TYPE or body[2] != _SHAPE:
            return read_attr(proto.attr[name])
        head = body[: 4 + body[3]]
        like = self._tensors.get(head)
        tensor = None if like is None else read_elements(body[len(head) :], like)
        if tensor is not None:
            return Attr("tensor", tensor)
        attr = read_attr(proto.attr[name])
        if isinstance(attr.value, Tensor) and max(body[1], body[3]) < LENGTH:
            self._tensors[head] = attr.value
        return attr


def _is_entry(entry: bytes, head: bytes) -> bool:
    """Whether these bytes are one attribute, whose key is in `head` with the tag of the value behind it."""
    key = len(head) + 2
    return (
        len(entry) > key
        and entry[2:key] == head
        and entry[0] == ATTR
        and entry[1] == len(entry) - 2 < LENGTH
        and head[0] == _KEY
        and head[1] == len(head) - 3
        and head[-1] == _VALUE
        and entry[key] == len(entry) - key - 1
    )
