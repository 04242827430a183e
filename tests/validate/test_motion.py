"""The proof of moves out of loops and branches: seeded bugs, each a right move with one thing changed in its text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tfreuse.ir.graph import Module
from tfreuse.ir.parse import parse_module
from tfreuse.ir.text import print_module
from tfreuse.pipeline.motion import run_motion
from tfreuse.pipeline.text import parse_pipeline
from tfreuse.testing.golden import read_case
from tfreuse.testing.schemas import snapshot_ops
from tfreuse.validate.motion import refuse_move

CASES = Path(__file__).parents[1] / "engine" / "cases" / "hoisting"
CALLS = {
    "loop": ("product_in_a_loop", "w"),
    "read": ("read_in_a_loop", "w"),
    "branch": ("product_in_both_branches", "c"),
    "reading branch": ("read_in_both_branches", "c"),
    "check": ("assert_beside", "w"),
    "counted": ("counted_outputs", "w"),
}
ONE = "one = Const() {dtype: int32, value: tensor(int32, [], 1)}"
WRITE = "AssignVariableOp(v, a) {dtype: float}"
PYTHON = 'EagerPyFunc(a) {Tin: [type: float], Tout: [type: float], token: "t"}'
HANDLE = 'graph ""\n  h = VarHandleOp() {dtype: float, shape: <2>, shared_name: "h"}\n  output h = h\n\n'
PRODUCT = "MatMul(a, b) {T: float, _output_shapes: [shape: <64, 64>]}"
CHECKED = "EnsureShape(a) {T: float, shape: <64, 64>}"
ASSERT = "  check = Assert(ok, a) {T: [type: float]}\n"
OUTSIDE = f"  ok = Const() {{dtype: bool, value: tensor(bool, [], true)}}\n{ASSERT}"

IN_THE_MODULE_BEFORE = {
    "the variable changes in the body": ("loop", "output a_out = a\n", "output a_out = z\n"),
    "the variables swap": ("loop", "output a_out = a\n  output b_out = b", "output a_out = b\n  output b_out = a"),
    "the body writes what is read": ("read", ONE, f"{ONE}\n  up = {WRITE}"),
    "a Python function runs in the body": ("read", ONE, f"{ONE}\n  py = {PYTHON}"),
    "the write need not wait": ("read", "  assign = ", f"  late = {WRITE}\n  assign = "),
    "the variable may have no value": ("read", 'graph "f"', f'{HANDLE}graph "f"'),
    "one branch multiplies others": ("branch", "other = MatMul(a, b)", "other = MatMul(b, a)"),
    "one branch has another type": ("branch", "other = MatMul(a, b) {T: float", "other = MatMul(a, b) {T: double"),
    "one branch never runs it": ("branch", "r = Neg(other)", "r = Neg(a)", "r = Neg(hoisted)", "r = Neg(a)"),
    "one branch writes what is read": ("reading branch", "  n = Exp", f"  up = {WRITE}\n  n = Exp"),
    "what moved may fail": ("loop", PRODUCT, CHECKED),
    "what moved may not fit": (
        "loop",
        "a = _Arg() {T: float, _output_shapes: [shape: <64, 64>]}",
        "a = _Arg() {T: float, _output_shapes: [shape: <64, ?>]}",
    ),
    "what moved from branches may fail": ("branch", PRODUCT, CHECKED),
    "what moved is drawn": ("loop", PRODUCT, "RandomUniform(n) {T: int32, dtype: float}"),
}

IN_THE_MODULE_AFTER = {
    "an operand is wired to another value": ("loop", "MatMul(a, b)", "MatMul(b, a)"),
    "the moved node has another attribute": ("loop", "m = MatMul(a, b) {", "m = MatMul(a, b) {transpose_a: true, "),
    "the moved node runs elsewhere": ("loop", PRODUCT, f'{PRODUCT} @"/device:CPU:1"'),
    "the moved node waits": ("loop", PRODUCT, f"{PRODUCT} ^i"),
    "another value enters": ("loop", "a, b, w/invariant/m)", "a, b, y)"),
    "the new value enters first": ("loop", "(i, n, y, a, b, w/invariant/m)", "(w/invariant/m, i, n, y, a, b)"),
    "an old operand changes": ("loop", "While(i, n, y, a, b,", "While(i, n, a, a, b,"),
    "the body gives back something else": ("loop", "output hoisted_out = hoisted", "output hoisted_out = z"),
    "the body uses another variable": ("loop", "AddV2(y, hoisted)", "AddV2(y, b)"),
    "a use is moved as well": ("loop", "AddV2(y, hoisted)", "AddV2(hoisted, hoisted)"),
    "the output is another": ("loop", "output z = z", "output z = y"),
    "the condition changes": ("loop", "Less(i, n)", "Less(n, i)"),
    "the types are wrong": ("loop", "float, float, float, float]", "float, float, float, int32]"),
    "parallel iterations change": ("loop", "parallel_iterations: 10", "parallel_iterations: 1"),
    "the count of outputs stays": ("counted", "_num_original_outputs: 6", "_num_original_outputs: 5"),
    "the read does not wait for the write": ("read", "dtype: float} ^assign", "dtype: float}"),
    "the read of branches does not wait": ("reading branch", "dtype: float} ^assign", "dtype: float}"),
    "static shapes are claimed": ("loop", "output_shapes: []", "output_shapes: [shape: <>, <>, <2>, <2>, <2>, <2>]"),
    "one branch uses another operand": ("branch", "r = Neg(hoisted)", "r = Neg(a)"),
    "an Assert moves as well": (
        *("check", ASSERT, "", " ^check", "", "  control check = check\n", ""),
        *("  w = While", f"{OUTSIDE}  w = While"),
    ),
}


def moved(kind: str) -> tuple[Module, Module, str, str]:
    """A module before and after a right move, the caller and the call."""
    name, call = CALLS[kind]
    case = read_case(CASES / f"{name}.txt")
    motion = run_motion(
        case.before, snapshot_ops(), parse_pipeline(case.pipeline), outside=case.before.graphs, raise_failures=True
    )
    assert motion.origins
    return case.before, motion.module, next(iter(motion.journal)), call


def edited(module: Module, *changes: str) -> Module:
    """The module with texts replaced by those that follow them, as far as they are in it."""
    text = print_module(module)
    assert any(old in text for old in changes[::2])
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        text = text.replace(old, new)
    return parse_module(text)


def same(before: Module, after: Module) -> Module:
    """`after`, with the very graphs of `before` where it says what that says."""
    graphs = {
        name: before.graphs[name] if name in before.graphs and before.graphs[name] == graph else graph
        for name, graph in after.graphs.items()
    }
    return replace(after, graphs=graphs)


@pytest.mark.parametrize("kind", CALLS)
def test_right_moves(kind: str) -> None:
    before, after, caller, call = moved(kind)
    assert refuse_move(before, after, caller, call, snapshot_ops()) == ""


@pytest.mark.parametrize("bug", IN_THE_MODULE_AFTER)
def test_wrong_moves(bug: str) -> None:
    kind, *changes = IN_THE_MODULE_AFTER[bug]
    before, right, caller, call = moved(kind)
    new_graphs = {name: graph for name, graph in right.graphs.items() if graph is not before.graphs.get(name)}
    changed = edited(Module(new_graphs), *changes)
    wrong = Module({**right.graphs, **changed.graphs})
    assert refuse_move(before, wrong, caller, call, snapshot_ops())


@pytest.mark.parametrize("bug", IN_THE_MODULE_BEFORE)
def test_moves_that_are_right_for_another_module(bug: str) -> None:
    """The same move, where something in the module stands in its way."""
    kind, *changes = IN_THE_MODULE_BEFORE[bug]
    before, right, caller, call = moved(kind)
    other = edited(before, *changes)
    after = edited(right, *changes)
    assert refuse_move(other, same(other, Module({**other.graphs, **after.graphs})), caller, call, snapshot_ops())
