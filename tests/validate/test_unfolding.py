"""The proof of inlining: the bodies that came in the place of calls, each wrong in one place, are refused."""

from __future__ import annotations

import pytest

from tests.engine.build import module
from tfreuse.testing.schemas import snapshot_ops
from tfreuse.validate.touches import Touches
from tfreuse.validate.translation import prove
from tfreuse.validate.witness import Refusal, Witness

OPS = snapshot_ops()
CALL = "{Tin: [type: float, float, resource], Tout: [type: float, float], f: @"
BEFORE = f"""
graph ""
  x = _Arg() {{T: float}}
  z = _Arg() {{T: float}}
  v = _Arg() {{T: resource}}
  early = ReadVariableOp(v) {{dtype: float}}
  c = StatefulPartitionedCall(x, z, v) {CALL}"f"{{}}}} ^early
  late = AssignVariableOp(v, x) {{dtype: float}} ^c
  y = Sub(c, c:1) {{T: float}}
  argument x
  argument z
  argument v
  output y = y
  control c = c
  control late = late
"""
BODY = """
graph "f"
  x = _Arg() {T: float}
  z = _Arg() {T: float}
  v = _Arg() {T: resource}
  r = ReadVariableOp(v) {dtype: float}
  m = Sub(x, z) {T: float}
  n = Mul(m, r) {T: float}
  w = AssignAddVariableOp(v, n) {dtype: float} ^r
  dead = AssignVariableOp(v, n) {dtype: float}
  argument x
  argument z
  argument v
  output n = n
  output m = m
  control w = w
"""
AFTER = """
graph ""
  x = _Arg() {T: float}
  z = _Arg() {T: float}
  v = _Arg() {T: resource}
  early = ReadVariableOp(v) {dtype: float}
  f/r = ReadVariableOp(v) {dtype: float}
  f/m = Sub(x, z) {T: float}
  f/n = Mul(f/m, f/r) {T: float}
  f/w = AssignAddVariableOp(v, f/n) {dtype: float} ^f/r ^early
  c = NoOp() ^f/w ^f/r
  late = AssignVariableOp(v, x) {dtype: float} ^c
  y = Sub(f/n, f/m) {T: float}
  argument x
  argument z
  argument v
  output y = y
  control c = c
  control late = late
"""


def judge(
    after: str = AFTER, body: str = BODY, before: str = BEFORE, inlined: dict[str, str] | None = None
) -> Refusal | None:
    whole = module(before + body)
    witness = Witness({}, {}, inlined={"c": "f"} if inlined is None else inlined)
    return prove(whole.graphs[""], module(after).graphs[""], witness, Touches(whole, OPS), OPS)


def changed(text: str, *changes: str) -> str:
    for change in changes:
        old, new = change.split(" -> ")
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def test_what_is_right_is_accepted() -> None:
    assert judge() is None


@pytest.mark.parametrize(
    "changes",
    [
        ["f/m = Sub(x, z) -> f/m = Sub(z, x)"],
        ["f/m = Sub(x, z) -> f/m = Sub(x, x)"],
        ["f/m = Sub( -> f/m = RealDiv("],
        ["f/n = Mul(f/m, f/r) {T: float} -> f/n = Mul(f/m, f/r) {T: double}"],
        ["y = Sub(f/n, f/m) -> y = Sub(f/m, f/n)"],
        ["y = Sub(f/n, f/m) -> y = Sub(f/n, f/n)"],
        ["  f/w = AssignAddVariableOp(v, f/n) {dtype: float} ^f/r ^early\n -> ", "^f/w ^f/r -> ^f/r"],
        ["f/w = AssignAddVariableOp(v, f/n) -> f/w = AssignAddVariableOp(v, f/m)"],
        ["^f/r ^early -> ^f/r"],
        ["late = AssignVariableOp(v, x) {dtype: float} ^c -> late = AssignVariableOp(v, x) {dtype: float}"],
        ["c = NoOp() ^f/w ^f/r -> c = NoOp() ^f/r"],
        ["  control c = c\n -> "],
        ["  y = Sub( ->   f/dead = AssignVariableOp(v, f/n) {dtype: float}\n  y = Sub("],
        ["f/m = Sub(x, z) {T: float} -> f/m = Sub(x, z) {T: float, _output_shapes: [shape: <1>]}"],
    ],
    ids=[
        "arguments swapped",
        "an argument twice",
        "another op",
        "another attribute",
        "outputs swapped",
        "an output twice",
        "a write left out",
        "a write of something else",
        "a write that does not wait for what the call waited for",
        "a write that does not wait for the call",
        "an end that does not wait for the write",
        "no control output",
        "a dead write that comes to life",
        "a shape that nobody stated",
    ],
)  # fmt: skip
def test_a_body_that_is_wrong_in_one_place_is_refused(changes: list[str]) -> None:
    assert judge(changed(AFTER, *changes)) is not None


