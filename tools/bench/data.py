"""Inputs, weights and small convolution towers, equal from run to run (fixed seeds)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

import tfreuse
from tools.bench.patterns import Variant, Variants

SIDE = 64
"""Height and width of the images, in pixels."""


def images(batch: int, channels: int = 32, side: int = SIDE, seed: int = 1) -> tf.Tensor:
    """Standard normal images, float32 [batch, side, side, channels]."""
    values = np.random.default_rng(seed).standard_normal((batch, side, side, channels), dtype=np.float32)
    return tf.constant(values)


def kernel_values(inputs: int, outputs: int, seed: int) -> np.ndarray:
    """A 3x3 kernel, float32 [3, 3, inputs, outputs], scaled so that activations keep their size."""
    values = np.random.default_rng(seed).standard_normal((3, 3, inputs, outputs), dtype=np.float32)
    return values * np.float32((2.0 / (9 * inputs)) ** 0.5)


def kernel(inputs: int, outputs: int, seed: int) -> tf.Variable:
    return tf.Variable(kernel_values(inputs, outputs, seed))


def kernels(depth: int, channels: int = 32) -> list[tf.Variable]:
    """The weights of a tower of `depth` convolutions."""
    return [kernel(channels, channels, seed) for seed in range(depth)]


def conv(x: tf.Tensor, weights: Any) -> tf.Tensor:
    return tf.nn.conv2d(x, weights, strides=1, padding="SAME")


def tower(x: tf.Tensor, weights: Sequence[Any]) -> tf.Tensor:
    """Convolution and relu, once for each of `weights`."""
    for weight in weights:
        x = tf.nn.relu(conv(x, weight))
    return x


def four_ways(
    program: Callable[..., Any], ideal: Callable[..., Any], args: tuple[Any, ...], preset: str = "exact"
) -> Variants:
    """Plain, tfreuse and XLA of `program`, and its `ideal` twin, called on the same `args`."""
    return Variants(
        plain=Variant(tf.function(program), args),
        tfreuse=Variant(tfreuse.dedupe(program, preset=preset), args),
        ideal=Variant(tf.function(ideal), args),
        xla=Variant(tf.function(program, jit_compile=True), args),
        exact=preset == "exact",
    )
