"""Which functions are taken to have equal bodies: both sides of every rule."""

from __future__ import annotations

import random

import pytest

from tests.engine.build import module
from tfreuse.analysis.fingerprint import Fingerprints
from tfreuse.ir.graph import Module
from tfreuse.testing.golden import constant_hashes
from tfreuse.testing.schemas import snapshot_ops
from tfreuse.validate.bodies import Bodies
from tfreuse.validate.touches import Touches

OPS = snapshot_ops()
F = """
graph "f" {_noinline: true}
  x = _Arg() {T: float}
  v = _Arg() {T: resource}
  r = ReadVariableOp(v) {dtype: float}
  c = Const() {dtype: float, value: tensor(float, [], 1.0)}
  a = Mul(x, c) {T: float}
  w = AssignAddVariableOp(v, c) {dtype: float} ^r
  y = Sub(a, r) {T: float} ^w
  argument x
  argument v
  output y = y
  output x = x
  control w = w
"""
"""A function with a bit of everything; `g` below is it with one thing changed."""


def classes(found: Module) -> list[list[str]]:
    """The classes, which the proof must agree to, also where all hashes collide."""
    fingerprints = Fingerprints(found, OPS)
    with constant_hashes():
        assert Fingerprints(found, OPS).classes() == fingerprints.classes()
    claims = {name: fingerprints.alike(name) for first, *others in fingerprints.classes() for name in others}
    bodies = Bodies(found, OPS, Touches(found, OPS), claims)
    assert all(bodies.first(name) == claim.first for name, claim in claims.items())
    return fingerprints.classes()


def equal(one: str, other: str, more: str = "") -> bool:
    return ["f", "g"] in classes(module("\n".join([one, other, more])))


def changed(*changes: str) -> str:
    """`F` under the name `g`, with each `OLD -> NEW` carried out; OLD must be there."""
    text = F.replace('graph "f"', 'graph "g"')
    for change in changes:
        old, new = change.split(" -> ")
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    "changes",
    [
        (),
        ("r = Read -> read = Read", "a, r) -> a, read)", "^r -> ^read"),
        ("x = _Arg -> first = _Arg", "(x, -> (first,", "argument x -> argument first", "= x -> = first"),
        ("output y = -> output result = ", "control w = -> control effect = "),
        ("Mul(x, c) {T: float} -> Mul(x, c) {T: float, _output_shapes: [shape: <2>]}",),
        ("{_noinline: true} -> {_input_shapes: [shape: <2>], _noinline: true}",),
        ("  argument x\n ->   dead = Exp(a) {T: float}\n  argument x\n",),
        ("= ReadVariableOp(v) {dtype: float} -> = ReadVariableOp(v:0) {dtype: float}",),
    ],
    ids=["nothing", "a node", "an argument", "outputs", "shapes", "shapes of arguments", "dead", "spelling"],
)
def test_names_and_the_like_are_no_difference(changes: tuple[str, ...]) -> None:
    assert equal(F, changed(*changes))


@pytest.mark.parametrize(
    "change",
    [
        "Mul -> AddV2",
        "Mul(x, c) -> Mul(c, x)",
        "Sub(a, r) -> Sub(r, a)",
        "[], 1.0 -> [], -1.0",
        "[], 1.0 -> [1], 1.0",
        "y = Sub(a, r) {T: float} ^w -> y = Sub(a, r) {T: float}",
        " ^r -> ",
        "  control w = w -> ",
        "output x = x -> output x = a",
        "  output x = x\n -> ",
        "  output y = y\n  output x = x ->   output x = x\n  output y = y",
        "  argument x\n  argument v ->   argument v\n  argument x",
        "x = _Arg() {T: float} -> x = _Arg() {T: double}",
        "x = _Arg() {T: float} -> x = _Arg() {T: float, _resource_arg_unique_id: 1}",
        "_noinline: true -> _noinline: false",
        "{_noinline: true} -> ",
        '(x, c) {T: float} -> (x, c) {T: float} @"/device:GPU:0"',
        "(x, c) {T: float} -> (x, c) {T: float, _XlaCompile: true}",
        '(x, c) {T: float} -> (x, c) {T: float, _gradient_op_type: "CustomGradient-7"}',
        "  argument x\n ->   p = PrintV2(s)\n  s = StringJoin() {N: 0}\n  argument x\n",
        "  argument x\n ->   z = _Arg() {T: float}\n  argument x\n  argument z\n",
    ],
)
def test_all_else_is(change: str) -> None:
    assert not equal(F, changed(change))


def test_an_attribute_left_out_is_its_default() -> None:
    one = 'graph "f"\n x = _Arg() {T: float}\n y = MatMul(x, x) {T: float}\n argument x\n output y = y'
    other = one.replace('"f"', '"g"').replace("{T: float}\n argument", "{T: float, transpose_a: false}\n argument")
    assert equal(one, other)
    assert not equal(one, other.replace("false", "true"))


def test_the_order_in_which_nodes_are_listed_is_no_difference() -> None:
    found = module(F + changed())
    source = random.Random(0)
    for _ in range(20):
        graph = found.graphs["g"]
        names = source.sample(list(graph.nodes), len(graph.nodes))
        shuffled = graph.evolve({name: graph.nodes[name] for name in names})
        assert classes(Module({"f": found.graphs["f"], "g": shuffled})) == [["f", "g"]]


