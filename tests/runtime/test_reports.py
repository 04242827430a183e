"""Reports of functions: one for each trace, with the names of its bodies, by whatever way it was decorated."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tfreuse.passes.cse import Cse
from tfreuse.passes.dce import Dce
from tfreuse.passes.dedupe_reads import DedupeReads
from tfreuse.runtime import tracing

X = tf.constant([1.0, 2.0])


def square_twice(x: Any) -> Any:
    return tf.square(x) + tf.square(x)


# The reports of traces


def test_each_trace_adds_a_report() -> None:
    function = tfreuse.dedupe(square_twice)
    assert function.report is None
    assert function.reports == []
    function(X)
    function(X + 1.0)
    assert len(function.reports) == function.experimental_get_tracing_count() == 1
    function(tf.constant([1.0, 2.0, 3.0]))
    function.get_concrete_function(tf.TensorSpec([4]))
    assert len(function.reports) == function.experimental_get_tracing_count() == 3
    assert function.report is function.reports[-1]
    assert all(isinstance(report, tfreuse.Report) and report.merged == 1 for report in function.reports)
    function.reports.clear()
    assert len(function.reports) == 3


def test_only_the_latest_reports_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "MAX_REPORTS", 3)
    function = tfreuse.dedupe(lambda x, times: square_twice(x) * times)
    reports = []
    for times in range(1, 6):
        function(X, times)
        reports.append(function.report)
    assert len(function.reports) == 3
    assert all(one is other for one, other in zip(function.reports, reports[2:], strict=True))
    assert function.experimental_get_tracing_count() == 5


def test_the_default_bound_is_not_small() -> None:
    assert tracing.MAX_REPORTS >= 16


def test_run_eagerly_traces_nothing() -> None:
    function = tfreuse.dedupe(square_twice)
    tf.config.run_functions_eagerly(True)
    try:
        assert function(X).numpy().tolist() == [2.0, 8.0]
    finally:
        tf.config.run_functions_eagerly(False)
    assert function.report is None


def test_bodies_are_reported_under_their_names() -> None:
    @tfreuse.dedupe
    def outer(x: Any) -> Any:
        for _ in tf.range(2):
            x = square_twice(x)
        x = tf.cond(x[0] > 0.0, lambda: square_twice(x), lambda: x)
        return tf.function(square_twice)(x)

    outer(X)
    found = {entry["label"]: entry for entry in outer.report.to_dict()["functions"]}
    assert all(entry["name"] == label for label, entry in found.items())
    for part in ("while_body", "while_cond", "cond_true", "cond_false", "square_twice", "outer"):
        assert sum(label.startswith(part) for label in found) == 1, part
    merged = [label for label, entry in found.items() if any("Square" in r["ops"] for r in entry["regions"])]
    assert sorted(label.rstrip("0123456789_") for label in merged) == ["cond_true", "square_twice", "while_body"]
    assert outer.report.to_dict()["model"] == {"kind": "function", "name": "outer"}


def test_a_body_that_tensorflow_rewrites_for_its_gradient_is_counted_once() -> None:
    @tfreuse.dedupe
    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = x
            for _ in tf.range(2):
                y = tf.exp(y) - 0.5 * tf.exp(y)
            y = tf.cond(y[0] > 0.0, lambda: tf.sin(y) + 2.0 * tf.sin(y), lambda: y)
        return tape.gradient(y, x)

    step(X)
    data = step.report.to_dict()
    forward = [entry["label"] for entry in data["functions"] if "_grad_" not in entry["label"]]
    assert len(forward) == 5, forward  # the function, a condition, a body, two branches
    assert (data["totals"]["merged_ops"]["Exp"], data["totals"]["merged_ops"]["Sin"]) == (1, 1)


def test_regions_name_layers() -> None:
    layer = tf.keras.layers.Conv2D(2, 3, name="encoder")
    layer.build((None, None, None, 1))
    function = tfreuse.dedupe(lambda x: layer(x) + 2.0 * layer(x))
    function(tf.ones([1, 5, 5, 1]))
    (region,) = [r for r in function.report.to_dict()["functions"][0]["regions"] if "Conv2D" in r["ops"]]
    assert len(region["duplicates"]) == 1
    assert all(scope.startswith("encoder") for scope in region["scopes"])
    assert "encoder" in str(function.report)


# Methods


class Model(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = tf.Variable(2.0)

    @tfreuse.dedupe
    def call(self, x: Any) -> Any:
        return x * self.weight + x * self.weight

    @tfreuse.dedupe(reduce_retracing=True, preset="conv")
    def other(self, x: Any) -> Any:
        return x * self.weight + x * self.weight

    @staticmethod
    @tfreuse.dedupe
    def static(x: Any) -> Any:
        return square_twice(x)


def test_methods_have_reports() -> None:
    model, twin = Model(), Model()
    assert model.call.report is None
    assert model.call(X).numpy().tolist() == [4.0, 8.0]
    assert model.call.report.merged == 2  # a read and a product
    assert model.other(X).numpy().tolist() == [4.0, 8.0]
    assert model.other.report.merged == 1
    assert model.static(X).numpy().tolist() == [2.0, 8.0]
    assert Model.static.report.merged == 1
    twin.weight.assign(3.0)
    assert twin.call(X).numpy().tolist() == [6.0, 12.0]
    assert Model.call.report is twin.call.report
    assert len(Model.call.reports) == 2


def test_callables_of_other_kinds_have_reports() -> None:
    class Squares:
        def __call__(self, x: Any) -> Any:
            return square_twice(x)

    partial = functools.partial(lambda power, x: x**power + x**power, 2)
    for program in (Squares(), Squares().__call__, partial, tf.function(square_twice), tfreuse.dedupe(square_twice)):
        function = tfreuse.dedupe(program)
        assert function(X).numpy().tolist() == [2.0, 8.0]
        assert function.report is function.reports[-1]
        assert not function.report.failures


# Pipelines


def mixed(x: Any) -> Any:
    kernel = tf.ones([1, 1, 1, 1])
    images = x[None, None, :, None]
    convolved = tf.nn.conv2d(images, kernel, 1, "SAME") + tf.nn.conv2d(images, kernel, 1, "SAME")
    return convolved, tf.exp(x) + tf.exp(x)


@pytest.mark.parametrize(
    ("options", "merged", "text"),
    [
        ({}, {"Conv2D", "Exp"}, "inline,dedupe-reads,dedupe-constants,cse,dce"),
        ({"preset": "conv"}, {"Conv2D"}, "dedupe-reads,dedupe-constants,cse{ops=conv},dce"),
        ({"pipeline": "cse{ops=Exp+Log},dce"}, {"Exp"}, "cse{ops=Exp+Log},dce"),
        ({"pipeline": "dedupe-reads"}, set(), "dedupe-reads"),
        ({"pipeline": (DedupeReads(), Cse(ops=("Exp",)), Dce())}, {"Exp"}, "dedupe-reads,cse{ops=Exp},dce"),
        ({"pipeline": [Cse()], "preset": "conv"}, {"Conv2D", "Exp"}, "cse"),
    ],
    ids=["default", "preset", "text", "reads alone", "passes", "list of passes"],
)
def test_a_pipeline_is_a_text_passes_or_a_preset(options: dict[str, Any], merged: set[str], text: str) -> None:
    function: Callable[..., Any] = tfreuse.dedupe(mixed, **options)
    function(X)
    data = function.report.to_dict()
    assert merged == {"Conv2D", "Exp"} & data["totals"]["merged_ops"].keys()
    assert data["pipeline"] == text
    assert set(data["seconds"]) == {*(step.partition("{")[0] for step in text.split(",")), "proof"}
