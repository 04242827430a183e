"""The reader and the checks of golden files: what they refuse, and how a failure reads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tfreuse.errors import InputError
from tfreuse.ir.attrs import Attrs, Tensor, attr_int
from tfreuse.testing.golden import (
    Case,
    check_case,
    check_hashing,
    check_orders,
    constant_hashes,
    parse_case,
    remark_lines,
    run_case,
)

HEAD = "# Two equal nodes.\n"
BEFORE = """--- before
graph ""
  x = _Arg()
  a = Exp(x) {T: float}
  b = Exp(x) {T: float}
  y = Sub(a, b) {T: float}
  argument x
  output y = y
"""
AFTER = """--- after
graph ""
  x = _Arg()
  a = Exp(x) {T: float}
  y = Sub(a, a) {T: float}
  argument x
  output y = y
"""
REMARKS = "--- remarks\nno remarks\n"


def check(text: str) -> None:
    case = parse_case(text)
    check_case(case)
    check_hashing(case)
    check_orders(case)


def test_a_case_that_holds() -> None:
    check(HEAD + BEFORE + AFTER + REMARKS)
    check(HEAD + "pipeline: cse\n" + BEFORE + AFTER)
    check(HEAD + "pipeline: dedupe-reads\n" + BEFORE + "--- after\nunchanged\n")


def test_what_a_case_says() -> None:
    case = parse_case("# One\n# sentence.\npipeline: cse\nshuffle: no, because\n" + BEFORE + "--- after\nunchanged\n")
    assert case.comment == "One sentence."
    assert case.pipeline == "cse"
    assert case.after is None
    assert case.remarks == ()
    assert not case.shuffles


def test_a_wrong_result_is_shown_as_a_diff() -> None:
    with pytest.raises(AssertionError) as caught:
        check(HEAD + BEFORE + "--- after\nunchanged\n")
    text = str(caught.value)
    assert "Two equal nodes." in text
    assert "-  b = Exp(x) {T: float}\n" in text
    assert "+  y = Sub(a, a) {T: float}\n" in text
    assert "   a = Exp(x) {T: float}\n" in text


def test_missing_remarks_are_shown_beside_those_found() -> None:
    case = parse_case(
        "# Two draws.\n--- before\ngraph \"\"\n  s = _Arg()\n  a = RandomUniform(s) {T: int32, dtype: float}\n"
        "  b = RandomUniform(s) {T: int32, dtype: float}\n  argument s\n  output a = a\n  output b = b\n"
        "--- after\nunchanged\n--- remarks\nmissed random-draw b a\n"
    )  # fmt: skip
    check_case(case)
    assert remark_lines(run_case(case)) == ["missed random-draw a b"]
    with pytest.raises(AssertionError, match="expected: missed write-between a b") as caught:
        check_case(replace(case, remarks=("missed write-between a b",)))
    assert "found:    missed random-draw a b" in str(caught.value)
    with pytest.raises(AssertionError, match="expected: no remarks"):
        check_case(replace(case, remarks=("no remarks",)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BEFORE + AFTER, "the first line must say"),
        (HEAD + BEFORE, "must both be there"),
        (HEAD + AFTER, "must both be there"),
        (HEAD + "pipelines: cse\n" + BEFORE + AFTER, "line 2: expected"),
        (HEAD + BEFORE + AFTER + "--- remarks\nmissed nonsense a\n", "remark"),
        (HEAD + "--- before\nx = \n" + AFTER, "line 1: expected name"),
        (HEAD + "--- before\ny = Exp(x)\n" + AFTER, "not in the graph"),
    ],
)
def test_a_file_that_does_not_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"case.*{message}"):
        parse_case(text)


def test_a_result_that_depends_on_the_order_of_listing_is_found() -> None:
    text = """# Whichever of the two is public stays.
--- before
graph ""
  d = _Arg()
  x = _Arg()
  a = Split(d, x) {T: float, num_split: 2}
  b = Split(d, x) {T: float, num_split: 2}
  y = Sub(a, b) {T: float}
  argument d
  argument x
  output y = y
  kept a
--- after
graph ""
  d = _Arg()
  x = _Arg()
  a = Split(d, x) {T: float, num_split: 2}
  y = Sub(a, a) {T: float}
  argument d
  argument x
  output y = y
  kept a
"""
    case = parse_case(text)
    check_case(case)
    with pytest.raises(AssertionError, match="nodes reversed"):
        check_orders(case)
    check_orders(replace(case, shuffles=False))


def test_inside_all_hashes_are_one_and_afterwards_they_are_as_before() -> None:
    one, other = Attrs({"a": attr_int(1)}), Tensor(1, (), b"\0\0\0\0")
    before = hash(one), hash(other)
    with constant_hashes():
        assert hash(one) == hash(other) == hash(Attrs())
    assert (hash(one), hash(other)) == before
    with pytest.raises(RuntimeError), constant_hashes():
        raise RuntimeError
    assert (hash(one), hash(other)) == before


def test_a_pass_that_raises_is_not_caught() -> None:
    case = Case("c", "c", "cse", parse_case(HEAD + BEFORE + AFTER).before, None)
    with pytest.raises(InputError, match="unknown pass"):
        run_case(replace(case, pipeline="nonsense"))
