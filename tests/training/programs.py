"""Training steps whose forward pass is written twice, and beside each the step that a careful hand writes.

Whatever can be is in double precision: roundings are then far smaller than anything that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

SIDE, BATCH = 6, 2
HEADS: tuple[Callable[[Any], Any], ...] = (
    lambda y: tf.reduce_mean(tf.square(tf.nn.tanh(y) - 1.0)),
    lambda y: tf.reduce_mean(tf.square(y)),
)
"""Two losses of one network's output."""


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def batches(count: int, dtype: Any = tf.float64) -> list[Any]:
    return [tf.constant(normal(BATCH, SIDE, SIDE, 2, seed=seed), dtype) for seed in range(count)]


class Training:
    """A network of two convolutions with bias and Relu, two losses, and steps of SGD."""

    dtype: Any = tf.float64

    def __init__(self) -> None:
        kernels = [tf.Variable(normal(3, 3, 2, 2, seed=seed) / 4.0, dtype=self.dtype) for seed in (11, 12)]
        biases = [tf.Variable(normal(2, seed=seed) / 4.0, dtype=self.dtype) for seed in (13, 14)]
        self.weights = [*kernels, *biases]
        self.others: list[Any] = []
        self.start()

    def start(self) -> None:
        """Make what a step needs besides the weights, and note in `others` what it updates."""

    def network(self, x: Any) -> Any:
        for kernel, bias in zip(self.weights[:2], self.weights[2:4], strict=True):
            x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias))
        return x

    def gradients(self, x: Any, by_hand: bool = False) -> tuple[Any, list[Any]]:
        """Loss and gradients; `by_hand` runs the network once."""
        with tf.GradientTape() as tape:
            first = self.network(x)
            second = first if by_hand else self.network(x)
            loss = tf.add_n([HEADS[0](first), HEADS[1](second)])
        return loss, tape.gradient(loss, self.weights)

    def update(self, gradients: list[Any]) -> None:
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.assign_sub(0.125 * gradient)

    def step(self, x: Any) -> Any:
        loss, gradients = self.gradients(x)
        self.update(gradients)
        return loss

    def step_by_hand(self, x: Any) -> Any:
        loss, gradients = self.gradients(x, by_hand=True)
        self.update(gradients)
        return loss

    def disturbed(self, x: Any, signs: np.random.Generator, relative: float) -> Any:
        """A step whose gradients are all moved by `relative` of their largest element, up or down."""
        loss, gradients = self.gradients(x)
        moved = []
        for gradient in gradients:
            sign = tf.constant(signs.choice([-1.0, 1.0], gradient.shape), gradient.dtype)
            moved.append(gradient + sign * tf.cast(relative, gradient.dtype) * tf.reduce_max(tf.abs(gradient)))
        self.update(moved)
        return loss

    def roundings(self) -> int:
        """On the longest way of a gradient: the sums over taps and channels of two convolutions, those over batch and
        pixels of a filter's gradient, the mean of a loss, and a rounding for each of a dozen ops between them."""
        return 2 * (9 * 2) + 2 * BATCH * SIDE * SIDE * 2 + 12

    def state(self) -> list[np.ndarray]:
        return [np.asarray(variable) for variable in [*self.weights, *self.others]]


class Optimized(Training):
    """Steps of a Keras optimizer."""

    def make(self) -> Any:
        return tf.keras.optimizers.SGD(0.125, momentum=0.5)

    def start(self) -> None:
        self.optimizer = self.make()
        self.optimizer.build(self.weights)
        self.others = list(self.optimizer.variables)

    def update(self, gradients: list[Any]) -> None:
        self.optimizer.apply_gradients(zip(gradients, self.weights, strict=True))


class Adam(Optimized):
    def make(self) -> Any:
        return tf.keras.optimizers.Adam(0.01)


class Clipped(Training):
    """Clipping by the norm of all gradients together."""

    def update(self, gradients: list[Any]) -> None:
        clipped, norm = tf.clip_by_global_norm(gradients, 0.05)
        self.others[0].assign(norm)
        super().update(clipped)

    def start(self) -> None:
        self.others = [tf.Variable(0.0, dtype=self.dtype, trainable=False)]


class Accumulated(Training):
    """Gradients are added up over two batches before they are used."""

    def start(self) -> None:
        self.sums = [tf.Variable(tf.zeros_like(weight), trainable=False) for weight in self.weights]
        self.count = tf.Variable(0, trainable=False)
        self.others = [*self.sums, self.count]

    def update(self, gradients: list[Any]) -> None:
        for total, gradient in zip(self.sums, gradients, strict=True):
            total.assign_add(gradient)
        self.count.assign_add(1)
        if tf.equal(self.count % 2, 0):
            for weight, total in zip(self.weights, self.sums, strict=True):
                weight.assign_sub(0.125 * total)
                total.assign(tf.zeros_like(total))


