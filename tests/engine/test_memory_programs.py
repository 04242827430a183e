"""Random programs of large results: decisions about memory hold when they are asked again, and limits are kept."""

from __future__ import annotations

import random

import pytest

from tests.engine.build import EXACT
from tfreuse.analysis.growth import Growth
from tfreuse.ir.graph import Module
from tfreuse.ir.parse import parse_module
from tfreuse.ir.text import print_module
from tfreuse.pipeline.run import Result
from tfreuse.pipeline.text import parse_pipeline
from tfreuse.testing.schemas import snapshot_ops
from tfreuse.validate.proved import run_proved

LARGE = "_output_shapes: [shape: <1024, 1024>]"
SMALL = "_output_shapes: [shape: <>]"
EVERYTHING = EXACT.replace("cse", "cse{cheap-large=true}")
SEEDS = range(60)


def program(seed: int) -> Module:
    """Tiles, casts, products and sums, each of operands made shortly before."""
    draw = random.Random(seed)
    lines = [
        'graph ""',
        "  x = Placeholder() {dtype: float, shape: <1024, 1>}",
        "  n = Const() {dtype: int32, value: tensor(int32, [2], 1, 1024)}",
        "  all = Const() {dtype: int32, value: tensor(int32, [2], 0, 1)}",
        "  s = Placeholder() {dtype: float, shape: <>}",
    ]
    large: list[str] = []
    small = ["s"]
    for index in range(draw.randrange(10, 50)):
        name, kind = f"n{index}", draw.random()
        if kind < 0.3 or not large:
            lines.append(f"  {name} = Tile(x, n) {{T: float, Tmultiples: int32, {LARGE}}}")
        elif kind < 0.6:
            other = draw.choice(draw.choice([small, large])[-4:])
            lines.append(f"  {name} = Mul({draw.choice(large[-4:])}, {other}) {{T: float, {LARGE}}}")
        elif kind < 0.7:
            types = "SrcT: float, DstT: float, Truncate: false"
            lines.append(f"  {name} = Cast({draw.choice(large[-4:])}) {{{types}, {LARGE}}}")
        else:
            op = draw.choice(["Sum", "Max"])
            attrs = f"T: float, Tidx: int32, keep_dims: false, {SMALL}"
            lines.append(f"  {name} = {op}({draw.choice(large[-3:])}, all) {{{attrs}}}")
            small.append(name)
            continue
        large.append(name)
    outputs = [*small[-2:], large[-1]]
    return parse_module("\n".join([*lines, *(f"  output {name} = {name}" for name in dict.fromkeys(outputs))]))


def run(module: Module, pipeline: str = EXACT, limit: int | None = None) -> Result:
    return run_proved(module, snapshot_ops(), parse_pipeline(pipeline), raise_failures=True, max_memory_growth=limit)


def grown(result: Result) -> dict[str, int]:
    growth = Growth(result.before.graphs[""], result.ops)
    return growth.grown(growth.after(result.after.graphs[""]))


def apart(result: Result) -> bool:
    return any(remark.id == "cheap-to-repeat" for remark in result.remarks.items)


@pytest.mark.parametrize("seed", SEEDS)
def test_decisions(seed: int) -> None:
    module = program(seed)
    result, everything, limited = run(module), run(module, EVERYTHING), run(module, limit=0)
    assert print_module(run(result.after).after) == print_module(result.after)
    assert max(grown(limited).values()) <= 0
    if apart(result):
        more = {name: bytes_ - grown(everything)[name] for name, bytes_ in grown(result).items()}
        assert max(more.values()) <= 0 and min(more.values()) < 0
    else:
        assert print_module(result.after) == print_module(everything.after)


def test_the_programs_show_both_sides() -> None:
    found = [apart(run(program(seed))) for seed in SEEDS]
    assert 3 <= sum(found) < len(found) / 2
