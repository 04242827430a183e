"""Traps of the decorator itself: traces, replicas, composite tensors, passes that fail."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.seeds import executed
from tests.traps.side_by_side import X, compare
from tfreuse.passes.cse import Cse

pytestmark = pytest.mark.tensorflow


def test_trap_099_work_is_done_once_a_trace() -> None:
    program = tfreuse.dedupe(lambda x: tf.square(x) - tf.square(x))
    for x in (X, X + 1.0, X, tf.constant(2.0), tf.constant(3.0)):
        program(x)
    assert len(program.reports) == program.experimental_get_tracing_count() == 2


REPLICAS = """
import tensorflow as tf, tfreuse
from tests.seeds import executed
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

def run(decorate):
    with strategy.scope():
        shared = tf.Variable(1.0, aggregation=tf.VariableAggregation.SUM)
        sums = dict(synchronization=tf.VariableSynchronization.ON_READ, aggregation=tf.VariableAggregation.SUM)
        own = tf.Variable(0.0, **sums)

    @decorate
    def step(x):
        def replica(x):
            context = tf.distribute.get_replica_context()
            own.assign_add(x * tf.cast(1 + context.replica_id_in_sync_group, tf.float32))
            shared.assign_add(x * 0.5)
            return own.read_value() - own.read_value() * shared.read_value() + shared.read_value()

        return strategy.experimental_local_results(strategy.run(replica, (x,)))

    values = [step(tf.constant(2.0)) for _ in range(2)]
    return values, own.read_value(), shared.read_value(), step

*plain, _ = run(tf.function)
*shared, step = run(lambda function: tfreuse.dedupe(function, on_error="raise"))
executed.assert_same(plain, shared)
assert len(plain[0][0]) == 2 and float(plain[0][0][0]) != float(plain[0][0][1])
assert step.report.merged > 0
"""


def test_trap_114_variables_with_components() -> None:
    """Under a strategy each of two replicas reads its own component; in a process of its own, for two devices."""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", REPLICAS], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_trap_115_composite_tensors() -> None:
    def make() -> Callable[..., Any]:
        def program(sparse: Any, ragged: Any) -> Any:
            one, other = tf.sparse.reorder(sparse), tf.sparse.reorder(sparse)
            row, again = ragged * 2.0, ragged * 2.0
            return {"sum": tf.sparse.add(one, other), "both": (one, other), "rows": [row, again, row - again]}

        return program

    sparse = tf.SparseTensor([[1, 0], [0, 1]], [1.0, 2.0], [2, 2])
    _, _, function = compare(make, sparse, tf.ragged.constant([[1.0], [2.0, 3.0]]))
    assert function.report.merged > 0


def test_trap_117_a_failure_costs_the_optimisation(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: Any) -> Any:
        raise ZeroDivisionError("broken on purpose")

    monkeypatch.setattr(Cse, "candidates", broken)
    function = tfreuse.dedupe(lambda x: tf.square(x) - tf.square(x) * 2.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        executed.assert_same(function(X), -tf.square(X))
    assert any("broken on purpose" in str(warning.message) for warning in caught)
    assert function.report.failures