class Normalised(Training):
    """Batch normalisation between the convolutions; each pass moves its averages, so two passes move them twice."""

    def start(self) -> None:
        self.scale, self.shift = (tf.Variable(tf.constant(v, self.dtype, [2])) for v in (1.0, 0.25))
        self.mean, self.variance = (tf.Variable(tf.constant(v, self.dtype, [2]), trainable=False) for v in (0.0, 1.0))
        self.weights += [self.scale, self.shift]
        self.others = [self.mean, self.variance]

    def network(self, x: Any) -> Any:
        x = tf.nn.conv2d(x, self.weights[0], 1, "SAME")
        mean, variance = tf.nn.moments(x, [0, 1, 2])
        for average, value in ((self.mean, mean), (self.variance, variance)):
            average.assign(0.75 * average + 0.25 * value)
        x = tf.nn.relu(tf.nn.batch_normalization(x, mean, variance, self.shift, self.scale, 1e-3))
        return tf.nn.relu(
            tf.nn.bias_add(tf.nn.conv2d(x, self.weights[1], 1, "SAME"), self.weights[2] + self.weights[3])
        )


class FusedNormalised(Normalised):
    """The same with the fused kernel, which takes single precision only."""

    dtype = tf.float32

    def network(self, x: Any) -> Any:
        x = tf.nn.conv2d(x, self.weights[0], 1, "SAME")
        x, mean, variance = tf.compat.v1.nn.fused_batch_norm(x, self.scale, self.shift, is_training=True)
        for average, value in ((self.mean, mean), (self.variance, variance)):
            average.assign(0.75 * average + 0.25 * value)
        x = tf.nn.relu(x)
        return tf.nn.relu(
            tf.nn.bias_add(tf.nn.conv2d(x, self.weights[1], 1, "SAME"), self.weights[2] + self.weights[3])
        )


class Mixed(Training):
    """Layers in half precision, weights in single, and a loss scale that falls where a gradient overflows."""

    dtype = tf.float32

    def start(self) -> None:
        self.scale = tf.Variable(1024.0, trainable=False)
        self.others = [self.scale]

    def network(self, x: Any) -> Any:
        x = tf.cast(x, tf.float16)
        for kernel, bias in zip(self.weights[:2], self.weights[2:4], strict=True):
            x = tf.nn.conv2d(x, tf.cast(kernel, tf.float16), 1, "SAME")
            x = tf.nn.relu(tf.nn.bias_add(x, tf.cast(bias, tf.float16)))
        return tf.cast(x, tf.float32)

    def gradients(self, x: Any, by_hand: bool = False) -> tuple[Any, list[Any]]:
        with tf.GradientTape() as tape:
            first = self.network(x)
            second = first if by_hand else self.network(x)
            loss = tf.add_n([HEADS[0](first), HEADS[1](second)])
            scaled = loss * self.scale
        return loss, [gradient / self.scale for gradient in tape.gradient(scaled, self.weights)]

    def update(self, gradients: list[Any]) -> None:
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
        if finite:
            super().update(gradients)
            self.scale.assign(self.scale * 1.0)
        else:
            self.scale.assign(self.scale * 0.5)


class Gan(Training):
    """A generator and a discriminator with an optimizer each; both losses run the discriminator on one fake batch."""

    def start(self) -> None:
        self.generator = [tf.Variable(normal(3, 3, 2, 2, seed=21) / 4.0, dtype=self.dtype)]
        self.weights += self.generator
        self.optimizers = [tf.keras.optimizers.SGD(0.0625, momentum=0.5), tf.keras.optimizers.Adam(0.01)]
        for optimizer, variables in zip(self.optimizers, (self.weights[:4], self.generator), strict=True):
            optimizer.build(variables)
            self.others += optimizer.variables

    def gradients(self, x: Any, by_hand: bool = False) -> tuple[Any, list[Any]]:
        with tf.GradientTape(persistent=True) as tape:
            fake = tf.nn.conv2d(x, self.generator[0], 1, "SAME")
            judged = self.network(fake)
            critic = tf.reduce_mean(tf.nn.softplus(judged)) + tf.reduce_mean(tf.square(judged))
            judged = judged if by_hand else self.network(fake)
            fooled = tf.reduce_mean(tf.nn.softplus(-judged)) + 0.5 * tf.reduce_mean(tf.abs(judged))
        return critic + fooled, [*tape.gradient(critic, self.weights[:4]), *tape.gradient(fooled, self.generator)]

    def update(self, gradients: list[Any]) -> None:
        self.optimizers[0].apply_gradients(zip(gradients[:4], self.weights[:4], strict=True))
        self.optimizers[1].apply_gradients(zip(gradients[4:], self.generator, strict=True))


class TwoTapes(Training):
    """Two losses with a tape each; the gradients are added by hand."""

    def gradients(self, x: Any, by_hand: bool = False) -> tuple[Any, list[Any]]:
        if by_hand:
            return super().gradients(x, by_hand=True)
        with tf.GradientTape() as one, tf.GradientTape() as other:
            losses = [HEADS[0](self.network(x)), HEADS[1](self.network(x))]
        pairs = zip(one.gradient(losses[0], self.weights), other.gradient(losses[1], self.weights), strict=True)
        return tf.add_n(losses), [first + second for first, second in pairs]


PROGRAMS: tuple[type[Training], ...] = (
    Training, Optimized, Adam, Clipped, Accumulated, Normalised, FusedNormalised, Mixed, Gan, TwoTapes,
)  # fmt: skip
