"""Reads the text form of graphs (`tfreuse.ir.text` describes it)."""

from __future__ import annotations

import json
import re
import struct
from typing import Any

from tfreuse.errors import GraphError
from tfreuse.ir import dtypes
from tfreuse.ir.attrs import Attr, Attrs, Func, Tensor, attr_float
from tfreuse.ir.graph import Graph, Module, Node, Value
from tfreuse.ir.text import STRUCT_CODES

_TOKEN = re.compile(
    r'\s+|(?P<comment>#.*)|(?P<string>"(?:[^"\\]|\\.)*")'
    r"|(?P<number>-?\d+(?:\.\d+(?:[eE][-+]?\d+)?|[eE][-+]?\d+)?f?(?![A-Za-z0-9_./]))"
    r"|(?P<name>[A-Za-z0-9_.][A-Za-z0-9_.\-/>\\]*)|(?P<sign>[=(){}\[\]<>,:^@$*?])"
)


def parse_module(text: str) -> Module:
    """The module that `text` describes.

    Raises:
        GraphError: naming the line that does not parse.
    """
    graphs: dict[str, Graph] = {}
    lines: list[str] = []
    for line in [*text.splitlines(), 'graph ""']:
        if line.startswith("graph ") and any(earlier.strip() for earlier in lines):
            graph = parse_graph("\n".join(lines))
            graphs[graph.name] = graph
            lines = []
        if line.strip() and not line.lstrip().startswith("#"):
            lines.append(line)
    return Module(graphs)


def parse_graph(text: str) -> Graph:
    """The one graph that `text` describes; the first line may be left out for the main graph.

    Raises:
        GraphError: naming the line that does not parse.
    """
    name, attrs = "", Attrs()
    nodes: dict[str, Node] = {}
    parts: dict[str, list[Any]] = {key: [] for key in ("argument", "output", "control", "kept", "frozen")}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            cursor = _Cursor(line)
            if cursor.at_end():
                continue
            is_keyword = cursor.tokens[0][0] == "name"
            word = cursor.name()
            if is_keyword and word == "graph" and not cursor.sees("="):
                name = cursor.quoted()
                attrs = _attrs(cursor) if cursor.sees("{") else attrs
            elif is_keyword and word in parts and not cursor.sees("="):
                parts[word].append(_part(word, cursor))
            else:
                node = _node(word, cursor)
                if node.name in nodes:
                    raise GraphError(f"{node.name!r} is defined twice")
                nodes[node.name] = node
            cursor.expect_end()
        except (GraphError, KeyError, ValueError) as error:
            raise GraphError(f"line {number}: {error}: {line.strip()}") from None
    return Graph(
        name,
        nodes,
        arguments=tuple(parts["argument"]),
        outputs=tuple(parts["output"]),
        control_outputs=tuple(parts["control"]),
        kept=frozenset(parts["kept"]),
        frozen=frozenset(parts["frozen"]),
        attrs=attrs,
    )


