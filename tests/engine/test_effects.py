"""What nodes read and write: facts, handles, references, calls."""

from __future__ import annotations

import pytest

from tests.engine.build import analyses, effects, main_graph, module
from tfreuse.analysis.alias import UNKNOWN, Resource, may_alias
from tfreuse.analysis.effects import EFFECT, FIXED, PURE, READ, Access, Effects, Summaries
from tfreuse.ir.graph import Module
from tfreuse.testing.schemas import snapshot_ops

V = Resource("handle", "v")
FIRST, SECOND = Resource("argument", 0), Resource("argument", 1)
IO, RNG = Resource("ambient", "io"), Resource("ambient", "rng")


def kind(text: str, name: str = "n") -> str:
    found = effects(text)
    return found.kind(main_graph(text).nodes[name])


def accesses(text: str, name: str = "n") -> set[Access]:
    found = effects(text)
    return set(found.of(main_graph(text).nodes[name]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = Placeholder()\nn = Exp(x)", PURE),
        ("n = Const()", PURE),
        ("n = NoOp()", PURE),
        ("n = Placeholder()", FIXED),
        ("n = _Arg()", FIXED),
        ("n = VarHandleOp()", FIXED),
        ("x = Placeholder()\nn = Switch(x, x)", FIXED),
        ("x = Placeholder()\nn = Empty(x)", FIXED),
        ("v = VarHandleOp()\nn = ReadVariableOp(v)", READ),
        ("x = Placeholder()\nn = ReadFile(x)", READ),
        ("v = VarHandleOp()\nx = Placeholder()\nn = AssignVariableOp(v, x) {dtype: float}", EFFECT),
        ("x = Placeholder()\nn = RandomUniform(x)", EFFECT),
        ("x = Placeholder()\nn = PrintV2(x)", EFFECT),
        ("n = MyCompanysOp()", EFFECT),
        ("x = Placeholder()\nn = EagerPyFunc(x) {Tin: [type: float], Tout: [type: float]}", EFFECT),
        ("v = VariableV2()\nn = Identity(v)", EFFECT),
        ("v = VariableV2()\nx = Placeholder()\nn = Assign(v, x) {T: float}", EFFECT),
        ("n = VariableV2()", FIXED),
        ("x = Placeholder()\nn = InplaceAdd(x, x, x)", EFFECT),
    ],
)
def test_kinds(text: str, expected: str) -> None:
    assert kind(text) == expected


def test_the_kinds_of_a_graph_are_those_of_its_nodes() -> None:
    text = "v = VarHandleOp()\nr = ReadVariableOp(v)\nn = Neg(r)\nw = AssignVariableOp(v, n) {dtype: float}\n"
    text += "u = VariableV2()\nm = Neg(u)"
    found = analyses(text)
    assert found.kinds == {name: found.effects.kind(node) for name, node in main_graph(text).nodes.items()}
    assert found.kinds == {"v": FIXED, "r": READ, "n": PURE, "w": EFFECT, "u": FIXED, "m": EFFECT}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('v = VarHandleOp() {shared_name: "v"}\nn = ReadVariableOp(v)', {Access("read", V)}),
        ('v = VarHandleOp() {shared_name: "v"}\ni = Identity(v)\nn = ReadVariableOp(i)', {Access("read", V)}),
        ('v = VarHandleOp() {shared_name: "v"}\ni = Enter(v)\nn = ReadVariableOp(i)', {Access("read", V)}),
        ("v = _Arg()\nargument v\nn = AssignVariableOp(v, v) {dtype: float}", {Access("write", FIRST)}),
        ("x = _Arg()\nn = RandomUniform(x)", {Access("write", RNG)}),
        ("x = _Arg()\nn = PrintV2(x)", {Access("write", IO)}),
        ("x = _Arg()\nn = Neg(x)", set()),
        ("n = MyCompanysOp()", {Access("write", UNKNOWN)}),
        ("x = _Arg()\nh = Pack(x) {N: 1}\nn = ReadVariableOp(h)", {Access("read", UNKNOWN)}),
        (
            "a = _Arg()\nb = _Arg()\nargument a\nargument b\nn = ResourceApplyMomentum(a, b, a, a, a) {T: float}",
            {Access("write", FIRST), Access("write", SECOND)},
        ),
    ],
)
def test_accesses(text: str, expected: set[Access]) -> None:
    assert accesses(text) == expected


