"""The text form of graphs, printed: one node a line, for golden tests, reproducers and diffs.

    graph ""
      x = Placeholder() {dtype: float}
      r = ReadVariableOp(v) {dtype: float} ^assign @"/device:CPU:0"
      y = Conv2D(x, r) {T: float, padding: "SAME", strides: [i: 1, 1, 1, 1]}
      argument x
      output y = y:0
      control assign = assign
      kept y
      frozen save

A function's own attributes stand behind its name: ``graph "f" {_noinline: true}``.
`tfreuse.ir.parse` reads it back; printing and parsing are inverse to each other.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterator

from tfreuse.ir import dtypes
from tfreuse.ir.attrs import Attr, Attrs, Tensor
from tfreuse.ir.graph import Graph, Module, Node, Value

STRUCT_CODES: dict[int, str] = {1: "<f", 2: "<d", 3: "<i", 9: "<q", 10: "<?"}
"""Tensors of these types print their elements as numbers; all others print bytes."""

_PLAIN_NAME = re.compile(r"(?!graph$)[A-Za-z_][A-Za-z0-9_.\-/>\\]*")
"""Names that are written as they are; others, `0` or `1e5`, are quoted."""


def print_module(module: Module) -> str:
    """All graphs of the module, the main graph first as the module lists them."""
    return "\n".join(print_graph(graph) for graph in module.graphs.values())


def print_graph(graph: Graph) -> str:
    """The graph as text, ending with a newline."""
    return "\n".join(_lines(graph)) + "\n"


def print_node(node: Node) -> str:
    """One node as one line, without indentation."""
    text = f"{print_name(node.name)} = {node.op}({', '.join(print_value(value) for value in node.inputs)})"
    if node.attrs:
        text += f" {print_attrs(node.attrs)}"
    for control in sorted(node.controls):
        text += f" ^{print_name(control)}"
    if node.device:
        text += f" @{json.dumps(node.device)}"
    return text


def print_value(value: Value) -> str:
    """`node` for port 0, `node:port` for the others."""
    return print_name(value.node) if value.port == 0 else f"{print_name(value.node)}:{value.port}"


def print_name(name: str) -> str:
    """A node's name, quoted if it could be taken for something else."""
    return name if _PLAIN_NAME.fullmatch(name) else json.dumps(name)


def print_attrs(attrs: Attrs) -> str:
    """`{name: value, ...}` in the order of the names."""
    return "{" + ", ".join(f"{name}: {print_attr(attr)}" for name, attr in attrs.items()) + "}"


def print_attr(attr: Attr) -> str:
    """An attribute such that its kind and exact bits can be read back."""
    kind, value = attr
    if kind == "list":
        element_kind, elements = value
        if not elements:
            return "[]"
        return f"[{element_kind}: " + ", ".join(print_attr(Attr(element_kind, e)) for e in elements) + "]"
    if kind == "s":
        return print_bytes(value)
    if kind == "i":
        return str(value)
    if kind == "f":
        return print_float(value)
    if kind == "b":
        return "true" if value else "false"
    if kind == "type":
        return dtypes.name_of(value)
    if kind == "shape":
        return "<*>" if value is None else "<" + ", ".join("?" if d < 0 else str(d) for d in value) + ">"
    if kind == "func":
        return f"@{json.dumps(value.name)}{print_attrs(value.attrs)}"
    if kind == "placeholder":
        return f"${json.dumps(value)}"
    if kind == "tensor":
        return _print_tensor(value)
    return f"opaque({kind}, {print_bytes(value)})"


def print_bytes(value: bytes) -> str:
    """A quoted string; bytes that are no printable ASCII are escaped as \\xNN."""
    text = "".join(chr(byte) if 32 <= byte < 127 and byte not in (34, 92) else f"\\x{byte:02x}" for byte in value)
    return f'"{text}"'


def print_float(bits: bytes) -> str:
    """A float32 as `0.1f`, or by its bits as `x0000c07ff` where a decimal would not be exact (NaN payloads)."""
    (number,) = struct.unpack("<f", bits)
    if math.isfinite(number) and struct.pack("<f", number) == bits:
        return f"{number!r}f"
    return f"x{bits.hex()}f"


def _print_tensor(tensor: Tensor) -> str:
    head = f"tensor({dtypes.name_of(tensor.dtype)}, [{', '.join(map(str, tensor.shape))}]"
    return head + "".join(f", {element}" for element in _elements(tensor)) + ")"


def _elements(tensor: Tensor) -> Iterator[str]:
    if isinstance(tensor.elements, tuple):
        yield from (print_bytes(element) for element in tensor.elements)
        return
    code = STRUCT_CODES.get(tensor.dtype)
    if code is None:
        yield f"x{tensor.elements.hex()}"
        return
    size = struct.calcsize(code)
    for start in range(0, len(tensor.elements), size):
        chunk = tensor.elements[start : start + size]
        (number,) = struct.unpack(code, chunk)
        if isinstance(number, float) and not math.isfinite(number):
            yield f"x{chunk.hex()}"
        else:
            yield ("true" if number else "false") if isinstance(number, bool) else repr(number)


def _lines(graph: Graph) -> Iterator[str]:
    yield f"graph {json.dumps(graph.name)}" + (f" {print_attrs(graph.attrs)}" if graph.attrs else "")
    for node in graph.nodes.values():
        yield f"  {print_node(node)}"
    for name in graph.arguments:
        yield f"  argument {print_name(name)}"
    for label, value in graph.outputs:
        yield f"  output {print_name(label)} = {print_value(value)}"
    for label, name in graph.control_outputs:
        yield f"  control {print_name(label)} = {print_name(name)}"
    for name in sorted(graph.kept):
        yield f"  kept {print_name(name)}"
    for name in sorted(graph.frozen):
        yield f"  frozen {print_name(name)}"