class _Cursor:
    """The tokens of one line and the place reached in them."""

    def __init__(self, line: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        position = 0
        while position < len(line):
            match = _TOKEN.match(line, position)
            if match is None:
                raise GraphError(f"cannot read {line[position:]!r}")
            if match.lastgroup not in (None, "comment"):
                self.tokens.append((str(match.lastgroup), match.group()))
            position = match.end()
        self.at = 0

    def at_end(self) -> bool:
        return self.at == len(self.tokens)

    def expect_end(self) -> None:
        if not self.at_end():
            raise GraphError(f"unexpected {self.tokens[self.at][1]!r}")

    def sees(self, sign: str) -> bool:
        return not self.at_end() and self.tokens[self.at][1] == sign

    def accept(self, sign: str) -> bool:
        found = self.sees(sign)
        self.at += found
        return found

    def take(self, *kinds: str) -> str:
        if self.at_end() or self.tokens[self.at][0] not in kinds:
            raise GraphError(f"expected {' or '.join(kinds)}")
        self.at += 1
        return self.tokens[self.at - 1][1]

    def expect(self, sign: str) -> None:
        if not self.accept(sign):
            raise GraphError(f"expected {sign!r}")

    def name(self) -> str:
        """The name of a node, quoted or not."""
        token = self.take("name", "number", "string")
        return str(json.loads(token)) if token.startswith('"') else token

    def quoted(self) -> str:
        return str(json.loads(self.take("string")))


def _part(word: str, cursor: _Cursor) -> Any:
    label = cursor.name()
    if word in ("argument", "kept", "frozen"):
        return label
    cursor.expect("=")
    value = _value(cursor)
    return (label, value) if word == "output" else (label, value.node)


def _node(name: str, cursor: _Cursor) -> Node:
    cursor.expect("=")
    op = cursor.take("name")
    inputs: list[Value] = []
    cursor.expect("(")
    while not cursor.accept(")"):
        inputs.append(_value(cursor))
        cursor.accept(",")
    attrs = _attrs(cursor) if cursor.sees("{") else Attrs()
    controls = set()
    while cursor.accept("^"):
        controls.add(cursor.name())
    device = cursor.quoted() if cursor.accept("@") else ""
    return Node(name, op, tuple(inputs), frozenset(controls), attrs, device)


def _value(cursor: _Cursor) -> Value:
    name = cursor.name()
    return Value(name, int(cursor.take("number")) if cursor.accept(":") else 0)


def _attrs(cursor: _Cursor) -> Attrs:
    items: dict[str, Attr] = {}
    cursor.expect("{")
    while not cursor.accept("}"):
        name = cursor.take("name")
        cursor.expect(":")
        items[name] = _attr(cursor)
        cursor.accept(",")
    return Attrs(items)


def _attr(cursor: _Cursor) -> Attr:
    if cursor.accept("["):
        return _list(cursor)
    if cursor.accept("<"):
        return Attr("shape", _shape(cursor))
    if cursor.accept("@"):
        return Attr("func", Func(cursor.quoted(), _attrs(cursor)))
    if cursor.accept("$"):
        return Attr("placeholder", cursor.quoted())
    kind, token = cursor.tokens[cursor.at] if not cursor.at_end() else ("", "")
    cursor.at += 1
    if kind == "string":
        return Attr("s", _bytes(token))
    if kind == "number":
        return attr_float(float(token[:-1])) if token.endswith("f") else Attr("i", int(token))
    if token in ("true", "false"):
        return Attr("b", token == "true")
    if token == "tensor":
        return Attr("tensor", _tensor(cursor))
    if re.fullmatch(r"x[0-9a-f]{8}f", token):
        return Attr("f", bytes.fromhex(token[1:-1]))
    return Attr("type", dtypes.number_of(token))


def _list(cursor: _Cursor) -> Attr:
    if cursor.accept("]"):
        return Attr("list", ("", ()))
    kind = cursor.take("name")
    cursor.expect(":")
    elements = []
    while not cursor.accept("]"):
        elements.append(_attr(cursor).value)
        cursor.accept(",")
    return Attr("list", (kind, tuple(elements)))


def _shape(cursor: _Cursor) -> tuple[int, ...] | None:
    if cursor.accept("*"):
        cursor.expect(">")
        return None
    dims: list[int] = []
    while not cursor.accept(">"):
        dims.append(-1 if cursor.accept("?") else int(cursor.take("number")))
        cursor.accept(",")
    return tuple(dims)


def _tensor(cursor: _Cursor) -> Tensor:
    cursor.expect("(")
    dtype = dtypes.number_of(cursor.take("name"))
    cursor.expect(",")
    cursor.expect("[")
    shape = []
    while not cursor.accept("]"):
        shape.append(int(cursor.take("number")))
        cursor.accept(",")
    elements: list[bytes] = []
    while cursor.accept(","):
        kind, token = cursor.tokens[cursor.at]
        cursor.at += 1
        if kind == "string":
            elements.append(_bytes(token))
        elif token.startswith("x"):
            elements.append(bytes.fromhex(token[1:]))
        else:
            elements.append(_number(dtype, token))
    cursor.expect(")")
    if dtype == dtypes.NUMBERS["string"]:
        return Tensor(dtype, tuple(shape), tuple(elements))
    return Tensor(dtype, tuple(shape), b"".join(elements))


def _number(dtype: int, token: str) -> bytes:
    code = STRUCT_CODES[dtype]
    if code == "<?":
        return struct.pack(code, token == "true")
    return struct.pack(code, float(token) if code in ("<f", "<d") else int(token))


def _bytes(token: str) -> bytes:
    return re.sub(
        rb"\\x([0-9a-f]{2})|\\(.)", lambda m: bytes.fromhex(m[1].decode()) if m[1] else m[2], token[1:-1].encode()
    )
