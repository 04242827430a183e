"""Printing and parsing are inverse to each other; what does not parse is refused with its line."""

from __future__ import annotations

import struct
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.programs import Shape, modules
from tests.engine.test_soundness import examples
from tfreuse.errors import GraphError
from tfreuse.ir.attrs import Attr, Attrs, Func, Tensor, attr_float, attr_int, attr_type
from tfreuse.ir.dtypes import NAMES, NUMBERS
from tfreuse.ir.graph import Graph, Module, Node, Value
from tfreuse.ir.parse import parse_graph, parse_module
from tfreuse.ir.text import print_attr, print_graph, print_module, print_node

IDENTIFIERS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
NODE_NAMES = st.from_regex(r"[A-Za-z.][A-Za-z0-9_.\\/>-]{0,12}", fullmatch=True).filter(lambda name: name != "graph")
TYPES = st.sampled_from(sorted(NAMES))
SHAPES = st.none() | st.lists(st.integers(-1, 5), max_size=3).map(tuple)
FLOATS = st.binary(min_size=4, max_size=4)
STRINGS = st.binary(max_size=8)


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    dtype = draw(st.sampled_from([n for n in sorted(NAMES) if NAMES[n] not in ("resource", "variant", "string")]))
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    size = {"float": 4, "double": 8, "int32": 4, "int64": 8}.get(NAMES[dtype], 2)
    if NAMES[dtype] == "bool":
        return Tensor(dtype, shape, draw(st.lists(st.sampled_from([0, 1]), max_size=4).map(bytes)))
    return Tensor(
        dtype, shape, draw(st.integers(0, 3).flatmap(lambda n: st.binary(min_size=n * size, max_size=n * size)))
    )


STRING_TENSORS = st.lists(STRINGS, max_size=3).map(
    lambda elements: Tensor(NUMBERS["string"], (len(elements),), tuple(elements))
)


def list_of(kind: str, elements: list[object]) -> Attr:
    return Attr("list", (kind, tuple(elements)))


def attributes(depth: int = 1) -> st.SearchStrategy[Attr]:
    plain: dict[str, st.SearchStrategy[object]] = {
        "s": STRINGS,
        "i": st.integers(-(2**63), 2**63 - 1),
        "f": FLOATS,
        "b": st.booleans(),
        "type": TYPES,
        "shape": SHAPES,
        "tensor": tensors() | STRING_TENSORS,
    }
    if depth:
        plain["func"] = st.builds(Func, st.text(max_size=6), attr_sets(depth - 1))
    single = [st.builds(Attr, st.just(kind), values) for kind, values in plain.items()]
    lists = [st.lists(values, min_size=1, max_size=3).map(partial(list_of, kind)) for kind, values in plain.items()]
    names = st.builds(Attr, st.just("placeholder"), st.text(max_size=5))
    return st.one_of(*single, *lists, names, st.just(Attr("list", ("", ()))))


def attr_sets(depth: int = 1) -> st.SearchStrategy[Attrs]:
    return st.dictionaries(IDENTIFIERS, attributes(depth), max_size=3).map(Attrs)


def read_back(node: Node) -> Node:
    return next(iter(parse_graph(f"  {print_node(node)}").nodes.values()))


@examples(150)
@given(attr_sets())
def test_attributes_come_back(attrs: Attrs) -> None:
    node = Node("n", "Op", attrs=attrs)
    found = read_back(node)
    assert found == node
    assert hash(found.attrs) == hash(attrs)


@examples(100)
@given(NODE_NAMES, NODE_NAMES, st.integers(0, 3), st.text(max_size=8))
def test_names_ports_and_devices_come_back(name: str, other: str, port: int, device: str) -> None:
    node = Node(name, "Addons>Op", (Value(other, port), Value(name)), frozenset({other}), device=device)
    assert read_back(node) == node


@examples(50)
@given(modules(Shape(handles=True)))
def test_modules_come_back(module: Module) -> None:
    text = print_module(module)
    found = parse_module(text)
    assert found == module
    assert [list(graph.nodes) for graph in found.graphs.values()] == [list(g.nodes) for g in module.graphs.values()]
    assert print_module(found) == text


