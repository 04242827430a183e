"""Traps of the decorator: gradients of what is shared, under tf.function and under tfreuse.dedupe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.seeds import executed
from tests.traps.side_by_side import X, slopes

pytestmark = pytest.mark.tensorflow


def test_trap_106_custom_gradients() -> None:
    """One function, two gradients: equal forward, and each keeps its own backward."""

    def make() -> Callable[..., Any]:
        def scaled(factor: float) -> Callable[..., Any]:
            @tf.custom_gradient
            def forward(x: Any) -> Any:
                return tf.square(x), lambda upstream: upstream * factor

            return forward

        one, other = scaled(3.0), scaled(7.0)
        return lambda x: one(x) - 2.0 * other(x) + 4.0 * one(x)

    slopes(make, X)
    with tf.GradientTape() as tape:
        tape.watch(X)
        value = tfreuse.dedupe(make())(X)
    executed.assert_same(tape.gradient(value, X), tf.constant([3.0 - 14.0 + 12.0] * 3))


def test_trap_106_custom_gradients_in_called_functions() -> None:
    """What comes from above is clipped for each call by itself: 1 - 1, and not the clipped 2 - 5."""

    @tf.custom_gradient
    def clipped(x: Any) -> Any:
        return 3.0 * x, lambda upstream: tf.clip_by_value(upstream, -1.0, 1.0)

    inner = tf.function(lambda x: clipped(x))

    def slope(decorate: Callable[..., Any]) -> Any:
        program = decorate(lambda x: 2.0 * inner(x) - 5.0 * inner(x))
        with tf.GradientTape() as tape:
            tape.watch(X)
            value = program(X)
        return tape.gradient(value, X)

    executed.assert_same(slope(tf.function), tf.zeros(3))
    executed.assert_same(slope(tfreuse.dedupe), tf.zeros(3))


def test_trap_107_gradients() -> None:
    def make() -> Callable[..., Any]:
        def program(x: Any) -> Any:
            stopped = tf.stop_gradient(tf.square(x)) * x
            passed = tf.identity(tf.square(x)) * x
            return tf.reduce_sum(stopped - 2.0 * passed) + tf.reduce_sum(tf.square(x))

        return program

    slopes(make, X)


def test_trap_107_prevented_gradients() -> None:
    def program(x: Any) -> Any:
        return tf.raw_ops.PreventGradient(input=tf.square(x), message="not here") + tf.square(x)

    def slope(decorate: Callable[..., Any]) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(X)
            value = decorate(program)(X)
        return tape.gradient(value, X)

    for decorate in (tf.function, tfreuse.dedupe):
        with pytest.raises(LookupError, match="not here"):
            slope(decorate)


def test_trap_108_values_held_for_the_backward_pass() -> None:
    """Loops, branches and calls hand intermediate values to their gradients, also to those of the second order."""

    def make() -> Callable[..., Any]:
        weight = tf.Variable(X)

        @tf.function
        def inner(x: Any) -> Any:
            return tf.square(x) * weight

        def program(x: Any) -> Any:
            y = inner(x) - 2.0 * inner(x)
            y = tf.cond(x[0] > 0.0, lambda: tf.square(y) + tf.square(y) * weight, lambda: y)
            y = y / 64.0
            return tf.while_loop(lambda i, _: i < 2, lambda i, v: (i + 1, v * weight - v * weight * 0.5), [0, y])[1]

        return program

    slopes(make, X)

    def second(function: Callable[..., Any]) -> Any:
        with tf.GradientTape() as outer:
            outer.watch(X)
            with tf.GradientTape() as inner:
                inner.watch(X)
                value = function(X)
            slope = inner.gradient(value, X)
        return value, slope, outer.gradient(slope, X)

    executed.assert_same(second(tf.function(make())), second(tfreuse.dedupe(make(), on_error="raise")))
