"""The proof of another body for a loop: seeded bugs, each a right body with one thing changed in its text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from tfreuse.ir.attrs import Attr
from tfreuse.ir.constants import whole_constant, whole_numbers
from tfreuse.ir.graph import Graph, Module, Node
from tfreuse.ir.parse import parse_module
from tfreuse.ir.text import print_module
from tfreuse.pipeline.motion import run_motion
from tfreuse.pipeline.text import parse_pipeline
from tfreuse.testing.golden import read_case
from tfreuse.testing.schemas import snapshot_ops
from tfreuse.validate.iterations import iterations, refuse_body
from tfreuse.validate.motion import refuse_move

CASES = Path(__file__).parents[1] / "engine" / "cases" / "moving_windows"
SHARED = [path.stem for path in sorted(CASES.glob("*.txt")) if read_case(path).after is not None]


class Asked(NamedTuple):
    """What the pass asks the judge about a loop: the module, its other body, and which nodes stand for which."""

    module: Module
    body: Graph
    caller: str
    name: str
    merged: dict[str, str]

    def refusal(self) -> str:
        return refuse_body(*self, snapshot_ops())


def asked(name: str) -> Asked:
    """Of a case in which windows are shared."""
    case, found = read_case(CASES / f"{name}.txt"), []
    run_motion(
        case.before,
        snapshot_ops(),
        parse_pipeline(case.pipeline),
        judge_body=lambda *args: found.append(Asked(*args)) or "",
        raise_failures=True,
    )
    (one,) = found
    return one


def edited(one: Asked, inside: tuple[str, ...] = (), outside: tuple[str, ...] = ()) -> Asked:
    """With texts replaced by those that follow them: `inside` in the new body, `outside` in it and in the module."""
    body, module = print_module(Module({"": one.body})), print_module(one.module)
    for old, new in zip(inside[::2], inside[1::2], strict=True):
        assert old in body
        body = body.replace(old, new)
    for old, new in zip(outside[::2], outside[1::2], strict=True):
        assert old in module
        body, module = body.replace(old, new), module.replace(old, new)
    return one._replace(module=parse_module(module), body=parse_module(body).graphs["body"])


CUT = "c/cut = Slice(c/union, c/moved, c/size_1) {Index: int32, T: float}"
STRIDED = '{T: float, dilations: [i: 1, 1, 1, 1], padding: "VALID", strides: [i: 1, 2, 2, 1]}'
START = "zero = Const() {dtype: int32, value: tensor(int32, [], 0)}"
LIMIT = "limit = Const() {dtype: int32, value: tensor(int32, [], 5)}"
NEXT = "next = AddV2(i, step)"
ODD = "  odd = Cast(y) {SrcT: float, DstT: int32}\n"
FLAG = "  most = Const() {dtype: float, value: tensor(float, [], 0.0)}\n  odd = Less(y, most) {T: float}\n"
DRAW = "  u = RandomUniform(size) {T: int32, dtype: float}\n  m = Mul(w, u) {T: float}\n"
FACTORS = "c/factors = Const() {dtype: int32, value: tensor(int32, [4], "

WRONG_BODIES = {
    "the cut begins one too late": ("rows", "Mul(i, c/factors)", "AddV2(i, c/factors)"),
    "the cut does not move": ("rows", "Mul(i, c/factors)", "Mul(none, c/factors)"),
    "the cut moves on another axis": ("rows", f"{FACTORS}1, 0", f"{FACTORS}0, 1, 0"),
    "the cut moves by something else": ("rows", "Mul(i, c/factors)", "Mul(n, c/factors)"),
    "the union is too small": ("rows", "tensor(int32, [4], 8, -1)", "tensor(int32, [4], 7, -1)"),
    "the union begins too late": ("backwards", "tensor(int32, [4], 1, 0)", "tensor(int32, [4], 2, 0)"),
    "the union is cut on another axis": ("rows", "tensor(int32, [4], 8, -1)", "tensor(int32, [4], -1, 8, -1)"),
    "the union is that of another value": ("two_windows", "p/cut = Slice(p/union", "p/cut = Slice(c/union"),
    "the stride is ignored": ("strides", f"c/window, k) {STRIDED}", f"c/window, k) {STRIDED.replace('2', '1')}"),
    "the union is padded": ("deep", "VALID", "SAME"),
    "the cut is cut off at an end": ("rows", "tensor(int32, [4], 4, 10, 10, 4)", "tensor(int32, [4], 4, 10, 9, 4)"),
    "other weights": ("deep", "f/union = Conv2D(e/union, k2)", "f/union = Conv2D(e/union, k)"),
    "the bias is left out": ("deep", "e/union = Relu(d/union)", "e/union = Relu(c/union)"),
    "a variable that the loop changes": ("rows", "c/window = Slice(x,", "c/window = Slice(y,"),
    "the counter is changed": ("rows", "output i = next", "output i = i"),
    "another result is given back": ("rows", "output y = sum", "output y = y"),
    "static shapes are claimed": ("rows", CUT, f"{CUT[:-1]}, _output_shapes: [shape: <4, 10, 10, 4>]}}"),
    "the cut waits": ("rows", CUT, f"{CUT} ^step"),
}

WRONG_LOOPS = {
    "the counter starts elsewhere": ("rows", START, START.replace("0)}", "-3)}")),
    "the counter's start is not known": ("rows", START, "zero = Placeholder() {dtype: int32}"),
    "the counter depends on a value": ("rows", NEXT, "next = AddV2(i, odd)", "  sum = ", f"{ODD}  sum = "),
    "the window does not move": ("rows", "begin = Pack(i, none", "begin = Pack(none, none"),
    "the window moves otherwise": ("rows", "begin = Pack(i, none", "begin = Pack(next, none"),
    "the loop runs once more": ("rows", "go = Less(i, n)", "go = LessEqual(i, n)"),
    "the bound is not known": ("rows", LIMIT, "limit = Placeholder() {dtype: int32}"),
    "the bound moves": ("rows", "output n = n", "output n = nn", "  c = ", "  nn = AddV2(n, step) {T: int32}\n  c = "),
    "the loop ends for another reason": ("rows", "output go = go", "output go = odd", "  go = ", f"{FLAG}  go = "),
    "the loop never ends": ("rows", NEXT, "next = Sub(i, step)"),
    "the loop never runs": ("rows", LIMIT, LIMIT.replace("5", "0")),
    "the windows are cut off at the end": ("strided_slice", "<?, 16, 12, 3>", "<?, 15, 12, 3>"),
    "the weights change": ("rows", "Conv2D(w, k)", "Conv2D(w, kk)", "  c = ", "  kk = Mul(k, y) {T: float}\n  c = "),
    "the windows are drawn upon": ("rows", "c = Conv2D(w, k)", "c = Conv2D(m, k)", "  c = ", f"{DRAW}  c = "),
    "the value is shorter": ("shapes_of_the_caller", "<16, 12, 12, 3>", "<7, 12, 12, 3>"),
    "the value may be longer": ("shapes_of_the_caller", "<16, 12, 12, 3>", "<?, 12, 12, 3>"),
    "the stated shape is that of another iteration": (
        *("shapes_of_the_caller", "output k_out = k", "output k_out = kk"),
        *("  c = ", "  kk = Neg(k) {T: float}\n  c = "),
    ),
    "what is cut changes": ("rows", "output x = x", "output x = xx", "  c = ", "  xx = Neg(x) {T: float}\n  c = "),
}


@pytest.mark.parametrize("name", SHARED)
def test_what_the_pass_does_is_proved(name: str) -> None:
    assert asked(name).refusal() == ""


@pytest.mark.parametrize("bug", WRONG_BODIES)
def test_wrong_bodies(bug: str) -> None:
    name, *changes = WRONG_BODIES[bug]
    assert edited(asked(name), inside=tuple(changes)).refusal()


@pytest.mark.parametrize("bug", WRONG_LOOPS)
def test_bodies_that_are_right_for_another_loop(bug: str) -> None:
    """The same body, where the loop is another one."""
    name, *changes = WRONG_LOOPS[bug]
    assert edited(asked(name), outside=tuple(changes)).refusal()


def wrong_numbers(one: Asked) -> Iterator[tuple[str, Node, Graph]]:
    """Each number in each new constant, one more and one less."""
    old = one.module.graphs[one.body.name].nodes
    for name, node in one.body.nodes.items():
        tensor = node.attrs.value("value") if node.op == "Const" and name not in old else None
        numbers = () if tensor is None else whole_numbers(tensor) or ()
        for place, number in enumerate(numbers):
            for other in (number - 1, number + 1):
                changed = (*numbers[:place], other, *numbers[place + 1 :])
                made = whole_constant(name, tensor.shape, changed, tensor.dtype)
                yield f"{name}[{place}]: {other}", node, one.body.evolve({**one.body.nodes, name: made})


@pytest.mark.parametrize("name", SHARED)
def test_every_wrong_number_is_refused(name: str) -> None:
    one, count = asked(name), 0
    for what, node, body in wrong_numbers(one):
        count += 1
        if not one._replace(body=body).refusal():
            # A union may be larger than need be: more is computed, and the same is cut out.
            (window,) = [n for n in body.nodes.values() if n.op == "Slice" and n.inputs[2].node == node.name]
            assert window.inputs[0].node in one.body.arguments, what
    assert count >= 8


def test_attributes_of_the_body_stay() -> None:
    one = asked("rows")
    attrs = one.body.attrs.updated({"_noinline": Attr("b", True)})
    assert one._replace(body=replace(one.body, attrs=attrs)).refusal()


def test_iterations_are_enumerated() -> None:
    counts = {}
    for path in sorted(CASES.glob("*.txt")):
        module = read_case(path).before
        found = iterations(module, module.graphs[""], module.graphs[""].nodes["loop"])
        counts[path.stem] = None if found is None else [state[0].elements[0] for state in found]
    assert counts["rows"] == [0, 1, 2, 3, 4]
    assert counts["backwards"] == [6, 5, 4, 3, 2, 1]
    assert counts["long_counter"] == [5, 8, 11, 14]
    assert counts["two_conditions"] == [0, 1, 2, 3, 4]
    assert counts["no_iteration"] == []
    assert counts["of_unknown_length"] is counts["another_way_out"] is None


def test_only_a_loop_that_runs_may_lose_what_may_fail() -> None:
    """A slice in front of a loop: right where the loop has an iteration, and refused where it may have none."""
    case = read_case(CASES / "rows.txt")
    moves = []
    run_motion(case.before, snapshot_ops(), parse_pipeline(case.pipeline), judge=lambda *args: moves.append(args) or "")
    ((before, after, caller, name),) = moves
    assert refuse_move(before, after, caller, name, snapshot_ops()) == ""

    def never(module: Module) -> Module:
        main = module.graphs[""]
        node = whole_constant("limit", (), (0,), 3)
        return Module({**module.graphs, "": main.evolve({**main.nodes, "limit": node})})

    assert "may fail" in refuse_move(never(before), never(after), caller, name, snapshot_ops())