DRAW = """
graph "{}"
  s = _Arg() {{T: int32}}
  a = RandomUniform(s) {{T: int32, dtype: float}}
  b = RandomUniform(s) {{T: int32, dtype: float}}
  y = Sub({}) {{T: float}}
  z = Neg(b) {{T: float}}
  argument s
  output y = y
  output z = z
"""


def test_one_draw_used_twice_is_not_two_draws() -> None:
    assert equal(DRAW.format("f", "a, b"), DRAW.format("g", "a, b"))
    assert not equal(DRAW.format("f", "a, b"), DRAW.format("g", "a, a"))
    assert not equal(DRAW.format("f", "b, b"), DRAW.format("g", "a, a"))


CALL = """
graph "{}"
  x = _Arg() {{T: float}}
  y = PartitionedCall(x) {{Tin: [type: float], Tout: [type: float], f: @"{}"{{}}}}
  argument x
  output y = y
"""
LEAF = """
graph "{}"
  x = _Arg() {{T: float}}
  y = {}(x) {{T: float}}
  argument x
  output y = y
"""


def test_callees_are_compared_by_what_they_do() -> None:
    calls = CALL.format("f", "h") + CALL.format("g", "i")
    assert classes(module(calls + LEAF.format("h", "Exp") + LEAF.format("i", "Exp"))) == [["f", "g"], ["h", "i"]]
    assert classes(module(calls + LEAF.format("h", "Exp") + LEAF.format("i", "Log"))) == []


def test_a_function_that_nobody_can_read_is_equal_to_itself_alone() -> None:
    assert equal(CALL.format("f", "elsewhere"), CALL.format("g", "elsewhere"))
    assert not equal(CALL.format("f", "elsewhere"), CALL.format("g", "else_where"))


def test_every_function_of_a_node_counts() -> None:
    case = """
graph "{}"
  i = _Arg() {{T: int32}}
  x = _Arg() {{T: float}}
  y = StatelessCase(i, x) {{Tin: [type: float], Tout: [type: float], branches: [func: @"h"{{}}, @"{}"{{}}]}}
  argument i
  argument x
  output y = y
"""
    leaves = LEAF.format("h", "Exp") + LEAF.format("i", "Exp") + LEAF.format("j", "Log")
    assert equal(case.format("f", "h"), case.format("g", "i"), leaves)
    assert not equal(case.format("f", "h"), case.format("g", "j"), leaves)


def test_a_function_called_as_an_op() -> None:
    one = 'graph "f"\n x = _Arg() {T: float}\n y = h(x)\n argument x\n output y = y'
    other = one.replace('"f"', '"g"').replace("h(x)", "i(x)")
    assert equal(one, other, LEAF.format("h", "Exp") + LEAF.format("i", "Exp"))
    assert not equal(one, other, LEAF.format("h", "Exp") + LEAF.format("i", "Log"))


RECURSIVE = """
graph "{}"
  x = _Arg() {{T: float}}
  a = {}(x) {{T: float}}
  y = PartitionedCall(a) {{Tin: [type: float], Tout: [type: float], f: @"{}"{{}}}}
  argument x
  output y = y
"""


def test_recursion_is_equal_where_the_calls_lead_alike() -> None:
    assert equal(RECURSIVE.format("f", "Exp", "f"), RECURSIVE.format("g", "Exp", "g"))
    assert not equal(RECURSIVE.format("f", "Exp", "f"), RECURSIVE.format("g", "Log", "g"))


def test_functions_that_call_each_other() -> None:
    def pair(one: str, other: str, first: str, second: str) -> str:
        return RECURSIVE.format(one, first, other) + RECURSIVE.format(other, second, one)

    assert classes(module(pair("f", "h", "Exp", "Log") + pair("g", "i", "Exp", "Log"))) == [["f", "g"], ["h", "i"]]
    assert classes(module(pair("f", "h", "Exp", "Log") + pair("i", "g", "Log", "Exp"))) == [["f", "g"], ["h", "i"]]
    assert classes(module(pair("f", "h", "Exp", "Log") + pair("g", "i", "Exp", "Sin"))) == []
    unrolled = RECURSIVE.format("g", "Exp", "h")  # does what f does, and is left alone
    assert classes(module(pair("f", "h", "Exp", "Log") + unrolled)) == []


def test_what_is_called_after_its_node_is_equal_under_one_name_only() -> None:
    one = 'graph "f"\n v = VarHandleOp() {dtype: float, shape: <2>, shared_name: "%s"}\n output v = v'
    other = one.replace('"f"', '"g"').replace("v = VarHandleOp", "w = VarHandleOp").replace("= v", "= w")
    assert equal(one % "kernel", other % "kernel")
    assert not equal(one % "", other % "")
    assert equal(one % "", one.replace('"f"', '"g"') % "")


def test_colocation_is_by_place() -> None:
    text = """
graph "{}"
  x = _Arg() {{T: float}}
  {} = Exp(x) {{T: float}}
  {} = Exp(x) {{T: float}}
  y = Sub({}, {}) {{T: float, _class: [s: "loc:@{}"]}}
  argument x
  output y = y
"""
    one = text.format("f", "a", "b", "a", "b", "a")
    assert equal(one, text.format("g", "c", "d", "c", "d", "c"))
    assert not equal(one, text.format("g", "c", "d", "c", "d", "d"))


def test_long_chains_do_not_recurse() -> None:
    links = "".join(f"  n{i} = Neg(n{i - 1}) {{T: float}}\n" for i in range(1, 3000))
    one = f'graph "f"\n  n0 = _Arg() {{T: float}}\n{links}  argument n0\n  output y = n2999\n'
    assert equal(one, one.replace('"f"', '"g"'))