def test_all_parts_of_a_graph_come_back() -> None:
    text = (
        'graph "f/1"\n'
        "  x = _Arg()\n"
        '  y = Op(x, x:2) {a: 1} ^x @"/device:CPU:0"\n'
        "  argument x\n"
        "  output y = y:1\n"
        "  control done = y\n"
        "  kept y\n"
        "  frozen x\n"
    )
    graph = parse_graph(text)
    assert graph.name == "f/1"
    assert graph.nodes["y"].inputs == (Value("x"), Value("x", 2))
    assert graph.outputs == (("y", Value("y", 1)),)
    assert graph.control_outputs == (("done", "y"),)
    assert graph.kept == {"y"}
    assert graph.frozen == {"x"}
    assert print_graph(graph) == text


@pytest.mark.parametrize("word", ["argument", "output", "control", "kept", "frozen", "tensor", "true", "float"])
def test_words_of_the_text_form_are_names_too(word: str) -> None:
    node = Node(word, "Op", (Value(word),))
    assert read_back(node) == node


def test_comments_and_empty_lines_are_skipped() -> None:
    graph = parse_graph('# a comment\n\n  n = Op() {a: "#"}  # another\n')
    assert graph.nodes["n"].attrs.value("a") == b"#"


@pytest.mark.parametrize(
    ("attr", "text"),
    [
        (attr_int(-1), "-1"),
        (attr_float(0.5), "0.5f"),
        (attr_float(-0.0), "-0.0f"),
        (attr_float(1e30), "1.0000000150474662e+30f"),
        (Attr("f", bytes.fromhex("0000c07f")), "x0000c07ff"),
        (attr_type(1), "float"),
        (attr_type(101), "float_ref"),
        (Attr("b", True), "true"),
        (Attr("s", b'a"\\\n\xff'), '"a\\x22\\x5c\\x0a\\xff"'),
        (Attr("shape", None), "<*>"),
        (Attr("shape", ()), "<>"),
        (Attr("shape", (-1, 3)), "<?, 3>"),
        (Attr("list", ("i", (1, 2))), "[i: 1, 2]"),
        (Attr("list", ("", ())), "[]"),
        (Attr("func", Func("f", Attrs({"T": attr_type(1)}))), '@"f"{T: float}'),
        (Attr("tensor", Tensor(1, (4,), struct.pack("<f", 1.5))), "tensor(float, [4], 1.5)"),
        (Attr("tensor", Tensor(19, (2,), b"\x00\x3c")), "tensor(half, [2], x003c)"),
        (Attr("tensor", Tensor(1, (), bytes.fromhex("0000c07f"))), "tensor(float, [], x0000c07f)"),
        (Attr("tensor", Tensor(7, (1,), (b"a",))), 'tensor(string, [1], "a")'),
    ],
)
def test_how_attributes_look(attr: Attr, text: str) -> None:
    assert print_attr(attr) == text


@pytest.mark.parametrize(
    "line",
    [
        "n",
        "n = ",
        "n = Op",
        "n = Op(",
        "n = Op() {a}",
        "n = Op() {a: }",
        "n = Op() {a: nonsense}",
        "n = Op() {a: tensor(float)}",
        "n = Op() ^",
        "n = Op() n",
        "n = Op() ยง",
        'n = Op() {a: "open}',
        "output y",
        "argument",
    ],
)
def test_what_does_not_parse_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(GraphError, match="line 2"):
        parse_graph(f"m = Op()\n{line}")


def test_a_node_defined_twice_is_refused() -> None:
    with pytest.raises(GraphError, match="'n' is defined twice"):
        parse_graph("n = Op()\nn = Op()")


@pytest.mark.parametrize("attr", [attr_type(0), attr_type(26), Attr("tensor", Tensor(26, (1,), b"\x01"))])
def test_types_without_a_name_come_back(attr: Attr) -> None:
    node = Node("n", "Op", attrs=Attrs({"a": attr}))
    assert read_back(node) == node


@pytest.mark.parametrize("name", ["graph", "0", "1e5", "1.5", "1-a"])
def test_unusual_node_names_come_back(name: str) -> None:
    graph = Graph("", {name: Node(name, "Op", (Value(name),), frozenset({name}))})
    assert parse_graph(print_graph(graph)).nodes == graph.nodes
