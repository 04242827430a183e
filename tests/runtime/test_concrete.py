"""`tfreuse.optimize`: a concrete function made anew behaves as the one that it was made from, which stays as it was."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.runtime.concrete import PROGRAMS, Program, X, as_text, concrete
from tests.seeds import executed

ALL = pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS.keys())


def observe(function: Any, made: Program, second_order: bool = False) -> dict[str, Any]:
    """Values, gradients, watched variables and final variables; variables start and end as they were."""
    start = [variable.numpy() for variable in made.written]
    sources = [X, *made.captured]
    tensors = [source for source in sources if not isinstance(source, tf.Variable)]
    seen: dict[str, Any] = {}

    def first_order() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            seen["outputs"] = function(X)
        seen["slopes"] = [tf.convert_to_tensor(slope) for slope in tape.gradient(seen["outputs"], sources)]
        seen["watched"] = [id(variable) for variable in tape.watched_variables()]
        return seen["slopes"]

    if second_order and made.second_order:
        with tf.GradientTape() as outer:
            outer.watch(tensors)
            slopes = first_order()
        second = outer.gradient(slopes, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        seen["second"] = [tf.convert_to_tensor(slope) for slope in second]
    else:
        first_order()
    seen["written"] = [variable.numpy() for variable in made.written]
    for variable, value in zip(made.written, start, strict=True):
        variable.assign(value)
    return seen


@ALL
def test_values_and_gradients_are_the_original_s(make: Callable[[], Program]) -> None:
    made = make()
    before = as_text(made.function)
    optimized, report = tfreuse.optimize(made.function)
    assert as_text(made.function) == before
    seen = observe(optimized, made, second_order=True)
    expected = observe(made.function, made, second_order=True)
    executed.assert_same(expected, seen)
    executed.assert_same(expected["outputs"], observe(optimized, made)["outputs"])
    assert made.merges <= report.to_dict()["totals"]["merged_ops"].keys()
    assert not report.failures


@ALL
def test_the_original_may_be_used_and_differentiated_first(make: Callable[[], Program]) -> None:
    """TensorFlow adds outputs to the graph of a function whose gradient is asked for."""
    made = make()
    expected = observe(made.function, made)
    optimized, _ = tfreuse.optimize(made.function)
    assert len(optimized.outputs) == len(tf.nest.flatten(made.function.structured_outputs))
    executed.assert_same(expected, observe(optimized, made))
    executed.assert_same(expected, observe(made.function, made))


def test_no_less_is_merged_where_the_original_was_differentiated_first() -> None:
    """What TensorFlow added as outputs, for gradients, is no name that anybody knows."""
    sizes = []
    for differentiate in (False, True):
        made = PROGRAMS["straight_line"]()
        if differentiate:
            observe(made.function, made)
        optimized, report = tfreuse.optimize(made.function)
        sizes.append((report.merged, len(optimized.graph.get_operations())))
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("name", ["straight_line", "captured_constants", "loop", "calls_in_calls", "writes_in_bodies"])
def test_the_optimized_function_can_be_saved(name: str, tmp_path: Path) -> None:
    made = PROGRAMS[name]()
    optimized, _ = tfreuse.optimize(made.function)
    module = tf.Module()
    module.kept = [*made.captured, *made.written]
    module.run = optimized
    tf.saved_model.save(module, tmp_path / "model")
    loaded = tf.saved_model.load(tmp_path / "model")
    expected = observe(made.function, made)["outputs"]
    executed.assert_same(tf.nest.flatten(expected), tf.nest.flatten(loaded.run(X)))


def test_a_function_with_custom_gradients_in_calls_can_be_saved(tmp_path: Path) -> None:
    @tf.custom_gradient
    def doubled(x: Any) -> Any:
        return x * 2.0, lambda upstream: upstream * 7.0

    inner = tf.function(lambda x: doubled(x) * x)
    original = concrete(lambda x: inner(x) + inner(x))
    optimized, _ = tfreuse.optimize(original)
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    slopes = []
    for name, function in (("original", original), ("optimized", optimized)):
        module = tf.Module()
        module.run = function
        tf.saved_model.save(module, tmp_path / name, options=options)
        loaded = tf.saved_model.load(tmp_path / name)
        with tf.GradientTape() as tape:
            tape.watch(X)
            value = loaded.run(X)
        slopes.append(tape.gradient(value, X))
    executed.assert_same(*slopes)


def collect() -> None:
    for _ in range(3):  # what TensorFlow finalises frees more
        gc.collect()


def test_it_outlives_the_original() -> None:
    """What TensorFlow removes with the original, functions and Python closures, is not what the new one runs."""
    made = PROGRAMS["calls_in_calls"]()
    expected = observe(made.function, made)
    optimized, report = tfreuse.optimize(made.function)
    report.to_dict()  # a report that is yet to be built needs the graph
    graph = weakref.ref(made.function.graph)
    made.function = None
    collect()
    assert graph() is None
    executed.assert_same(expected, observe(optimized, made))
    graph = weakref.ref(optimized.graph)
    del optimized
    collect()
    assert graph() is None
