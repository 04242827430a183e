"""The limit on the growth of memory: how it is written, and what it forbids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from tfreuse.analysis.growth import SCHEDULES, Growth
from tfreuse.errors import InputError
from tfreuse.ir.graph import Graph, Module
from tfreuse.ir.parse import parse_module
from tfreuse.pipeline import allowance
from tfreuse.pipeline.allowance import Limit, parse_limit
from tfreuse.pipeline.passes import Context, Pass
from tfreuse.pipeline.rewriter import Rewriter
from tfreuse.pipeline.run import Result
from tfreuse.pipeline.text import PRESETS, parse_pipeline
from tfreuse.testing.schemas import snapshot_ops
from tfreuse.validate.proved import run_proved

MIB = 2**20


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (0, Limit(0)),
        (4096, Limit(4096)),
        ("0", Limit(0)),
        ("4096", Limit(4096)),
        ("4096B", Limit(4096)),
        ("1kB", Limit(1000)),
        ("1.5 MiB", Limit(3 * MIB // 2)),
        (" 2GiB ", Limit(2**31)),
        ("10%", Limit(part=0.1)),
        ("0.5 %", Limit(part=0.005)),
    ],
)
def test_limits(text: str | int, limit: Limit) -> None:
    assert parse_limit(text) == limit


@pytest.mark.parametrize(
    "text", ["", "-1", -1, "ten", "10 percent", "1e9", "10mib", "%", "1 2", True, 1.5, "nan", "64 MiB x"]
)
def test_what_is_no_limit(text: Any) -> None:
    with pytest.raises(InputError, match=r"the memory growth is .*; give bytes, a size with a unit"):
        parse_limit(text)


def test_no_limit() -> None:
    assert parse_limit(None) is None


def test_a_part_of_the_peak() -> None:
    assert Limit(part=0.25).of(1000) == 250


def module(depth: int = 1, shape: str = "<1024, 1024>", pairs: int = 1) -> Module:
    """Chains of `depth` products, each used at the beginning and at the end, with 8 MiB in the middle."""
    lines = ['graph ""']
    lines += [f"  x{pair} = Placeholder() {{dtype: float, shape: <1024, 1024>}}" for pair in range(pairs)]
    lines += ["  all = Const() {dtype: int32, value: tensor(int32, [2], 0, 1)}"]
    lines += ["  d = Const() {dtype: int32, value: tensor(int32, [2], 2048, 1024)}"]
    result = f"T: float, transpose_a: false, transpose_b: false, _output_shapes: [shape: {shape}]"
    reduced = "{T: float, Tidx: int32, keep_dims: false, _output_shapes: [shape: <>]}"

    def chain(name: str, pair: int) -> str:
        above = f"x{pair}"
        for step in range(depth):
            lines.append(f"  {name}{step}_{pair} = MatMul({above}, x{pair}) {{{result}}}")
            above = f"{name}{step}_{pair}"
        return above

    scalar = "T: float, _output_shapes: [shape: <>]"
    early, late = [", ".join(f"{kind}{pair}" for pair in range(pairs)) for kind in ("early", "late")]
    lines += [f"  early{pair} = Sum({chain('a', pair)}, all) {reduced}" for pair in range(pairs)]
    lines.append(f"  early = AddN({early}) {{N: {pairs}, {scalar}}}")
    lines.append("  big = Fill(d, early) {T: float, index_type: int32, _output_shapes: [shape: <2048, 1024>]}")
    lines.append(f"  sum = Sum(big, all) {reduced}")
    for pair in range(pairs):
        lines.append(f"  scaled{pair} = Mul({chain('b', pair)}, sum) {{T: float, _output_shapes: [shape: {shape}]}}")
        lines.append(f"  late{pair} = Max(scaled{pair}, all) {reduced}")
    lines.append(f"  y = AddN({late}) {{N: {pairs}, {scalar}}}")
    return parse_module("\n".join([*lines, "  output y = y"]))


def limited(module: Module, limit: str | int | None, pipeline: Any = None) -> Result:
    steps = pipeline or parse_pipeline(PRESETS["exact"])
    return run_proved(module, snapshot_ops(), steps, raise_failures=True, max_memory_growth=limit)


def products(graph: Graph) -> int:
    return sum(node.op == "MatMul" for node in graph.nodes.values())


def growth(result: Result) -> dict[str, int]:
    found = Growth(result.before.graphs[""], result.ops)
    return found.grown(found.after(result.after.graphs[""]))


@pytest.mark.parametrize(
    ("limit", "left"),
    [(None, 1), ("4MiB", 1), ("100%", 1), ("50%", 1), (4 * MIB - 1, 2), ("10%", 2), (0, 2)],
)
def test_one_product(limit: str | int | None, left: int) -> None:
    result = limited(module(), limit)
    assert products(result.after.graphs[""]) == left
    remarks = [remark for remark in result.remarks.items if remark.id == "memory-growth"]
    assert growth(result)["one_by_one"] == (4 * MIB if left == 1 else 0)
    if left == 2:
        (remark,) = remarks
        assert remark.nodes == ("a0_0", "b0_0") and remark.by == "cse"
        assert f"{4 * MIB} bytes; the peak would grow by {4 * MIB} bytes, " in remark.detail
    else:
        assert not remarks


@pytest.mark.parametrize("depth", [2, 5, 40])
def test_chains_go_back_to_what_they_were(depth: int) -> None:
    """What a refused product needs would be in memory instead, so it is computed again as well."""
    result = limited(module(depth), 0)
    assert products(result.after.graphs[""]) == 2 * depth
    assert max(growth(result).values()) <= 0
    assert products(limited(module(depth), "4MiB").after.graphs[""]) == depth


@pytest.mark.parametrize(("limit", "left"), [("8MiB", 2), ("4MiB", 3), (0, 4)])
def test_no_more_is_left_out_than_is_needed(limit: str | int, left: int) -> None:
    """Of two products that would live longer, one may."""
    assert products(limited(module(pairs=2), limit).after.graphs[""]) == left


def test_the_number_of_tries_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then every merge is left out, which needs no more tries."""
    monkeypatch.setattr(allowance, "_ROUNDS", 1)
    result = limited(module(5), 0)
    assert products(result.after.graphs[""]) == 10
    details = [remark.detail for remark in result.remarks.items if remark.id == "memory-growth"]
    assert sum("it could not be told which merges" in detail for detail in details) == 4


