"""Multiply-adds against a count made one by one, and result bytes."""

from __future__ import annotations

from itertools import product
from math import prod

import pytest

from tests.engine.build import main_graph
from tfreuse.analysis.cost import HEAVY, NO_COST, Cost, cost_of
from tfreuse.analysis.shapes import Shape, ShapeOf, stated_shapes
from tfreuse.ir.graph import Value
from tfreuse.testing.schemas import snapshot_ops


def shapes(known: dict[str, Shape | None]) -> ShapeOf:
    return lambda value: known.get(value.node if value.port == 0 else f"{value.node}:{value.port}")


def cost(line: str, known: dict[str, Shape | None]) -> Cost:
    graph = main_graph(f"a = _Arg()\nb = _Arg()\nc = _Arg()\ny = {line}")
    return cost_of(graph.nodes["y"], shapes(known), snapshot_ops())


def count(*sizes: int) -> int:
    """How often the innermost statement of nested loops of these lengths runs."""
    return sum(1 for _ in product(*(range(size) for size in sizes)))


IMAGE, KERNEL, RESULT = (2, 5, 6, 3), (3, 2, 3, 4), (2, 5, 6, 4)
CONV = count(*RESULT, 3, 2, 3)
"""For each element of the result each tap and each input channel."""
SPATIAL = 'padding: "SAME", strides: [i: 1, 1, 1, 1]'

FORMULAS = [
    (f"Conv2D(a, b) {{T: float, {SPATIAL}}}", {"a": IMAGE, "b": KERNEL, "y": RESULT}, CONV),
    (f"Conv2DBackpropInput(a, b, c) {{T: float, {SPATIAL}}}", {"a": (4,), "b": KERNEL, "c": RESULT, "y": IMAGE}, CONV),
    (f"Conv2DBackpropFilter(a, b, c) {{T: float, {SPATIAL}}}", {"a": IMAGE, "b": (4,), "c": RESULT, "y": KERNEL}, CONV),
    # Two groups: each result channel sees half of the input channels, and the kernel says so.
    (f"Conv2D(a, b) {{T: float, {SPATIAL}}}", {"a": (1, 4, 4, 6), "b": (3, 3, 3, 8), "y": (1, 4, 4, 8)},
     count(1, 4, 4, 8, 3, 3, 3)),
    (f"DepthwiseConv2dNative(a, b) {{T: float, {SPATIAL}}}", {"a": IMAGE, "b": (3, 2, 3, 2), "y": (2, 5, 6, 6)},
     count(2, 5, 6, 3, 2, 3, 2)),
    (f"DepthwiseConv2dNativeBackpropInput(a, b, c) {{T: float, {SPATIAL}}}",
     {"a": (4,), "b": (3, 2, 3, 2), "c": (2, 5, 6, 6), "y": IMAGE}, count(2, 5, 6, 3, 2, 3, 2)),
    (f"DepthwiseConv2dNativeBackpropFilter(a, b, c) {{T: float, {SPATIAL}}}",
     {"a": IMAGE, "b": (4,), "c": (2, 5, 6, 6), "y": (3, 2, 3, 2)}, count(2, 5, 6, 3, 2, 3, 2)),
    ('Conv3D(a, b) {T: float, padding: "SAME", strides: [i: 1, 1, 1, 1, 1]}',
     {"a": (1, 2, 3, 4, 2), "b": (2, 2, 2, 2, 3), "y": (1, 2, 3, 4, 3)}, count(1, 2, 3, 4, 3, 2, 2, 2, 2)),
    ("MatMul(a, b) {T: float}", {"a": (2, 3), "b": (3, 4), "y": (2, 4)}, count(2, 4, 3)),
    ("MatMul(a, b) {T: float, transpose_a: true}", {"a": (3, 2), "b": (3, 4), "y": (2, 4)}, count(2, 4, 3)),
    ("MatMul(a, b) {T: float, transpose_b: true}", {"a": (2, 3), "b": (4, 3), "y": (2, 4)}, count(2, 4, 3)),
    ("BatchMatMulV2(a, b) {T: float}", {"a": (5, 2, 3), "b": (5, 3, 4), "y": (5, 2, 4)}, count(5, 2, 4, 3)),
    ("BatchMatMulV2(a, b) {T: float, adj_x: true}", {"a": (5, 3, 2), "b": (3, 4), "y": (5, 2, 4)}, count(5, 2, 4, 3)),
    ("Exp(a) {T: float}", {"a": (2, 3), "y": (2, 3)}, 0),
]  # fmt: skip


