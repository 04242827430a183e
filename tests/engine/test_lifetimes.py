"""Estimates of memory: when results are in memory, under both schedules."""

from __future__ import annotations

import itertools
import random

import pytest

from tfreuse.analysis.lifetime import Lifetimes
from tfreuse.analysis.schedule import Schedule
from tfreuse.ir.order import topological
from tfreuse.ir.parse import parse_module
from tfreuse.pipeline import run
from tfreuse.pipeline.text import PRESETS, parse_pipeline
from tfreuse.testing.schemas import snapshot_ops

SHAPE = "_output_shapes: [shape: <256>]"
UNIT = 256 * 4
"""Bytes of one result of that shape."""


def lifetimes(*lines: str) -> Lifetimes:
    """Of a graph with an argument `x`; `F` in a line stands for float results of one unit."""
    text = "\n".join(['graph ""', "  x = _Arg() {T: float}", *lines, "  argument x"])
    graph = parse_module(text.replace("F}", f"T: float, {SHAPE}}}")).graphs[""]
    return Lifetimes(graph, topological(graph), snapshot_ops())


def peaks(*lines: str) -> tuple[float, float]:
    """In units: nodes in order, nodes at once."""
    found = lifetimes(*lines)
    return found.one_by_one.peak / UNIT, found.at_once.peak / UNIT


def test_a_result_is_there_until_its_last_use() -> None:
    cumsum = "{Tidx: int32, exclusive: false, reverse: false, F}"
    lines = [f"  a = Cumsum(x, x) {cumsum}", f"  b = Cumsum(a, x) {cumsum}", f"  c = Cumsum(b, x) {cumsum}"]
    assert peaks(*lines, "  output y = c") == (2, 2)
    assert peaks(*lines, "  d = Sub(a, c) {F}", "  output y = d") == (3, 3)


def test_an_output_is_there_until_the_end() -> None:
    lines = ["  a = Exp(x) {F}", "  b = Neg(x) {F}", "  c = Sub(b, b) {F}"]
    assert peaks(*lines, "  output y = c") == (1, 1)  # nobody needs a
    assert peaks(*lines, "  output a = a", "  output y = c") == (2, 2)
    assert peaks("  kept a", *lines[:0], lines[0]) == (1, 1)


def test_nodes_at_once_are_in_memory_together() -> None:
    lines = [
        f"  a{i} = Exp(x) {{F}}\n  s{i} = Sum(a{i}, x) {{T: float, Tidx: int32, keep_dims: false, " for i in range(3)
    ]
    lines = [line + "_output_shapes: [shape: <>]}" for line in lines]
    total = "  y = AddN(s0, s1, s2) {N: 3, T: float, _output_shapes: [shape: <>]}"
    one_by_one, at_once = peaks(*lines, total, "  output y = y")
    assert 1 <= one_by_one < 1.1 and 3 <= at_once < 3.1


def test_a_kernel_takes_over_the_buffer_of_an_operand_that_nobody_else_uses() -> None:
    assert peaks("  a = Exp(x) {F}", "  b = Exp(a) {F}", "  output y = b") == (1, 1)
    assert peaks("  a = Exp(x) {F}", "  b = Exp(a) {F}", "  c = Sub(a, b) {F}", "  output y = c") == (2, 2)
    assert peaks("  a = Exp(x) {F}", "  b = Exp(a) {F}", "  output a = a", "  output y = b") == (2, 2)
    # Of two that use it at once, neither knows that the other is done.
    assert peaks(
        "  a = Exp(x) {F}", "  b = Exp(a) {F}", "  c = Neg(a) {F}", "  d = Sub(b, c) {F}", "  output y = d"
    ) == (2, 3)


def test_a_view_has_no_buffer_and_keeps_its_operand() -> None:
    lines = ["  a = Exp(x) {F}", "  v = Identity(a) {F}", "  w = Identity(v) {F}", "  b = Neg(x) {F}"]
    assert peaks(*lines, "  c = Sub(w, b) {F}", "  output y = c") == (2, 2)
    assert peaks(*lines[:3], "  c = Exp(w) {F}", "  output y = c") == (1, 1)
    assert peaks(*lines[:3], "  output y = w") == (1, 1)


def test_long_chains_of_views_are_walked_once() -> None:
    names = ["a", *(f"v{index}" for index in range(20_000))]
    lines = [f"  {name} = Identity({above}) {{F}}" for above, name in itertools.pairwise(names)]
    found = lifetimes("  a = Exp(x) {F}", *lines, f"  y = Exp({names[-1]}) {{F}}", "  output y = y")
    assert {found.holder(name) for name in names} == {"a"}
    assert found.one_by_one.peak == found.at_once.peak == UNIT


def test_what_is_there_anyway_counts_as_nothing() -> None:
    found = lifetimes(
        "  c = Const() {dtype: float, value: tensor(float, [2], 1.0, 2.0)}",
        "  h = VarHandleOp() {dtype: float, shape: <256>}",
        "  r = ReadVariableOp(h) {dtype: float, _output_shapes: [shape: <256>]}",
        "  p = Placeholder() {dtype: float, shape: <256>}",
        "  y = AddN(c, r, p, x) {N: 4, F}",
        "  output y = y",
    )
    assert found.sizes == {"y": UNIT} and not found.unknown


