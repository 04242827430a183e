"""Patterns of training steps. Each variant trains weights of its own, from the same start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

import tfreuse
from tools.bench.data import conv, images, kernel, kernels, tower
from tools.bench.patterns import Variant, Variants

RATE = 0.1
"""Learning rate: a step changes the weights visibly, and a thousand of them do not diverge."""

Forward = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
Wrapper = Callable[[Callable[..., Any]], Any]


def _descend(weights: Sequence[tf.Variable], gradients: Sequence[tf.Tensor]) -> None:
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.assign_sub(RATE * gradient)


def _descend_with_momentum(
    weights: Sequence[tf.Variable], moments: Sequence[tf.Variable], gradients: Sequence[tf.Tensor]
) -> None:
    for weight, moment, gradient in zip(weights, moments, gradients, strict=True):
        weight.assign_sub(RATE * moment.assign(0.5 * moment + gradient))


def _compiled(function: Callable[..., Any]) -> Any:
    return tf.function(function, jit_compile=True)


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def train_step_forward(batch: int) -> Variants:
    """A forward pass that runs its tower twice, and a plain step (tape and SGD) around it.

    Only the forward is decorated, so the gradient is taken of the merged graph: the backward halves too.
    """
    x = images(batch)

    def twice(weights: Sequence[tf.Variable]) -> Forward:
        return lambda x: (tf.nn.tanh(tower(x, weights)), tower(x, weights) * 0.5)

    def once(weights: Sequence[tf.Variable]) -> Forward:
        def forward(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            y = tower(x, weights)
            return tf.nn.tanh(y), y * 0.5

        return forward

    def step_with(
        make: Callable[[Sequence[tf.Variable]], Forward], wrap_forward: Wrapper, wrap_step: Wrapper
    ) -> Variant:
        weights = kernels(2)
        forward = wrap_forward(make(weights))

        def step(x: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                a, b = forward(x)
                loss = tf.reduce_mean(tf.square(a - 1.0)) + tf.reduce_mean(tf.square(b))
            _descend(weights, tape.gradient(loss, weights))
            return loss

        return Variant(wrap_step(step), (x,), tuple(weights))

    return Variants(
        plain=step_with(twice, tf.function, tf.function),
        tfreuse=step_with(twice, tfreuse.dedupe, tf.function),
        ideal=step_with(once, tf.function, tf.function),
        xla=step_with(twice, _as_it_is, _compiled),
        state_exact=False,
    )


def _fast(function: Callable[..., Any]) -> Any:
    return tfreuse.dedupe(function, preset="fast")


def _rounded(step_with: Callable[..., Variant]) -> Variants:
    """A step written with repetition, and shared; decorated with `fast`, which may round differently."""
    return Variants(
        plain=step_with(tf.function, shared=False),
        tfreuse=step_with(_fast, shared=False),
        ideal=step_with(tf.function, shared=True),
        xla=step_with(_compiled, shared=False),
        exact=False,
    )


def train_step_whole(batch: int) -> Variants:
    """A whole step (forward twice, tape, SGD with momentum) decorated with `fast`.

    Ideal: the forward once. What the two losses' backward passes share has to be factored to get there.
    """
    x = images(batch)

    def step_with(wrap: Wrapper, *, shared: bool) -> Variant:
        weights = kernels(3)
        moments = [tf.Variable(tf.zeros_like(weight), trainable=False) for weight in weights]

        def step(x: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                first = tower(x, weights)
                second = first if shared else tower(x, weights)
                loss = tf.reduce_mean(tf.square(tf.nn.tanh(first) - 1.0)) + tf.reduce_mean(tf.square(second))
            _descend_with_momentum(weights, moments, tape.gradient(loss, weights))
            return loss

        return Variant(wrap(step), (x,), (*weights, *moments))

    return _rounded(step_with)


def gan_step_whole(batch: int) -> Variants:
    """A generator and a discriminator with momentum each, decorated with `fast`.

    Both losses judge one fake batch, with a sum of two terms each, and the discriminator is written out for each term.
    Ideal: one pass of the discriminator, and one backward pass for each of the two losses.
    """
    noise = images(batch)

    def terms(score: Callable[[], tf.Tensor], sign: float) -> tf.Tensor:
        hinge, penalty = tf.reduce_mean(tf.nn.softplus(sign * score())), tf.reduce_mean(tf.square(score()))
        return hinge + 0.5 * penalty

    def step_with(wrap: Wrapper, *, shared: bool) -> Variant:
        critic, generator = kernels(3), [kernel(32, 32, seed=9)]
        moments = [tf.Variable(tf.zeros_like(weight), trainable=False) for weight in (*critic, *generator)]

        def step(noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape(persistent=True) as tape:
                fake = conv(noise, generator[0])
                judged = tower(fake, critic) if shared else None
                losses = [terms(lambda: tower(fake, critic) if judged is None else judged, s) for s in (1.0, -1.0)]
            gradients = [*tape.gradient(losses[0], critic), *tape.gradient(losses[1], generator)]
            _descend_with_momentum((*critic, *generator), moments, gradients)
            return losses[0], losses[1]

        return Variant(wrap(step), (noise,), (*critic, *generator, *moments))

    return _rounded(step_with)


def discriminator_two_tapes(batch: int) -> Variants:
    """A generator's and a discriminator's loss, the discriminator run on the one fake batch in each tape.

    The whole step is decorated. Ideal: one forward under one persistent tape. The two backward passes start
    from different losses, so the ideal keeps both.
    """
    noise = images(batch)

    def losses(score: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.reduce_mean(tf.nn.softplus(score)), tf.reduce_mean(tf.nn.softplus(-score))

    def step_with(wrap: Wrapper, *, shared: bool) -> Variant:
        critic = kernels(3)
        generator = [kernel(32, 32, seed=9)]

        def two_tapes(noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape() as generator_tape, tf.GradientTape() as critic_tape:
                fake = conv(noise, generator[0])
                critic_loss, _ = losses(tower(fake, critic))
                _, generator_loss = losses(tower(fake, critic))
            critic_gradients = critic_tape.gradient(critic_loss, critic)
            _descend(generator, generator_tape.gradient(generator_loss, generator))
            _descend(critic, critic_gradients)
            return critic_loss, generator_loss

        def one_tape(noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape(persistent=True) as tape:
                critic_loss, generator_loss = losses(tower(conv(noise, generator[0]), critic))
            critic_gradients = tape.gradient(critic_loss, critic)
            _descend(generator, tape.gradient(generator_loss, generator))
            _descend(critic, critic_gradients)
            return critic_loss, generator_loss

        return Variant(wrap(one_tape if shared else two_tapes), (noise,), (*generator, *critic))

    return Variants(
        plain=step_with(tf.function, shared=False),
        tfreuse=step_with(tfreuse.dedupe, shared=False),
        ideal=step_with(tf.function, shared=True),
        xla=step_with(_compiled, shared=False),
    )
