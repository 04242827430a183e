"""Random programs with windows: whatever the pass makes of them is proved, and gives the bits of tf.function."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfreuse

Layer = Callable[[Any], Any]
SIZE, CHANNELS = 14, 2


def numbers(source: random.Random, *shape: int) -> Any:
    values = np.random.default_rng(source.randrange(1 << 30)).integers(-1, 2, shape)
    return tf.constant(values.astype(np.float32))


def layer(source: random.Random, channels: int) -> tuple[Layer, int]:
    """A layer of a kind that shares, or stands in the way; and the channels of its result."""
    padding, stride = source.choice(["VALID", "VALID", "VALID", "SAME"]), source.choice([1, 1, 2])
    size = source.choice([1, 2, 3])
    taps, depth = numbers(source, size, size, channels, 2), numbers(source, size, size, channels, 1)
    scale, line = numbers(source, channels), numbers(source, channels, 3)
    kinds: list[tuple[Layer, int]] = [
        (lambda x: tf.nn.conv2d(x, taps, stride, padding), 2),
        (lambda x: tf.nn.conv2d(x, taps, 1, padding, dilations=source_dilation), 2),
        (lambda x: tf.nn.convolution(x, taps, padding=padding, dilations=[source_dilation, 2]), 2),
        (lambda x: tf.nn.depthwise_conv2d(x, depth, [1, stride, stride, 1], padding), channels),
        (lambda x: tf.nn.max_pool2d(x, size, stride, padding), channels),
        (lambda x: tf.nn.relu(x), channels),
        (lambda x: tf.nn.bias_add(x, scale), channels),
        (lambda x: x * scale + 1.0, channels),
        (lambda x: x[:, 1:-1, 1:-1] - x[:, :-2, 2:], channels),
        (lambda x: tf.nn.relu(x) + x, channels),
        (lambda x: x + tf.reduce_max(x, [1, 2], keepdims=True), channels),
        (lambda x: tf.tensordot(x, line, 1), 3),
        (lambda x: tf.transpose(x, [0, 2, 1, 3]), channels),
        (lambda x: tf.reverse(x, [1]), channels),
        (lambda x: tf.pad(x, [[0, 0], [1, 1], [0, 0], [0, 0]]), channels),
        (lambda x: tf.reshape(tf.reshape(x, [x.shape[0], x.shape[1], -1]), x.shape), channels),
    ]
    source_dilation = source.choice([1, 2])
    return source.choice(kinds[:5] if source.random() < 0.5 else kinds)


def windows(source: random.Random) -> Callable[[Any], list[Any]]:
    """Parts of [8, SIZE, SIZE, CHANNELS], cut in one of many ways."""
    step = source.choice([1, 1, 2])
    count = source.choice([2, 3, 4])
    low, wide = source.randrange(0, 2), source.randrange(8, 11)
    picked = [source.sample(range(8), 5) for _ in range(count)]
    ways: list[Callable[[Any], list[Any]]] = [
        lambda x: [x[i * step : i * step + 3] if i * step + 3 <= 8 else x[-3:] for i in range(count)],
        lambda x: [x[:, low + i * step : low + i * step + wide - 4] for i in range(count)],
        lambda x: [x[:, i : i + wide - 2, i * step : i * step + wide - 3] for i in range(count)],
        lambda x: [tf.slice(x, [0, i, 0, 0], [-1, wide, -1, 2]) for i in range(count)],
        lambda x: [tf.gather(x, rows) for rows in picked],
        lambda x: [tf.reshape(tf.stack([x[i : i + 4] for i in range(count)]), [-1, SIZE, SIZE, CHANNELS])],
        lambda x: [tf.concat([x[:3], x[2:5]], 0), x[1:7], tf.tile(x[:4], [2, 1, 1, 1])],
        lambda x: [x[i : i + 5, ::-1][:, i : i + 9] for i in range(count)],
        lambda x: [tf.stack(tf.unstack(x)[i : i + 3]) for i in range(count)],
        lambda x: [tf.repeat(x[i : i + 3], 2, axis=0) for i in range(count)],
    ]
    return source.choice(ways)


def program(seed: int) -> Callable[[Any], Any]:
    """A program of one argument; its weights are drawn here, once."""
    source = random.Random(seed)
    cut = windows(source)
    layers: list[Layer] = []
    channels = CHANNELS
    for _ in range(source.randrange(1, 4)):
        made, channels = layer(source, channels)
        layers.append(made)

    def run(x: Any) -> Any:
        found = []
        for window in cut(x):
            y = window
            for one in layers:
                y = one(y)
            found.append(y)
        return found

    return run


@pytest.mark.parametrize("start", range(0, 60, 20))
def test_random_programs(start: int) -> None:
    data = np.random.default_rng(start).integers(-2, 3, (8, SIZE, SIZE, CHANNELS)).astype(np.float32)
    shared = tried = 0
    for seed in range(start, start + 20):
        run = program(seed)
        plain = tf.function(run)
        try:
            expected = plain(tf.constant(data))
        except (ValueError, tf.errors.InvalidArgumentError):  # layers that leave nothing
            continue
        tried += 1
        decorated = tfreuse.dedupe(run, preset="fast", on_error="raise")
        for mine, theirs in zip(decorated(tf.constant(data)), expected, strict=True):
            np.testing.assert_array_equal(mine, theirs, err_msg=f"seed {seed}")
        shared += bool(decorated.report.to_dict()["functions"][-1]["families"])
    print(f"{tried} programs, {shared} with families")
    assert tried >= 12
    assert shared >= 3
