"""How often loops run and how their counters move, against running them in Python."""

from __future__ import annotations

import operator
from itertools import product

import pytest

from tfreuse.analysis.loops import Line, Loop
from tfreuse.ir.graph import Value
from tfreuse.ir.parse import parse_module
from tfreuse.validate.iterations import iterations

COMPARE = {"Less": operator.lt, "LessEqual": operator.le, "Greater": operator.gt, "GreaterEqual": operator.ge}

TEXT = """
graph ""
  a = Const() {{dtype: int32, value: tensor(int32, [], {first})}}
  b = Const() {{dtype: int32, value: tensor(int32, [], {limit})}}
  loop = StatelessWhile(a, b, a) {{T: [type: int32, int32, int32], body: @"body"{{}}, cond: @"cond"{{}}}}
  output y = loop:2
graph "cond"
  i = _Arg() {{T: int32}}
  n = _Arg() {{T: int32}}
  z = _Arg() {{T: int32}}
  ten = Const() {{dtype: int32, value: tensor(int32, [], 10)}}
  go = {op}(i, n) {{T: int32}}
  few = Less(i, ten) {{T: int32}}
  both = LogicalAnd(go, few)
  id = Identity(both) {{T: bool}}
  argument i
  argument n
  argument z
  output go = id
graph "body"
  i = _Arg() {{T: int32}}
  n = _Arg() {{T: int32}}
  z = _Arg() {{T: int32}}
  by = Const() {{dtype: int32, value: tensor(int32, [], {by})}}
  three = Const() {{dtype: int32, value: tensor(int32, [], 3)}}
  next = AddV2(by, i) {{T: int32}}
  id = Identity(next) {{T: int32}}
  twice = Mul(i, three) {{T: int32}}
  less = Sub(twice, n) {{T: int32}}
  square = Mul(i, i) {{T: int32}}
  both = Pack(less, by) {{N: 2, T: int32, axis: 0}}
  argument i
  argument n
  argument z
  output i = id
  output n = n
  output z = {back}
"""


def loop_in(text: str) -> Loop:
    module = parse_module(text)
    return Loop(module, module.graphs[""], module.graphs[""].nodes["loop"])


def run(first: int, by: int, limit: int, op: str) -> list[int] | None:
    """The counter in each iteration; None for a loop without end."""
    found, counter = [], first
    while COMPARE[op](counter, limit) and counter < 10:
        found.append(counter)
        counter += by
        if len(found) > 200:
            return None
    return found


@pytest.mark.parametrize("op", COMPARE)
def test_trips_and_lines(op: str) -> None:
    ended = 0
    for first, by, limit in product((-3, 0, 4), (-2, 0, 1, 3), (-7, 0, 5, 9)):
        text = TEXT.format(first=first, by=by, limit=limit, op=op, back="z")
        loop = loop_in(text)
        counters = run(first, by, limit, op)
        if counters is None:  # the other comparison may be the one that never ends, then nothing is said
            assert loop.trips is None
            continue
        ended += loop.trips is not None
        assert loop.trips in (len(counters), None), (first, by, limit)
        line = loop.line(Value("less"))
        assert line is not None
        assert [line.first + line.by * step for step in range(len(counters))] == [3 * i - limit for i in counters]
        assert loop.lines(Value("both")) == [line, Line(by)]
        assert loop.line(Value("square")) == (None if by else Line(first * first))
    print(f"{op}: {ended} loops with a known end")
    assert ended >= 8


def test_what_is_not_known() -> None:
    text = TEXT.format(first=0, by=1, limit=5, op="Less", back="square")
    loop = loop_in(text)
    assert (loop.is_invariant(1), loop.is_invariant(2)) == (True, False)
    assert loop.line(Value("z")) is None
    reads = text.replace("StatelessWhile(a, b, a)", "StatelessWhile(a, x, a)").replace(
        'graph ""\n', 'graph ""\n  x = _Arg() {T: int32}\n  argument x\n'
    )
    loop = loop_in(reads)
    assert loop.trips is None
    assert loop.line(Value("i")) == Line(0, 1)
    assert loop.line(Value("less")) is None


@pytest.mark.parametrize("op", COMPARE)
def test_the_proof_enumerates_the_same_iterations(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs the loop, and knows nothing of lines; both are held against Python."""
    monkeypatch.setattr("tfreuse.validate.iterations.MOST", 200)
    for first, by, limit in product((-2, 0, 3), (-2, -1, 1, 3), (-4, 0, 5, 12)):
        module = parse_module(TEXT.format(first=first, limit=limit, by=by, op=op, back="z"))
        found = iterations(module, module.graphs[""], module.graphs[""].nodes["loop"])
        expected = run(first, by, limit, op)
        counters = None if found is None else [state[0].elements[0] for state in found]
        assert counters == expected, (first, by, limit)


def test_a_counter_that_goes_down_by_subtraction() -> None:
    text = TEXT.format(first=7, limit=0, by=2, op="Greater", back="z")
    loop = loop_in(text.replace("AddV2(by, i)", "Sub(i, by)"))
    assert loop.line(Value("i")) == Line(7, -2)
    assert loop_in(text.replace("AddV2(by, i)", "Sub(by, i)")).line(Value("i")) is None


def test_a_vector_that_a_counter_is_spread_over() -> None:
    numbers = "v = Const() {{dtype: int32, value: tensor(int32, [3], 4, 0, 1)}}\n  at = Mul(i, v) {{T: int32}}\n"
    more = f"  {numbers}  begin = AddV2(at, v) {{{{T: int32}}}}\n  argument i\n"
    head, _, body = TEXT.partition('graph "body"')
    text = f'{head}graph "body"{body.replace("  argument i" + chr(10), more, 1)}'
    loop = loop_in(text.format(first=1, limit=9, by=2, op="Less", back="z"))
    assert loop.lines(Value("begin")) == [Line(8, 8), Line(0, 0), Line(2, 2)]
    assert loop.lines(Value("both")) == [Line(-6, 6), Line(2, 0)]
