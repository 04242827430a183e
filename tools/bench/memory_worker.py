"""Estimated and measured peaks of one program, in a process of its own so that its threads are as asked for.

Started by `memory.py`: a request on stdin, `{"program": one of PROGRAMS, "threads": number, "output": path}`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import tfreuse
from tools.bench.allocator import peak_bytes

Program = tuple[Callable[..., Any], list[np.ndarray]]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Small random numbers, float32."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32) * np.float32(0.1)


def tower_x3() -> Program:
    """One tower of convolutions, written three times."""

    def program(x: Any, *kernels: Any) -> Any:
        def tower(y: Any) -> Any:
            for kernel in kernels:
                y = tf.nn.relu(tf.nn.conv2d(y, kernel, 1, "SAME"))
            return y

        return tf.reduce_mean(tower(x)) + tf.reduce_max(tower(x)) + tf.reduce_min(tower(x))

    return program, [normal(4, 64, 64, 16), *(normal(3, 3, 16, 16, seed=seed) for seed in range(4))]


def masks() -> Program:
    """A mask that is tiled and cast anew in each of six layers."""

    def program(x: Any, mask: Any) -> Any:
        for _ in range(6):
            x = tf.nn.softmax(tf.matmul(x, x) + tf.cast(tf.tile(mask, [1, 1024]), tf.float32))
        return x

    return program, [normal(1024, 1024), np.ones([1024, 1], np.int32)]


def tiles_apart() -> Program:
    """A large tile at the beginning and at the end, and the peak between them."""

    def program(x: Any) -> Any:
        middle = tf.fill([4096, 1024], tf.reduce_sum(tf.tile(x, [1, 1024])))
        for _ in range(4):
            middle = tf.sin(tf.cumsum(middle))
        return tf.reduce_max(tf.tile(x, [1, 1024]) * tf.reduce_sum(middle))

    return program, [normal(2048, 1)]


def _training(recomputed: bool) -> Program:
    def program(x: Any, *weights: Any) -> Any:
        def block(x: Any, *weights: Any) -> Any:
            for weight in weights:
                x = tf.tanh(tf.matmul(x, weight) * 1.5)
            return x

        layer = tf.recompute_grad(block) if recomputed else block
        with tf.GradientTape() as tape:
            tape.watch([x, *weights])
            y = x
            for _ in range(6):
                y = layer(y, *weights)
            loss = tf.reduce_sum(y)
        return loss, *tape.gradient(loss, [x, *weights])

    return program, [normal(2048, 64), *(normal(64, 64, seed=seed) for seed in range(4))]


def training() -> Program:
    """The gradient of six blocks of four layers."""
    return _training(recomputed=False)


def recomputed() -> Program:
    """The same with `tf.recompute_grad` around each block."""
    return _training(recomputed=True)


PROGRAMS: dict[str, Callable[[], Program]] = {
    make.__name__: make for make in (tower_x3, masks, tiles_apart, training, recomputed)
}


def measure(program: str, threads: int) -> dict[str, Any]:
    """Bytes before (plain TensorFlow) and after (tfreuse), estimated by both schedules and measured."""
    function, arguments = PROGRAMS[program]()
    specs = [tf.TensorSpec(argument.shape, argument.dtype) for argument in arguments]
    shared = tfreuse.dedupe(function, on_error="raise")
    graphs = {
        "before": tf.function(function).get_concrete_function(*specs),
        "after": shared.get_concrete_function(*specs),
    }
    memory = shared.report.to_dict()["functions"][0]["memory"]
    return {
        name: {
            "one_by_one": memory["one_by_one"][name],
            "at_once": memory["at_once"][name],
            "measured": peak_bytes(graph, arguments, threads),
        }
        for name, graph in graphs.items()
    }


def main() -> None:
    request = json.load(sys.stdin)
    Path(request["output"]).write_text(json.dumps(measure(request["program"], request["threads"])))


if __name__ == "__main__":
    main()
