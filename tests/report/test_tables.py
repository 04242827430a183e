"""`print(report)`: tables drawn from the JSON alone, with what a reader must not miss."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import tensorflow as tf
from rich.console import Console

import tfreuse
from tests.report.samples import SAMPLES, report_of
from tfreuse.report.report import Report
from tfreuse.report.table import MAX_ROWS, amount, layout, render

ALL = pytest.mark.parametrize("name", SAMPLES)


def data_of(name: str) -> dict[str, Any]:
    return json.loads(SAMPLES[name]().to_json())


@ALL
def test_tables_are_drawn_from_the_json_alone(name: str) -> None:
    report = SAMPLES[name]()
    text = str(report)
    assert render(json.loads(report.to_json())) == text
    assert all(len(line) <= 110 and line == line.rstrip() for line in text.splitlines())
    assert "\x1b" not in text
    data = report.to_dict()
    headline = f"{data['model']['name']} ({data['model']['kind']}), pipeline {data['pipeline']}"
    assert render(data, 1000).splitlines()[0] == headline  # at 110 columns a long path may break the line
    before = copy.deepcopy(data)
    layout(data)
    assert data == before


@ALL
@pytest.mark.parametrize("width", [40, 300])
def test_tables_fit_other_widths(name: str, width: int) -> None:
    lines = render(data_of(name), width).splitlines()
    assert max(map(len, lines)) <= width


def test_the_report_of_a_function() -> None:
    """Word for word, widths aside."""
    lines = [" ".join(line.replace("┃", "│").split()) for line in render(data_of("function"), 200).splitlines()]
    text = "\n".join(line for line in lines if not line.startswith(("┏", "┡", "└")))
    assert "<lambda> (function), pipeline inline,dedupe-reads,dedupe-constants,cse,dce" in text
    assert "in 3 functions (2 changed)" in text
    # Three convolutions of two images, each of 8 * 8 * 4 results, 3 * 3 taps.
    assert f"saves {3 * 2 * 8 * 8 * 4 * 9 / 1000:.3g} k multiply-adds and" in text
    assert "Shared\n│ function │ computed once │ copies gone │ ops │ multiply-adds │" in text
    assert "merged 21: 1 AddV2, 7 Const, 3 Conv2D, 1 Exp, 3 Mean, 3 ReadVariableOp, 3 Relu\n" in text
    # What the sum repeats is another region than the tower inside it.
    assert "│ <lambda> │ features/Conv2D, features, features/Mean │ 1 │ 1 Const, 1 Conv2D, 1 Mean, " in text
    assert "│ while_body" in text
    assert "Not shared\n│ function │ remark │ nodes │ what differs │" in text
    assert "│ <lambda> │ different-variables │ MatMul, MatMul_1 │ operand 1: " in text
    assert "│ <lambda> │ write-between │ " in text
    assert "│ state: AssignAddVariableOp runs before only one of them │" in text


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("function_of_unknown_batch", ["multiply-adds and", "per example"]),
        ("function_of_unknown_shape", ["saves at least 0 multiply-adds", "unknown"]),
        ("function_without_duplicates", ["nothing to merge", "in 1 functions (0 changed)"]),
        ("function_of_nothing", ["nothing to merge"]),
        ("method", ["features (function)", "cse{ops=conv}"]),
        ("function_whose_pass_fails", ["failure: pass-failed", "ZeroDivisionError: broken"]),
        ("function_that_cannot_be_read", ["failure: not-optimized features: ZeroDivisionError: broken"]),
        ("saved_model_whose_pass_fails", ["failure: pass-failed", "ZeroDivisionError: broken"]),
        ("saved_model_of_an_unknown_op", ["missed: unknown-op", "'NobodyKnows'", "is not registered"]),
        ("saved_model_inspected", ["(SavedModel)", "3 Conv2D", "different-variables", "write-between", "per example"]),
        ("graph_def", ["graph (GraphDef)", "main", "3 Conv2D"]),
        ("concrete_function", ["classify (function)", "while_body", "3 Conv2D"]),
    ],
)
def test_key_facts_are_shown(name: str, facts: list[str]) -> None:
    text = " ".join(render(data_of(name), 300).split())
    for fact in facts:
        assert fact in text


def test_long_tables_are_cut_and_say_so() -> None:
    count = MAX_ROWS + 5

    def program(x: Any) -> Any:
        for _ in range(count + 1):
            tf.print(x)
        return [tf.math.log1p(x * float(i)) + 2.0 * tf.math.log1p(x * float(i)) for i in range(count)]

    report = report_of(program, tf.TensorSpec([2]))
    assert len(report.missed) == count
    text = str(report)
    # Constants alone are not worth a row.
    regions = [r for r in report.to_dict()["functions"][0]["regions"] if r["ops"].keys() != {"Const"}]
    shown, hidden = text.split("Not shared")
    assert f"{len(regions) - MAX_ROWS} more in the JSON" in shown
    assert f"{count - MAX_ROWS} more in the JSON" in hidden
    assert hidden.count("observable-effect") == MAX_ROWS


def test_a_list_of_misses_is_cut_and_its_count_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfreuse.report.build.MAX_MISSED", 5)

    def program(x: Any) -> Any:
        for _ in range(9):
            tf.print(x)
        return [tf.random.stateless_uniform([2], [1, 2]) for _ in range(2)]

    report = report_of(program, tf.TensorSpec([2]))
    (function,) = report.to_dict()["functions"]
    assert len(function["missed"]) == len(report.missed) == 5
    assert function["missed_count"] == report.to_dict()["totals"]["missed"] == 8 + 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1 k"),
        (12_345, "12.3 k"),
        (999_499, "999 k"),
        (999_999, "1 M"),
        (1_234_567, "1.23 M"),
        (999_999_999, "1 G"),
        (10**12, "1 T"),
        (1_234 * 10**12, "1234 T"),
        (None, "unknown"),
    ],
)
def test_amounts_have_three_digits_and_a_prefix(value: int | None, text: str) -> None:
    assert amount(value) == text
    assert amount(value, "B") == (text if value is None else f"{text}B" if " " in text else f"{text} B")


def test_a_report_is_built_when_it_is_asked_for_and_once() -> None:
    built = []

    def build() -> dict[str, Any]:
        built.append(1)
        return data_of("function")

    report = Report(build)
    assert not built
    assert report.merged
    assert repr(report) == f"<tfreuse.Report: {report.merged} nodes merged>"
    assert str(report)
    assert report.missed
    assert not report.failures
    assert built == [1]
    assert isinstance(report, tfreuse.Report)


def test_a_near_miss_without_a_field_is_told_by_its_detail() -> None:
    data = data_of("function")
    for function in data["functions"]:
        for miss in function["missed"]:
            miss["field"], miss["detail"] = "", "of another kind"
    text = render(data, 200)
    assert "│ of another kind" in text
    assert ": of another kind" not in text


@pytest.mark.parametrize(
    ("remark", "line"),
    [
        (
            {"id": "hoisted", "nodes": ["w/Conv2D", "w/Relu"], "detail": "out of w"},
            "hoisted: w/Conv2D, w/Relu out of w",
        ),
        (
            {"id": "gradient-factored", "nodes": ["AddN", "a", "b"], "detail": ""},
            "gradient-factored: AddN of a, b in f",
        ),
    ],
)
def test_work_that_moved_is_told(remark: dict[str, Any], line: str) -> None:
    data = data_of("function_of_nothing")
    assert "nothing to merge" in render(data, 200)
    data["remarks"].append({"kind": "passed", "function": "f", **remark})
    assert line in render(data, 200)
    assert "nothing to merge" not in render(data, 200)


def test_a_coloured_console_can_print_it() -> None:
    console = Console(width=120, force_terminal=True, color_system="truecolor", record=True, quiet=True)
    console.print(layout(data_of("saved_model_inspected")))