def test_unknown_sizes_and_unknown_batches() -> None:
    found = lifetimes(
        "  a = Exp(x) {T: float}",
        "  b = Exp(a) {T: float, _output_shapes: [shape: <?, 256>]}",
        "  c = Exp(b) {T: float, _output_shapes: [shape: <256, ?>]}",
        "  output y = c",
    )
    assert found.sizes == {"b": UNIT} and found.unknown == {"a", "c"} and found.per_example


def test_what_frees_as_much_as_it_takes_goes_first() -> None:
    """As the gradients of weights do: what they need is large, and what they give is small and an output."""
    small = "{T: float, Tidx: int32, keep_dims: false, _output_shapes: [shape: <>]}"
    cumsum = "{Tidx: int32, exclusive: false, reverse: false, F}"
    lines, outputs, above = [], [], "x"
    for step in range(10):
        lines += [f"  a{step} = Cumsum({above}, x) {cumsum}", f"  w{step} = Sum(a{step}, x) {small}"]
        outputs.append(f"  output w{step} = w{step}")
        above = f"a{step}"
    assert 2 <= peaks(*lines, f"  output y = {above}", *outputs)[0] < 2.1


def test_what_is_needed_late_is_made_late() -> None:
    cumsum = "{Tidx: int32, exclusive: false, reverse: false, F}"
    lines = ["  late = Exp(x) {F}", f"  a = Cumsum(x, x) {cumsum}", f"  b = Cumsum(a, x) {cumsum}"]
    lines += [f"  c = Cumsum(b, x) {cumsum}", "  y = Sub(late, c) {F}"]
    schedule = lifetimes(*lines, "  output y = y").one_by_one
    assert list(schedule.at) == ["x", "a", "b", "c", "late", "y"]


@pytest.mark.parametrize("seed", range(20))
def test_one_by_one_is_an_order(seed: int) -> None:
    """Every node once, behind all that it needs."""
    draw = random.Random(seed)
    names = ["x"]
    lines = []
    for index in range(draw.randrange(2, 60)):
        op, count = draw.choice([("Exp", 1), ("Identity", 1), ("Sub", 2)])
        operands = ", ".join(draw.choices(names, k=count))
        control = f" ^{draw.choice(names)}" if draw.random() < 0.2 else ""
        lines.append(f"  n{index} = {op}({operands}) {{F}}{control}")
        names.append(f"n{index}")
    found = lifetimes(*lines, *(f"  output {name} = {name}" for name in draw.choices(names, k=3)))
    nodes, at = found._graph.nodes, found.one_by_one.at
    assert sorted(at.values()) == list(range(len(at))) and at.keys() == found.alive
    for name, place in at.items():
        assert all(at[source] < place for source, _ in nodes[name].inputs)
        assert all(at[control] < place for control in nodes[name].controls)
    assert min(found.one_by_one.profile) >= 0 and found.one_by_one.profile[-1] == 0


def test_saving_and_initialisation_do_not_count() -> None:
    """They have names that the outside knows, and run apart from everything else."""
    found = lifetimes(
        "  a = Exp(x) {F}",
        "  init = Neg(a) {F}",
        "  b = Exp(a) {F} ^init",
        "  output y = b",
        "  kept init",
        "  frozen init",
    )
    assert found.one_by_one.peak == found.at_once.peak == UNIT and "init" not in found.alive


def test_loops_of_version_1_have_back_edges() -> None:
    found = lifetimes(
        '  e = Enter(x) {frame_name: "f", T: float}',
        "  m = Merge(e, n) {N: 2, T: float}",
        "  b = Exp(m) {F}",
        "  n = NextIteration(b) {T: float}",
        "  output y = m",
    )
    assert found.one_by_one.peak == found.at_once.peak == UNIT


@pytest.mark.parametrize("seed", range(20))
def test_peaks_with_changes(seed: int) -> None:
    """Against the definition, with more times than are looked at in one step."""
    draw = random.Random(seed)
    times = draw.choice([3, 700, 2000])
    schedule = Schedule({str(time): time for time in range(times)}, {}, {})
    schedule.profile = [draw.randrange(1000) for _ in range(times)]
    changes = []
    for _ in range(draw.randrange(4)):
        first, last = draw.randrange(times), draw.randrange(times)
        changes.append((first, last, draw.randrange(-900, 900)))
    expected = list(schedule.profile)
    for first, last, size in changes:
        for time in range(first, last + 1):
            expected[time] += size
    assert schedule.peak_with(changes) == max(expected)


def test_nothing_is_estimated_where_nothing_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ordinary way is not made slower: no candidate is cheap and large, and there is no limit."""
    monkeypatch.setattr(Lifetimes, "__init__", lambda *_: pytest.fail("estimated"))
    text = 'graph ""\n  x = _Arg() {T: float}\n  a = Exp(x) {F}\n  b = Exp(x) {F}\n  y = Sub(a, b) {F}\n'
    module = parse_module(text.replace("F}", f"T: float, {SHAPE}}}") + "  argument x\n  output y = y")
    result = run.run_pipeline(module, snapshot_ops(), parse_pipeline(PRESETS["exact"]), raise_failures=True)
    assert "b" not in result.after.graphs[""].nodes
