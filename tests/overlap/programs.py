"""Programs with overlapping windows, on whole numbers: sums are exact, so sharing cannot show in their rounding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf


def whole(*shape: int, seed: int = 0) -> Any:
    return tf.constant(np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float32))


@dataclass
class Program:
    """A program, its argument, the weights that it uses, and how many of an op run, plain and shared."""

    run: Callable[..., Any]
    x: Any
    weights: list[Any]
    op: str
    plain: int
    shared: int


def _net(weights: list[Any], padding: str, stride: int = 1) -> Callable[..., Any]:
    def net(x: Any) -> Any:
        y = tf.nn.relu(tf.nn.conv2d(x, weights[0], stride, padding))
        return tf.nn.conv2d(y, weights[1], 1, padding)

    return net


def _weights() -> list[Any]:
    return [tf.Variable(whole(3, 3, 2, 3, seed=1)), tf.Variable(whole(3, 3, 3, 2, seed=2))]


def clips() -> Program:
    weights = _weights()
    net = _net(weights, "SAME")
    x = whole(16, 8, 8, 2, seed=3)
    return Program(lambda x: [net(x[i : i + 8]) for i in range(9)], x, weights, "Conv2D", 18, 2)


def stacked_clips() -> Program:
    weights = _weights()
    net = _net(weights, "SAME")

    def run(x: Any) -> Any:
        rows = tf.reshape(tf.stack([x[i : i + 8] for i in range(9)]), [72, 8, 8, 2])
        return tf.reshape(net(rows), [9, 8, 8, 8, 2])

    return Program(run, whole(16, 8, 8, 2, seed=3), weights, "Conv2D", 2, 2)


def split_and_packed() -> Program:
    weights = _weights()
    net = _net(weights, "SAME")

    def run(x: Any) -> Any:
        frames = tf.unstack(x)
        return [net(tf.stack(frames[i : i + 4])) for i in range(5)]

    return Program(run, whole(8, 6, 6, 2, seed=3), weights, "Conv2D", 10, 2)


def parts_of_a_video() -> Program:
    weights = _weights()
    net = _net(weights, "SAME")

    def run(x: Any) -> Any:
        pairs = tf.split(x, 4)
        joined = [tf.concat(pairs[i : i + 2], 0) for i in range(3)]
        return [net(part) for part in [*joined, tf.gather(x, [1, 2, 5]), tf.split(x, [2, 6])[1]]]

    return Program(run, whole(8, 6, 6, 2, seed=3), weights, "Conv2D", 10, 2)


def crops() -> Program:
    weights = _weights()
    net = _net(weights, "VALID", 2)

    def run(x: Any) -> Any:
        return [net(x[:, i : i + 16, j : j + 15]) for i in (0, 4, 8) for j in (1, 3, 5)]

    return Program(run, whole(2, 25, 24, 2, seed=3), weights, "Conv2D", 18, 2)


def bounding_boxes() -> Program:
    weights = _weights()
    net = _net(weights, "VALID")

    def run(x: Any) -> Any:
        return [net(tf.image.crop_to_bounding_box(x, i, i // 2, 12, 12)) for i in range(5)]

    return Program(run, whole(2, 20, 20, 2, seed=3), weights, "Conv2D", 10, 2)


def signal() -> Program:
    weights = [tf.Variable(whole(5, 1, 3, seed=1)), tf.Variable(whole(4, 3, 2, seed=2))]
    biases = [tf.Variable(whole(3, seed=4)), tf.Variable(whole(2, seed=5))]

    def run(x: Any) -> Any:
        found = []
        for start in range(0, 49, 8):
            y = x[:, start : start + 32]
            for weight, bias in zip(weights, biases, strict=True):
                y = tf.nn.relu(tf.nn.bias_add(tf.nn.conv1d(y, weight, 1, "VALID"), bias))
            found.append(y)
        return found

    return Program(run, whole(2, 80, 1, seed=3), weights + biases, "Conv2D", 14, 2)


def added_biases() -> Program:
    """Biases as operands of fewer axes than the folded lines have: added as they are, and as a reshape."""
    weights = [tf.Variable(whole(5, 1, 3, seed=1)), tf.Variable(whole(4, 3, 2, seed=2))]
    biases = [tf.Variable(whole(3, seed=4)), tf.Variable(whole(2, seed=5))]

    def net(x: Any) -> Any:
        y = tf.nn.relu(tf.nn.conv1d(x, weights[0], 1, "VALID") + tf.reshape(biases[0], [1, 1, 3]))
        return tf.nn.relu(tf.nn.conv1d(y, weights[1], 1, "VALID") + biases[1])

    def run(x: Any) -> Any:
        return [net(x[:, start : start + 32]) for start in range(0, 49, 8)]

    return Program(run, whole(2, 80, 1, seed=3), weights + biases, "Conv2D", 14, 2)


def frames() -> Program:
    weights = [tf.Variable(whole(5, 1, 3, seed=1))]

    def run(x: Any) -> Any:
        y = tf.reshape(tf.signal.frame(x, 32, 8, axis=1), [-1, 32, 1])
        return tf.nn.relu(tf.nn.conv1d(y, weights[0], 1, "VALID"))

    return Program(run, whole(2, 80, 1, seed=3), weights, "Conv2D", 1, 1)


def patches() -> Program:
    weights = _weights()
    net = _net(weights, "VALID")

    def run(x: Any) -> Any:
        y = tf.image.extract_patches(x, [1, 12, 12, 1], [1, 4, 4, 1], [1, 1, 1, 1], "VALID")
        return net(tf.reshape(y, [-1, 12, 12, 2]))

    return Program(run, whole(2, 24, 24, 2, seed=3), weights, "Conv2D", 2, 2)


def repeats() -> Program:
    weights = _weights()
    net = _net(weights, "SAME")
    x = whole(4, 8, 8, 2, seed=3)
    return Program(lambda x: (net(tf.repeat(x, 3, axis=0)), net(tf.tile(x, [2, 1, 1, 1]))), x, weights, "Conv2D", 4, 2)


def video() -> Program:
    weights = [tf.Variable(whole(3, 2, 2, 2, 3, seed=1))]

    def run(x: Any) -> Any:
        return [tf.nn.conv3d(x[:, i : i + 6], weights[0], [1, 1, 1, 1, 1], "VALID") for i in range(5)]

    return Program(run, whole(1, 10, 6, 6, 2, seed=3), weights, "Conv3D", 5, 1)


def dilated(layers: Any, source: Any, cut: Callable[[Any], list[Any]], op: str = "Conv2D") -> Program:
    """Layers that Keras lowers to several nodes each."""
    shape = tuple(cut(source)[0].shape)
    for layer in layers:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)
        for seed, weight in enumerate(layer.weights):
            weight.assign(whole(*weight.shape, seed=seed))

    def run(x: Any) -> Any:
        windows = cut(x)
        for layer in layers:
            windows = [layer(window) for window in windows]
        return windows

    weights = [weight.value for layer in layers for weight in layer.trainable_weights]
    count = len(cut(source)) * len(layers)
    return Program(run, source, weights, op, count, len(layers))


def dilated_signal() -> Program:
    """Lengths that the dilation does not divide, so rows are added, and cropped again."""
    layers = [tf.keras.layers.Conv1D(3, 3, dilation_rate=2), tf.keras.layers.Conv1D(2, 3, dilation_rate=4)]
    return dilated(layers, whole(2, 80, 2, seed=3), lambda x: [x[:, i : i + 33] for i in range(0, 40, 8)])


def dilated_clips() -> Program:
    layers = [tf.keras.layers.Conv2D(2, 3, dilation_rate=2, padding="same"), tf.keras.layers.Conv2D(2, 3)]
    return dilated(layers, whole(9, 9, 8, 2, seed=3), lambda x: [x[i : i + 5] for i in range(5)])


def dilated_crops() -> Program:
    layers = [tf.keras.layers.DepthwiseConv2D(3, dilation_rate=(2, 3)), tf.keras.layers.DepthwiseConv2D(3)]
    windows = lambda x: [x[:, i : i + 14, i : i + 15] for i in range(4)]  # noqa: E731
    return dilated(layers, whole(2, 18, 19, 2, seed=3), windows, "DepthwiseConv2dNative")


def dilated_video() -> Program:
    layers = [tf.keras.layers.Conv3D(3, 3, dilation_rate=(2, 1, 1))]
    return dilated(layers, whole(1, 14, 6, 6, 2, seed=3), lambda x: [x[:, i : i + 9] for i in range(5)], "Conv3D")


def rows_through_layers() -> Program:
    weights = [tf.Variable(whole(12, 5, seed=1)), tf.Variable(whole(5, seed=2))]

    def run(x: Any) -> Any:
        return [tf.nn.bias_add(tf.matmul(tf.reshape(x[i : i + 4], [4, 12]), weights[0]), weights[1]) for i in range(4)]

    return Program(run, whole(7, 4, 3, seed=3), weights, "MatMul", 4, 1)


def residual() -> Program:
    weights = [tf.Variable(whole(3, 3, 2, 2, seed=1)), tf.Variable(whole(3, 3, 2, 2, seed=2))]

    def run(x: Any) -> Any:
        found = []
        for start in range(4):
            y = x[:, start : start + 12]
            for weight in weights:
                y = tf.nn.relu(tf.nn.conv2d(y, weight, 1, "VALID")) + y[:, 1:-1, 1:-1]
            found.append(y)
        return found

    return Program(run, whole(2, 15, 10, 2, seed=3), weights, "Conv2D", 8, 2)


PROGRAMS = (
    clips, stacked_clips, split_and_packed, parts_of_a_video, crops, bounding_boxes, signal, added_biases, frames,
    patches, repeats, video, rows_through_layers, residual, dilated_signal, dilated_clips, dilated_crops, dilated_video,
)  # fmt: skip
