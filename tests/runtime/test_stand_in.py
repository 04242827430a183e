"""A decorated function stands in for tf.function's: its type, its arguments, its signature."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import tensorflow as tf

import tfreuse

X = tf.constant([1.0, 2.0])


def square_twice(x: Any) -> Any:
    return tf.square(x) + tf.square(x)


def test_it_is_a_function_of_tensorflow() -> None:
    function = tfreuse.dedupe(square_twice)
    assert isinstance(function, type(tf.function(square_twice)))
    assert isinstance(function, tf.types.experimental.PolymorphicFunction)
    assert inspect.signature(function.python_function) == inspect.signature(square_twice)
    assert function.__name__ == function.python_function.__name__ == "square_twice"
    assert type(function) is type(tfreuse.dedupe(lambda: None))


def test_with_and_without_arguments() -> None:
    @tfreuse.dedupe
    def bare(x: Any) -> Any:
        return square_twice(x)

    @tfreuse.dedupe()
    def called(x: Any) -> Any:
        return square_twice(x)

    for function in (bare, called, tfreuse.dedupe(square_twice, preset="exact"), tfreuse.dedupe(func=square_twice)):
        assert function(X).numpy().tolist() == [2.0, 8.0]
        assert function.report.merged == 1


ARGUMENTS: dict[str, Any] = {
    "input_signature": [tf.TensorSpec([None])],
    "autograph": False,
    "jit_compile": False,
    "reduce_retracing": True,
    "experimental_implements": "square_twice",
    "experimental_autograph_options": tf.autograph.experimental.Feature.EQUALITY_OPERATORS,
    "experimental_attributes": {},
    "experimental_relax_shapes": True,
    "experimental_compile": False,
    "experimental_follow_type_hints": True,
}


@pytest.mark.parametrize("name", [name for name in inspect.signature(tf.function).parameters if name != "func"])
def test_arguments_of_tf_function_are_taken(name: str) -> None:
    function = tfreuse.dedupe(square_twice, **{name: ARGUMENTS[name]})
    assert function(X).numpy().tolist() == [2.0, 8.0]
    assert function(tf.constant([1.0])).numpy().tolist() == [2.0]
    plain = tf.function(square_twice, **{name: ARGUMENTS[name]})
    plain(X), plain(tf.constant([1.0]))
    assert function.experimental_get_tracing_count() == plain.experimental_get_tracing_count() == len(function.reports)
    assert function.function_spec.input_signature == plain.function_spec.input_signature


def test_without_autograph_python_conditions_stay_python() -> None:
    def program(x: Any) -> Any:
        return square_twice(x) if tf.reduce_sum(x) > 0.0 else x

    assert tfreuse.dedupe(program)(X).numpy().tolist() == [2.0, 8.0]
    with pytest.raises(tf.errors.OperatorNotAllowedInGraphError):
        tfreuse.dedupe(program, autograph=False)(X)