def test_other_merges_go_on() -> None:
    """Only what makes memory grow is left out."""
    text = "\n".join(
        [
            'graph ""',
            "  x = Placeholder() {dtype: float, shape: <1024, 1024>}",
            *(
                f"  m{i} = MatMul(x, x) {{T: float, transpose_a: true, _output_shapes: [shape: <1024, 1024>]}}"
                for i in "12"
            ),
            "  n = Sub(m1, m2) {T: float, _output_shapes: [shape: <1024, 1024>]}",
            "  output n = n",
        ]
    )
    result = limited(parse_module(text), 0)
    assert products(result.after.graphs[""]) == 1
    assert max(growth(result).values()) < 0


def test_a_size_that_is_not_known_may_not_live_longer() -> None:
    result = limited(module(shape="<1024, ?>"), "1000GiB")
    assert products(result.after.graphs[""]) == 2
    (remark,) = [remark for remark in result.remarks.items if remark.id == "memory-growth"]
    assert remark.detail == "its size is not known, and it would be in memory for longer"
    assert products(limited(module(shape="<1024, ?>"), None).after.graphs[""]) == 1


@dataclass(frozen=True)
class Merges(Pass):
    """Merges without asking anybody."""

    def candidates(self, context: Context) -> Iterable[list[str]]:
        return context.analyses.congruence.classes

    def apply(self, context: Context, candidate: list[str], rewriter: Rewriter) -> None:
        for name in candidate[1:]:
            rewriter.merge(name, candidate[0])


def test_a_pass_that_does_not_ask_is_undone() -> None:
    before = module()
    result = limited(before, 0, (Merges(),))
    assert result.after.graphs[""] == before.graphs[""] and not result.graphs[""].journal
    (remark,) = result.remarks.items
    assert (remark.id, remark.nodes) == ("memory-growth", ())
    assert products(limited(before, "4MiB", (Merges(),)).after.graphs[""]) == 1


def test_a_bad_limit_is_told_before_anything_is_done() -> None:
    with pytest.raises(InputError, match="the memory growth is 'much'"):
        limited(module(), "much")


def test_schedules_have_names() -> None:
    assert SCHEDULES == ("one_by_one", "at_once")