@pytest.mark.parametrize(
    ("inlined", "reason"),
    [
        ({}, "was not there before"),
        ({"c": "g"}, "was not there before"),
        ({"y": "f"}, "y is no call"),
        ({"nothing": "f"}, "nothing is no call"),
        ({"c": "f", "late": "g"}, "late is no call"),
    ],
)
def test_a_claim_that_is_wrong_is_refused(inlined: dict[str, str], reason: str) -> None:
    refusal = judge(inlined=inlined)
    assert refusal is not None and reason in refusal.reason


@pytest.mark.parametrize(
    ("before", "body", "reason"),
    [
        (['"f"{}} -> "f"{}, _noinline: true}'], [], "to stay a call"),
        (['"f"{}} -> "f"{}, _XlaMustCompile: true}'], [], "to stay a call"),
        ([], ['graph "f" -> graph "f" {_noinline: true}'], "to stay a call"),
        ([], ['graph "f" -> graph "f" {api_implements: "lstm"}'], "to stay a call"),
        (["  control c = c\n  control late = late\n -> "], [], "need not always run"),
        (["  control c = c -> \n  kept c\n  control c = c"], [], "the outside knows c"),
        ([], ['n = Mul(m, r) {T: float} -> n = Mul(m, r) {T: float, _gradient_op_type: "G"}'], "a gradient of its own"),
        (
            [],
            ["  argument x -> \n  q = RandomUniform(n) {dtype: float, T: float}\n  argument x"],
            "draws random numbers",
        ),
        (
            [],
            ['  argument x -> \n  h = VarHandleOp() {dtype: float, shape: <>, shared_name: ""}\n  argument x'],
            "anew",
        ),
        ([], ["  argument x -> \n  q = Mystery(n)\n  argument x"], "makes something anew|means something only where"),
        ([], ['m = Sub(x, z) {T: float} -> m = Sub(x, z) {T: float} @"/device:CPU:1"'], "two devices"),
        (["(x, z, v) -> (x, z)"], [], "2 operands"),
        (['"f"{} -> "elsewhere"{}'], [], "nothing is known"),
    ],
)
def test_a_call_that_has_to_stay_is_not_unfolded(before: list[str], body: list[str], reason: str) -> None:
    text = changed(BEFORE, *before)
    if reason == "two devices":
        text = text.replace("^early\n", '^early @"/device:CPU:0"\n', 1)
    refusal = judge(before=text, body=changed(BODY, *body))
    assert refusal is not None
    assert any(part in refusal.reason for part in reason.split("|")), refusal


def test_calls_in_a_body_are_unfolded_after_it() -> None:
    outer = (
        BODY.replace('graph "f"', 'graph "g"')
        + """
graph "f"
  x = _Arg() {T: float}
  z = _Arg() {T: float}
  v = _Arg() {T: resource}
  d = StatefulPartitionedCall(z, x, v) {Tin: [type: float, float, resource], Tout: [type: float, float], f: @"g"{}}
  argument x
  argument z
  argument v
  output n = d
  output m = d:1
  control d = d
"""
    )
    after = (
        changed(AFTER, "f/m = Sub(x, z) -> f/m = Sub(z, x)")
        .replace("f/", "f/g/")
        .replace("c = NoOp()", "f/d = NoOp()", 1)
    )
    after = after.replace("  late =", "  c = NoOp() ^f/d\n  late =")
    assert judge(after, outer, inlined={"c": "f", "f/d": "f/g"}) is None
    assert judge(after, outer, inlined={"f/d": "f/g", "c": "f"}) is not None
    assert (
        judge(changed(after, "f/g/m = Sub(z, x) -> f/g/m = Sub(x, z)"), outer, inlined={"c": "f", "f/d": "f/g"})
        is not None
    )
