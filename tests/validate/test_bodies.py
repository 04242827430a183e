"""Claims that two functions are equal, each false in one place: none is believed."""

from __future__ import annotations

import pytest

from tests.engine.build import module
from tfreuse.analysis.fingerprint import Alike
from tfreuse.testing.schemas import snapshot_ops
from tfreuse.validate.bodies import Bodies
from tfreuse.validate.touches import Touches

OPS = snapshot_ops()
F = """
graph "f" {_noinline: true}
  x = _Arg() {T: float}
  z = _Arg() {T: float}
  v = _Arg() {T: resource}
  r = ReadVariableOp(v) {dtype: float}
  w = AssignAddVariableOp(v, x) {dtype: float} ^r
  h = VarHandleOp() {dtype: float, shape: <2>, shared_name: "k"}
  t = Unpack(x) {T: float, num: 2}
  a = Sub(t, t:1) {T: float}
  y = PartitionedCall(a) {Tin: [type: float], Tout: [type: float], f: @"leaf"{}}
  argument x
  argument z
  argument v
  output y = y
  output r = r
  output h = h
  control w = w
graph "leaf"
  x = _Arg() {T: float}
  argument x
  output x = x
graph "leaf_1"
  x = _Arg() {T: float}
  argument x
  output x = x
graph "other"
  x = _Arg() {T: float}
  y = Exp(x) {T: float}
  argument x
  output y = y
"""
NODES = {name: name for name in ("x", "z", "v", "r", "w", "h", "t", "a", "y")}
G = F[: F.index('graph "leaf"')].replace('graph "f"', 'graph "g"')


def believed(text: str, claims: dict[str, Alike]) -> dict[str, str]:
    found = module(text)
    bodies = Bodies(found, OPS, Touches(found, OPS), claims)
    return {name: bodies.first(name) for name in claims}


def claim(changes: tuple[str, ...] = (), nodes: dict[str, str] | None = None) -> bool:
    text = G
    for change in changes:
        old, new = change.split(" -> ")
        assert old in text
        text = text.replace(old, new)
    claims = {"g": Alike("f", NODES if nodes is None else nodes), "leaf_1": Alike("leaf", {"x": "x"})}
    return believed(F + text, claims)["g"] == "f"


@pytest.mark.parametrize(
    "changes",
    [(), ('@"leaf" -> @"leaf_1"',), ("  argument x -> n = Exp(a) {T: float}\n  argument x",)],
    ids=["equal", "equal callees", "a dead node"],
)
def test_what_is_true_is_believed(changes: tuple[str, ...]) -> None:
    assert claim(changes)


@pytest.mark.parametrize(
    "change",
    [
        '@"leaf" -> @"other"',
        "Sub -> AddV2",
        "(t, t:1) -> (t:1, t)",
        "(t, t:1) -> (t, t)",
        "num: 2 -> num: 3",
        " ^r -> ",
        "(v, x) -> (v, z)",
        'shared_name: "k" -> shared_name: "j"',
        "_noinline: true -> _noinline: false",
        "argument x\n  argument z -> argument z\n  argument x",
        "output y = y\n  output r = r -> output r = r\n  output y = y",
        "output y = y -> output y = a",
        "  control w = w -> ",
        "  argument x -> p = PrintV2(s)\n  s = StringJoin() {N: 0}\n  argument x",
        't = Unpack(x) {T: float, num: 2} -> t = Unpack(x) {T: float, num: 2} @"/device:GPU:0"',
    ],
)
def test_what_is_false_is_not(change: str) -> None:
    assert not claim((change,))


@pytest.mark.parametrize(
    "nodes",
    [
        {},
        {**NODES, "x": "z", "z": "x"},
        {**NODES, "a": "t"},
        {name: other for name, other in NODES.items() if name != "w"},
        {**NODES, "nobody": "x"},
        {**NODES, "y": "nobody"},
    ],
    ids=["empty", "arguments swapped", "two on one", "a write left out", "from nowhere", "to nowhere"],
)
def test_nor_is_a_claim_that_pairs_the_wrong_nodes(nodes: dict[str, str]) -> None:
    assert not claim(nodes=nodes)


def test_claims_about_functions_that_do_not_exist() -> None:
    assert believed(F, {"g": Alike("f", {}), "f": Alike("g", {})}) == {"g": "g", "f": "f"}


def test_a_handle_without_a_shared_name_is_called_after_its_node() -> None:
    one = 'graph "f"\n  h = VarHandleOp() {dtype: float, shape: <2>}\n  output h = h\n'
    other = 'graph "g"\n  j = VarHandleOp() {dtype: float, shape: <2>}\n  output h = j\n'
    same = one.replace('"f"', '"g"')
    assert believed(one + same, {"g": Alike("f", {"h": "h"})}) == {"g": "f"}
    assert believed(one + other, {"g": Alike("f", {"j": "h"})}) == {"g": "g"}


RECURSIVE = """
graph "{}"
  x = _Arg() {{T: float}}
  a = {}(x) {{T: float}}
  y = PartitionedCall(a) {{Tin: [type: float], Tout: [type: float], f: @"{}"{{}}}}
  argument x
  output y = y
"""


def test_recursive_functions_are_equal_together_or_not_at_all() -> None:
    nodes = {name: name for name in "xay"}
    claims = {"g": Alike("f", nodes), "i": Alike("h", nodes)}

    def pairs(op: str) -> str:
        one = RECURSIVE.format("f", "Exp", "h") + RECURSIVE.format("h", "Log", "f")
        return one + RECURSIVE.format("g", "Exp", "i") + RECURSIVE.format("i", op, "g")

    assert believed(pairs("Log"), claims) == {"g": "f", "i": "h"}
    assert believed(pairs("Sin"), claims) == {"g": "g", "i": "i"}
