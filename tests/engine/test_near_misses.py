"""Near misses name the two nodes and the one field in which they differ."""

from __future__ import annotations

import pytest

from tests.engine.build import analyses
from tfreuse.analysis.near_miss import NearMiss, near_misses

HEAD = "x = _Arg()\nz = _Arg()\nv = _Arg()\nu = _Arg()\nargument x\nargument z\nargument v\nargument u\n"
CONV = 'Conv2D({0}, {1}) {{T: float, padding: "SAME", strides: [i: 1, {2}, {2}, 1]}}'


def misses(text: str) -> list[NearMiss]:
    outputs = [line.split(" = ")[0] for line in text.splitlines()]
    return near_misses(analyses(HEAD + text + "".join(f"\noutput {name} = {name}" for name in outputs)))


def only(text: str) -> NearMiss:
    (found,) = misses(text)
    return found


def test_different_variables_are_named() -> None:
    text = "r = ReadVariableOp(v) {dtype: float}\ns = ReadVariableOp(u) {dtype: float}\n"
    text += f"a = {CONV.format('x', 'r', 1)}\nb = {CONV.format('x', 's', 1)}"
    assert only(text) == NearMiss("different-variables", ("a", "b"), "operand 1", "v and u")


def test_different_variables_are_named_behind_casts() -> None:
    read = "ReadVariableOp({0}) {{dtype: half}}"
    cast = "Cast({0}) {{SrcT: half, DstT: float}}"
    text = f"r = {read.format('v')}\ns = {read.format('u')}\nc = {cast.format('r')}\nd = {cast.format('s')}\n"
    text += f"a = {CONV.format('x', 'c', 1)}\nb = {CONV.format('x', 'd', 1)}"
    assert only(text) == NearMiss("different-variables", ("a", "b"), "operand 1", "v and u")


def test_different_operand() -> None:
    text = f"a = {CONV.format('x', 'u', 1)}\nb = {CONV.format('z', 'u', 1)}"
    assert only(text) == NearMiss("different-operand", ("a", "b"), "operand 0", "x and z")


def test_operands_that_differ_further_up_have_their_own_miss() -> None:
    text = "m = Neg(x) {T: float}\nn = Neg(z) {T: float}\n"
    text += f"a = {CONV.format('m', 'u', 1)}\nb = {CONV.format('n', 'u', 1)}"
    assert misses(text) == []


def test_two_operands_that_differ_are_no_near_miss() -> None:
    assert misses(f"a = {CONV.format('x', 'u', 1)}\nb = {CONV.format('z', 'v', 1)}") == []


def test_different_attributes() -> None:
    found = only(f"a = {CONV.format('x', 'u', 1)}\nb = {CONV.format('x', 'u', 2)}")
    assert found == NearMiss("different-attributes", ("a", "b"), "strides", "[i: 1, 1, 1, 1] and [i: 1, 2, 2, 1]")


def test_an_attribute_that_one_node_lacks() -> None:
    text = 'a = ReadVariableOp(v) {dtype: float}\nb = ReadVariableOp(v) {_hint: "h", dtype: float}'
    found = only(text)
    assert (found.field, found.detail) == ("_hint", 'absent and "h"')


def test_different_devices() -> None:
    text = 'a = ReadVariableOp(v) {dtype: float} @"/device:CPU:0"\nb = ReadVariableOp(v) {dtype: float}'
    assert only(text) == NearMiss("different-device", ("a", "b"), "device", "/device:CPU:0 and no device")


def test_a_write_between_is_named() -> None:
    text = "a = ReadVariableOp(v) {dtype: float}\nw = AssignVariableOp(v, x) {dtype: float} ^a\n"
    text += "b = ReadVariableOp(v) {dtype: float} ^w"
    found = near_misses(analyses(HEAD + text + "\noutput a = a\noutput b = b\ncontrol w = w"))
    assert found == [NearMiss("write-between", ("a", "b"), "state", "w runs before only one of them")]


def test_different_order() -> None:
    text = "n = Neg(x) {T: float}\na = ReadVariableOp(v) {dtype: float}\nb = ReadVariableOp(v) {dtype: float} ^n"
    assert only(text) == NearMiss("different-order", ("a", "b"), "control inputs", "n")


@pytest.mark.parametrize(
    ("line", "id"),
    [
        ("RandomUniform(x) {T: int32, dtype: float}", "random-draw"),
        ("QueueDequeueV2(v) {component_types: [type: float]}", "unknown-effects"),
        ("MyCompanysOp(x)", "unknown-effects"),
        ('CheckNumerics(x) {T: float, message: "m"}', "observable-effect"),
        ("StatefulUniform(v, x, z) {dtype: float}", "observable-effect"),
    ],
)
def test_effects_that_look_alike(line: str, id: str) -> None:
    found = only(f"a = {line}\nb = {line}")
    assert (found.id, found.nodes, found.field) == (id, ("a", "b"), "effect")


def test_of_three_each_is_compared_with_the_next() -> None:
    line = "RandomUniform(x) {T: int32, dtype: float}"
    found = misses(f"a = {line}\nb = {line}\nc = {line}")
    assert [miss.nodes for miss in found] == [("a", "b"), ("b", "c")]


def test_dead_nodes_are_not_worth_a_word() -> None:
    line = "RandomUniform(x) {T: int32, dtype: float}"
    assert near_misses(analyses(f"{HEAD}a = {line}\nb = {line}\noutput a = a")) == []


def test_cheap_nodes_are_not_worth_a_word() -> None:
    assert misses("a = Neg(x) {T: float}\nb = Neg(z) {T: float}") == []
