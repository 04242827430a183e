"""What the tests of loops and branches ask: how often an op ran, and what a function and its gradients give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from tests.seeds.executed import written


def times(op: str, fn: Callable[..., Any], *args: Any) -> int:
    """How often kernels of `op` run, each iteration of a loop counted, as the profiler tells (run metadata of functions
    has their graphs only)."""
    fn(*args)  # constants are folded when a function is made ready
    with TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        fn(*args)
        tf.profiler.experimental.stop()
        space = xplane_pb2.XSpace()
        (found,) = Path(folder).rglob("*.xplane.pb")
        space.ParseFromString(found.read_bytes())
    ran = [
        plane.event_metadata[event.metadata_id].name.rpartition(":")[2]
        for plane in space.planes
        if plane.name == "/host:CPU"
        for line in plane.lines
        for event in line.events
    ]
    assert ran, "nothing was recorded"
    return sum(written(kernel) == op for kernel in ran)


def values_and_gradients(fn: Callable[..., Any], args: Sequence[Any], sources: Sequence[Any]) -> list[Any]:
    """The result, its gradients by `sources`, and those of the sum of their squares."""
    with tf.GradientTape() as outer:
        outer.watch([source for source in sources if not isinstance(source, tf.Variable)])
        with tf.GradientTape() as inner:
            inner.watch([source for source in sources if not isinstance(source, tf.Variable)])
            result = fn(*args)
            loss = tf.reduce_sum(result * result)
        first = inner.gradient(loss, sources)
        total = tf.add_n([tf.reduce_sum(gradient * gradient) for gradient in first if gradient is not None] or [loss])
    return [result, *first, *outer.gradient(total, sources)]


def assert_same_results(plain: Sequence[Any], other: Sequence[Any], exact: int = 1) -> None:
    """The first `exact` values equal in all bits, the others up to rounding; None where the plain ones are None."""
    assert [value is None for value in plain] == [value is None for value in other]
    for index, (one, two) in enumerate(zip(plain, other, strict=True)):
        if one is not None:
            left, right = np.asarray(tf.convert_to_tensor(one)), np.asarray(tf.convert_to_tensor(two))
            if index < exact:
                assert left.tobytes() == right.tobytes()
            np.testing.assert_allclose(right, left, rtol=1e-5, atol=1e-5 * float(np.abs(left).max()))


def normal(*shape: int, seed: int = 0) -> Any:
    """A float32 array that is the same in each run."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