@pytest.mark.parametrize(("line", "known", "expected"), FORMULAS)
def test_multiply_adds(line: str, known: dict[str, Shape | None], expected: int) -> None:
    found = cost(line, known)
    assert found == Cost(expected, 4 * prod(known["y"] or ()), False)


def test_an_unknown_batch_counts_as_one_and_says_so() -> None:
    line = f"Conv2D(a, b) {{T: float, {SPATIAL}}}"
    known: dict[str, Shape | None] = {"a": (-1, 5, 6, 3), "b": KERNEL, "y": (-1, 5, 6, 4)}
    assert cost(line, known) == Cost(CONV // 2, 4 * 5 * 6 * 4, per_example=True)


@pytest.mark.parametrize("lacking", ["b", "y"])
@pytest.mark.parametrize("shape", [None, (3, -1, 3, 4)])
def test_other_unknown_sizes_leave_the_cost_unknown(lacking: str, shape: Shape | None) -> None:
    line = f"Conv2D(a, b) {{T: float, {SPATIAL}}}"
    assert cost(line, {"a": IMAGE, "b": KERNEL, "y": RESULT, lacking: shape}).multiply_adds is None


def test_bytes_are_those_of_all_outputs() -> None:
    found = cost("Split(a, b) {T: half, num_split: 2}", {"y": (2, 3), "y:1": (2, 3)})
    assert found == Cost(0, 2 * 2 * 3 * 2)
    assert cost("Split(a, b) {T: half, num_split: 2}", {"y": (2, 3)}).bytes is None


def test_strings_and_handles_have_no_size() -> None:
    assert cost("StringLower(a)", {"y": (2,)}).bytes is None
    assert cost("VarHandleOp() {dtype: float}", {"y": ()}).bytes is None
    assert cost("MyCompanysOp(a)", {"y": ()}).bytes is None


def test_a_scalar_is_one_element() -> None:
    assert cost("Neg(a) {T: double}", {"y": ()}) == Cost(0, 8)


def test_sums_are_unknown_where_a_part_is() -> None:
    assert NO_COST.plus(Cost(2, 3)) == Cost(2, 3)
    assert Cost(1, 1).plus(Cost(None, 2, True)) == Cost(None, 3, True)
    assert Cost(1, None).plus(Cost(1, 2)) == Cost(2, None)


def test_heavy_ops_are_those_with_a_formula() -> None:
    assert {"Conv2D", "MatMul", "Conv3DBackpropFilterV2"} <= HEAVY
    assert "Exp" not in HEAVY


def test_shapes_that_a_graph_states() -> None:
    text = """
    a = Exp(x) {T: float, _output_shapes: [shape: <2>, <*>]}
    c = Const() {dtype: float, value: tensor(float, [3], 1.0)}
    p = Placeholder() {dtype: float, shape: <?, 4>}
    v = VarHandleOp() {dtype: float, shape: <5>}
    r = ReadVariableOp(v) {dtype: float}
    i = Identity(r) {T: float}
    e = Exp(i) {T: float}
    """
    shape_of = stated_shapes(main_graph("\n".join(line.strip() for line in text.splitlines())))
    assert [shape_of(Value(name)) for name in "acpvrie"] == [(2,), (3,), (-1, 4), (5,), (5,), (5,), None]
    assert shape_of(Value("a", 1)) is None
    assert shape_of(Value("a", 2)) is None
