"""A program under tf.function and under tfreuse.dedupe, side by side: equal results, and what each executed.

Numbers are small and whole, so sums are exact in any order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

import tfreuse
from tests.offline.checks import assert_same
from tests.seeds import executed

Make = Callable[[], Callable[..., Any]]


def whole(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float32)


IMAGE = tf.constant(whole(2, 8, 8, 2, seed=1))
X = tf.constant([1.0, 2.0, -3.0])


def same(left: Any, right: Any) -> None:
    """Bit-equal, strings and the parts of composite tensors as well."""
    tf.nest.assert_same_structure(left, right, expand_composites=True)
    assert_same(*(tf.nest.flatten(value, expand_composites=True) for value in (left, right)))


def compare(make: Make, *args: Any, **options: Any) -> tuple[Counter[str], Counter[str], Any]:
    """Run two fresh programs, one plain and one shared: equal results, what each executed, and the shared function."""
    plain, before = executed.call(tf.function(make(), **options), *args)
    function = tfreuse.dedupe(make(), on_error="raise", **options)
    shared, after = executed.call(function, *args)
    same(plain, shared)
    return before, after, function


def live(function: Callable[..., Any], *args: Any) -> Counter[str]:
    """The ops that the traced graph needs for its results and effects, as written."""
    graph = function.get_concrete_function(*args).graph
    work = [tensor.op for tensor in graph.outputs] + list(graph.control_outputs)
    seen = {}
    while work:
        op = work.pop()
        if op.name not in seen:
            seen[op.name] = op.type
            work += [tensor.op for tensor in op.inputs] + list(op.control_inputs)
    return Counter(seen.values())


def slopes(make: Make, *args: Any) -> None:
    """Gradients with respect to all arguments are equal, plain and shared."""

    def run(function: Callable[..., Any]) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(args)
            values = function(*args)
        return values, tape.gradient(values, args, unconnected_gradients="zero")

    executed.assert_same(run(tf.function(make())), run(tfreuse.dedupe(make(), on_error="raise")))
