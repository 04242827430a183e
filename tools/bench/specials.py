"""What the decorator itself costs: per call, and per trace. Ratios of times taken in turns."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import tensorflow as tf

import tfreuse
from tools.bench.measure import Rounds, interleave, milliseconds, paired

Wrapper = Callable[[Callable[..., Any]], Any]


def call_overhead(*, quick: bool) -> dict[str, Any]:
    """Seconds a call of a scalar function that captures a variable, plain and decorated.

    A second plain function runs in the same rounds: its ratio shows what the noise is.
    """
    variable, x = tf.Variable(1.0), tf.constant(2.0)

    def program(x: tf.Tensor) -> tf.Tensor:
        return x * variable

    wrappers = {"plain": tf.function, "tfreuse": tfreuse.dedupe, "again": tf.function}
    calls = {name: partial(wrap(program), x) for name, wrap in wrappers.items()}
    for call in calls.values():
        call()
    count = 300 if quick else 5000
    seconds = interleave(calls, Rounds(least=count, most=count, seconds=0.0))
    return {
        "calls": count,
        "milliseconds": milliseconds(seconds),
        "ratios": {
            "tfreuse/plain": paired(seconds["tfreuse"], seconds["plain"]),
            "plain/plain": paired(seconds["again"], seconds["plain"]),
        },
    }


def _trace_seconds(wrap: Wrapper, model: Any, spec: tf.TensorSpec) -> float:
    def program(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return model(x, training=False), model(x, training=False)

    gc.collect()
    function = wrap(program)  # fresh: nothing is cached
    start = time.perf_counter()
    function.get_concrete_function(spec)
    return time.perf_counter() - start


def trace_cost(*, quick: bool) -> dict[str, Any]:
    """Seconds to trace ResNet50 applied twice, plain and decorated, in turns, after one warm-up each."""
    model = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3))
    spec = tf.TensorSpec([1, 64, 64, 3])
    wrappers: dict[str, Wrapper] = {"plain": tf.function, "tfreuse": tfreuse.dedupe}
    seconds: dict[str, list[float]] = {name: [] for name in wrappers}
    pairs = 1 if quick else 7
    if not quick:
        for wrap in wrappers.values():
            _trace_seconds(wrap, model, spec)
    for pair in range(pairs):
        for name in sorted(wrappers, reverse=bool(pair % 2)):
            seconds[name].append(_trace_seconds(wrappers[name], model, spec))
    return {
        "pairs": pairs,
        "milliseconds": milliseconds(seconds),
        "ratios": {"tfreuse/plain": paired(seconds["tfreuse"], seconds["plain"])},
    }
