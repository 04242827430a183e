"""Patterns whose duplicates stand inside the body of a loop or of a branch."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tools.bench.data import conv, four_ways, images, kernel
from tools.bench.patterns import Variants

STEPS = 3
"""Iterations of the loop."""


def _loop(step: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    def program(x: tf.Tensor) -> tf.Tensor:
        return tf.while_loop(lambda i, _: i < STEPS, lambda i, h: (i + 1, step(h)), (tf.constant(0), x))[1]

    return program


def loop_duplicates(batch: int) -> Variants:
    """Two equal convolutions of the loop's carried value in each iteration; ideal: one, inside the body.

    The carried value changes, so nothing can be hoisted. Counts are of the body, whatever the iterations.
    """
    weights = kernel(32, 32, seed=0)

    def duplicated(h: tf.Tensor) -> tf.Tensor:
        return tf.nn.tanh(conv(h, weights)) + tf.nn.relu(conv(h, weights))

    def shared(h: tf.Tensor) -> tf.Tensor:
        y = conv(h, weights)
        return tf.nn.tanh(y) + tf.nn.relu(y)

    return four_ways(_loop(duplicated), _loop(shared), (images(batch),))


def branch_duplicates(batch: int) -> Variants:
    """Two equal convolutions in the branch that is taken; ideal: one, inside that branch."""
    weights = kernel(32, 64, seed=0)

    def zeros(x: tf.Tensor) -> tf.Tensor:
        return tf.zeros([batch, x.shape[1], x.shape[2], 64])

    def program(taken: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        return tf.cond(taken, lambda: tf.nn.tanh(conv(x, weights)) + tf.nn.relu(conv(x, weights)), lambda: zeros(x))

    def shared(x: tf.Tensor) -> tf.Tensor:
        y = conv(x, weights)
        return tf.nn.tanh(y) + tf.nn.relu(y)

    def ideal(taken: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        return tf.cond(taken, lambda: shared(x), lambda: zeros(x))

    return four_ways(program, ideal, (tf.constant(True), images(batch)))
