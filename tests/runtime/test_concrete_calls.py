"""`tfreuse.optimize`: how the new function is called, and what is refused before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import tensorflow as tf

import tfreuse
from tests.runtime.concrete import SPEC, X, as_text, concrete, vector
from tests.seeds import executed
from tfreuse.errors import InputError, NotSupportedError


class Pair(NamedTuple):
    left: Any
    right: Any


def test_structures_go_in_and_come_out_alike() -> None:
    def run(ragged: Any, sparse: Any, pair: Pair, named: dict[str, Any], power: int, flag: bool = True) -> Any:
        dense = tf.sparse.to_dense(sparse)
        return {
            "ragged": ragged * 2.0 + ragged * 2.0 if flag else ragged,
            "sparse": [sparse, tf.sparse.map_values(tf.square, sparse)],
            "pair": Pair(pair.left + pair.right, None),
            "deep": (named["key"] ** power + named["key"] ** power, [], {"none": None}),
            "slices": tf.IndexedSlices(dense * 2.0 + dense * 2.0, tf.constant([0, 1])),
            "twice": [ragged, ragged],
        }

    specs = tf.RaggedTensorSpec([2, None]), tf.SparseTensorSpec([2, 2]), Pair(SPEC, SPEC), {"key": tf.TensorSpec([])}
    original = concrete(run, *specs, 3)
    optimized, _ = tfreuse.optimize(original)
    ragged, sparse = tf.ragged.constant([[1.0, 2.0], [3.0]]), tf.sparse.from_dense([[1.0, 0.0], [0.0, 2.0]])
    args = ragged, sparse, Pair(X, X), {"key": tf.constant(2.0)}, 3, True
    expected, result = original(*args), optimized(*args)
    executed.assert_same(*(tf.nest.flatten(each, expand_composites=True) for each in (expected, result)))
    tf.nest.assert_same_structure(expected, result)
    assert isinstance(result["ragged"], tf.RaggedTensor)
    assert isinstance(result["pair"], Pair)
    assert result["pair"].right is None
    assert optimized.structured_input_signature == original.structured_input_signature
    assert optimized.pretty_printed_signature() == original.pretty_printed_signature()
    tf.nest.assert_same_structure(original.structured_outputs, optimized.structured_outputs, expand_composites=True)


def test_it_is_called_and_described_as_the_original_is() -> None:
    weight = vector()
    original = concrete(lambda x, y: (x * weight + x * weight) * y, SPEC, tf.TensorSpec([], name="scale"))
    optimized, report = tfreuse.optimize(original)
    assert isinstance(optimized, type(original))
    assert all(one is other for one, other in zip(optimized.variables, original.variables, strict=True))
    assert [id(each) for each in optimized.captured_inputs] == [id(each) for each in original.captured_inputs]
    assert optimized.trainable_variables == original.trainable_variables
    assert [tensor.name for tensor in optimized.inputs] == [tensor.name for tensor in original.inputs]
    assert len(optimized.graph.get_operations()) < len(original.graph.get_operations())
    for call in (lambda f: f(X, tf.constant(2.0)), lambda f: f(x=X, scale=tf.constant(2.0)), lambda f: f(X)):
        outcomes = []
        for function in (original, optimized):
            try:
                outcomes.append(call(function).numpy().tolist())
            except TypeError as error:
                outcomes.append(type(error))
        assert outcomes[0] == outcomes[1]
    again, second = tfreuse.optimize(optimized)
    assert (report.merged, second.merged) == (2, 0)
    executed.assert_same(original(X, tf.constant(2.0)), again(X, tf.constant(2.0)))


def test_it_works_inside_other_functions_and_transformations() -> None:
    weight = vector()
    original = concrete(lambda x: x * weight * x + 3.0 * (x * weight))
    optimized, _ = tfreuse.optimize(original)

    @tf.function
    def step(function: Any, x: Any) -> Any:
        with tf.GradientTape() as tape:
            value = function(x) * function(x)
        with tf.autodiff.ForwardAccumulator(x, tf.ones_like(x)) as forward:
            moved = function(x)
        return value, tape.gradient(value, [weight]), forward.jvp(moved)

    executed.assert_same(step(original, X), step(optimized, X))
    batch = tf.stack([X, 2.0 * X])
    executed.assert_same(tf.vectorized_map(original, batch), tf.vectorized_map(optimized, batch))
    elements = tf.data.Dataset.from_tensor_slices(batch)
    executed.assert_same(list(elements.map(original)), list(elements.map(optimized)))


def test_a_pipeline_may_be_given() -> None:
    original = concrete(lambda x: tf.square(x) + tf.square(x))
    assert tfreuse.optimize(original, preset="conv")[1].merged == 0
    assert tfreuse.optimize(original, pipeline="cse{ops=Square}")[1].merged == 1
    with pytest.raises(InputError, match="unknown preset 'faster'"):
        tfreuse.optimize(original, preset="faster")


@tf.custom_gradient
def bent(x: Any) -> Any:
    return x * 2.0, lambda upstream: upstream * 5.0


def looped(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: tf.while_loop(lambda i, x: i < 2, lambda i, x: (i + 1, step(x)), (0, x))[1]


def deferred() -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        graph = tf.compat.v1.get_default_graph()
        return x * graph.capture_call_time_value(lambda: tf.constant(3.0), tf.TensorSpec([]))

    return run


REFUSED = {
    "custom gradient": (bent, "a custom gradient"),
    "custom gradient in a loop": (looped(bent), "a custom gradient inside a loop or branch"),
    "custom gradient in a branch": (lambda x: tf.cond(x[0] > 0.0, lambda: bent(x), lambda: x), "a loop or branch"),
    "recomputed gradient": (lambda x: tf.recompute_grad(tf.square)(x), "a custom gradient"),
    "captured at call time": (deferred(), "evaluated at call time"),
    "call in a loop": (looped(tf.function(lambda x: x * 2.0)), "a call inside a loop or branch"),
    "call in a loop in a loop": (looped(looped(tf.function(lambda x: x * 2.0))), "a call inside a loop or branch"),
}


@pytest.mark.parametrize(("run", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_an_import_would_lose_is_refused_before_anything_runs(run: Callable[[Any], Any], reason: str) -> None:
    calls: list[int] = []
    count = tf.Variable(0)

    def effectful(x: Any) -> Any:
        tf.py_function(lambda: calls.append(1), [], [])
        count.assign_add(1)
        return run(x)

    original = concrete(effectful)
    before = as_text(original)
    with pytest.raises(NotSupportedError, match=reason) as raised:
        tfreuse.optimize(original)
    assert "@tfreuse.dedupe" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert (calls, int(count)) == ([], 0)
    assert as_text(original) == before
    original(X)
    assert (calls, int(count)) == ([1], 1)


@pytest.mark.parametrize(
    "other",
    [tf.square, tf.function(tf.square), tfreuse.dedupe(tf.square), lambda x: x, None, tf.Module(), tf.Graph()],
    ids=["op", "tf.function", "dedupe", "lambda", "None", "module", "graph"],
)
def test_other_things_than_concrete_functions_are_refused(other: Any) -> None:
    with pytest.raises(InputError, match=r"expected a concrete function; call get_concrete_function"):
        tfreuse.optimize(other)