def test_resources_that_may_be_one() -> None:
    other = Resource("handle", "u")
    assert may_alias(V, V)
    assert not may_alias(V, other)
    assert may_alias(FIRST, SECOND)
    assert may_alias(FIRST, V)
    assert may_alias(UNKNOWN, V)
    assert may_alias(UNKNOWN, IO)
    assert may_alias(IO, IO)
    assert not may_alias(IO, RNG)
    assert not may_alias(IO, V)
    assert not may_alias(IO, FIRST)


BODIES = """
graph "reads_second"
  x = _Arg()
  v = _Arg()
  r = ReadVariableOp(v)
  argument x
  argument v
graph "writes_first"
  v = _Arg()
  x = _Arg()
  w = AssignVariableOp(v, x) {dtype: float}
  argument v
  argument x
graph "writes_through"
  x = _Arg()
  v = _Arg()
  c = StatefulPartitionedCall(v, x) {Tin: [type: resource, float], Tout: [], f: @"writes_first"{}}
  argument x
  argument v
graph "named"
  v = VarHandleOp() {shared_name: "v"}
  r = ReadVariableOp(v)
graph "prints"
  x = _Arg()
  p = PrintV2(x)
  argument x
graph "pure"
  x = _Arg()
  n = Neg(x)
  argument x
graph "loops"
  x = _Arg()
  c = PartitionedCall(x) {Tin: [type: float], Tout: [type: float], f: @"loops"{}}
  argument x
graph ""
  x = _Arg()
  v = VarHandleOp() {shared_name: "v"}
  u = VarHandleOp() {shared_name: "u"}
  argument x
"""


def call(line: str) -> tuple[set[Access], str]:
    found = module(BODIES + f"  n = {line}\n")
    graph = found.graphs[""]
    its_effects = Effects(graph, Summaries(found, snapshot_ops()))
    return set(its_effects.of(graph.nodes["n"])), its_effects.kind(graph.nodes["n"])


def stateful(function: str, *operands: str) -> str:
    return f'StatefulPartitionedCall({", ".join(operands)}) {{Tin: [type: float], Tout: [], f: @"{function}"{{}}}}'


BRANCH = (
    'If(x, {}) {{Tcond: bool, Tin: [type: resource, float], Tout: [], then_branch: @"{}"{{}}, else_branch: @"{}"{{}}}}'
)


@pytest.mark.parametrize(
    ("line", "expected", "kind"),
    [
        (stateful("reads_second", "x", "v"), {Access("read", V)}, READ),
        (stateful("reads_second", "x", "u"), {Access("read", Resource("handle", "u"))}, READ),
        (stateful("writes_first", "v", "x"), {Access("write", V)}, EFFECT),
        (stateful("writes_through", "x", "v"), {Access("write", V)}, EFFECT),
        (stateful("named"), {Access("read", V), Access("allocate", V)}, FIXED),
        (stateful("prints", "x"), {Access("write", IO)}, EFFECT),
        (stateful("pure", "x"), set(), PURE),
        (stateful("loops", "x"), {Access("write", UNKNOWN)}, EFFECT),
        (stateful("elsewhere", "x"), {Access("write", UNKNOWN)}, EFFECT),
        (stateful("writes_first"), {Access("write", UNKNOWN)}, EFFECT),
        ("StatefulPartitionedCall(x) {Tin: [type: float], Tout: []}", {Access("write", UNKNOWN)}, EFFECT),
        ("writes_first(v, x)", {Access("write", V)}, EFFECT),
        (BRANCH.format("v, x", "writes_first", "pure"), {Access("write", V)}, EFFECT),
        (BRANCH.format("x, v", "reads_second", "reads_second"), {Access("read", V)}, READ),
        (BRANCH.format("x, v", "reads_second", "prints"), {Access("read", V), Access("write", IO)}, EFFECT),
        ("Case(x, v, x) {Tin: [type: resource, float], branches: [func: @\"writes_first\"{}]}", {Access("write", V)},
         EFFECT),
        ("While(x, v) {T: [type: float, resource], cond: @\"reads_second\"{}, body: @\"writes_through\"{}}",
         {Access("read", V), Access("write", V)}, EFFECT),
    ],
)  # fmt: skip
def test_a_call_does_what_its_functions_do(line: str, expected: set[Access], kind: str) -> None:
    assert call(line) == (expected, kind)


def test_opaque_functions_do_anything() -> None:
    graph = main_graph('x = _Arg()\nn = PartitionedCall(x) {Tin: [type: float], Tout: [], f: @"f"{}}')
    summaries = Summaries(Module({"": graph}, {"f": "an unknown op"}), snapshot_ops())
    assert summaries.of("f") == {Access("write", UNKNOWN)}
    assert Effects(graph, summaries).kind(graph.nodes["n"]) == EFFECT
