"""Decorated functions under `MirroredStrategy`: equal work of one replica is one, that of two replicas stays two.

Inputs and weights are small whole numbers, so sums are exact in whatever order replicas are added up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.scenarios.observe import whole
from tests.seeds import executed
from tests.two_devices import two_devices

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("error:tfreuse")]

Decorate = Callable[..., Any]
DOORS = {"plain": tf.function, "shared": tfreuse.dedupe}


def mirrored() -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(two_devices())


def per_replica(strategy: tf.distribute.Strategy, *values: Any) -> Any:
    """The n-th of `values` for the n-th replica."""
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(values[context.replica_id_in_sync_group])
    )


def numbers(strategy: tf.distribute.Strategy, values: Any) -> list[Any]:
    """Every replica's part of every value."""
    parts = [strategy.experimental_local_results(value) for value in tf.nest.flatten(values)]
    return [part.numpy() for found in parts for part in found]


def live(concrete: Any) -> list[Any]:
    """The nodes that a run of the graph needs."""
    graph_def = concrete.graph.as_graph_def()
    wanted = [tensor.op.name for tensor in concrete.outputs] + [op.name for op in concrete.graph.control_outputs]
    return list(tf.compat.v1.graph_util.extract_sub_graph(graph_def, wanted).node)


def count(nodes: list[Any], op: str) -> Counter[str]:
    """How many nodes of an op each device has."""
    return Counter(node.device[-5:] for node in nodes if node.op == op)


def test_a_decorated_function_in_each_replica() -> None:
    strategy = mirrored()
    with strategy.scope():
        weight = tf.Variable(whole(2, 3, seed=1))
    x = per_replica(strategy, whole(4, 2, seed=2), whole(4, 2, seed=3))
    results, runs = {}, {}
    for door, decorate in DOORS.items():
        forward = decorate(lambda x: tf.matmul(x, weight) * tf.matmul(x, weight))
        results[door], runs[door] = executed.call(lambda f=forward: strategy.run(f, args=(x,)))
    executed.assert_same(numbers(strategy, results["plain"]), numbers(strategy, results["shared"]))
    # The strategy traces the function once for each replica, all into one graph, which is rewired when it is whole.
    assert (runs["plain"]["MatMul"], runs["shared"]["MatMul"]) == (4, 2)
    assert (runs["plain"]["ReadVariableOp"], runs["shared"]["ReadVariableOp"]) == (4, 2)
    (report,) = forward.reports
    assert executed.reported(report, "MatMul") == (4, 2)


def test_writes_in_a_decorated_function_in_each_replica() -> None:
    """What orders reads and writes is known only when the function is whole."""
    strategy = mirrored()
    with strategy.scope():
        seen = tf.Variable(
            0.0, synchronization=tf.VariableSynchronization.ON_READ, aggregation=tf.VariableAggregation.SUM
        )
    x = per_replica(strategy, 1.0, 10.0)
    for decorate in DOORS.values():
        seen.assign(0.0)

        @decorate
        def replica(x: Any) -> Any:
            before = seen * 1.0 + seen * 1.0
            seen.assign_add(x)
            return before, seen * 1.0 + seen * 1.0

        step = tf.function(lambda x, f=replica: strategy.run(f, args=(x,)))
        assert numbers(strategy, strategy.run(replica, args=(x,))) == [0.0, 0.0, 2.0, 20.0]
        assert numbers(strategy, step(x)) == [2.0, 20.0, 4.0, 40.0]
    for report in replica.reports:
        assert executed.reported(report, "Mul") == (8, 4)
        assert report.failures == [] and executed.missed(report, "write-between")


def test_replicas_in_a_decorated_function() -> None:
    """One graph holds both replicas: their variables have one name and one value, and are two."""
    strategy = mirrored()
    with strategy.scope():
        weight = tf.Variable(whole(2, 3, seed=1))
    x = tf.constant(whole(4, 2, seed=2))

    def replica(x: Any) -> Any:
        return tf.matmul(x, weight) * tf.matmul(x, weight)

    nodes = {}
    for door, decorate in DOORS.items():
        step = decorate(lambda x: strategy.reduce("SUM", strategy.run(replica, args=(x,)), axis=None))
        concrete = step.get_concrete_function(x)
        nodes[door] = live(concrete)
        product = x.numpy() @ weight.numpy()
        np.testing.assert_array_equal(concrete(x), 2.0 * product * product)
    assert count(nodes["plain"], "MatMul") == {"CPU:0": 2, "CPU:1": 2}
    assert count(nodes["shared"], "MatMul") == {"CPU:0": 1, "CPU:1": 1}
    reads = [sum(count(found, "ReadVariableOp").values()) for found in nodes.values()]
    assert reads == [4, 2]  # where its handle is, so no device is asked for


def test_components_with_values_of_their_own() -> None:
    """A variable that is summed on reading has another value in each replica; each reads its own, once."""
    strategy = mirrored()
    with strategy.scope():
        seen = tf.Variable(
            0.0, synchronization=tf.VariableSynchronization.ON_READ, aggregation=tf.VariableAggregation.SUM
        )
    x = per_replica(strategy, 1.0, 10.0)
    found = {}
    for door, decorate in DOORS.items():
        seen.assign(0.0)

        def replica(x: Any) -> Any:
            before = seen * 1.0 + seen * 1.0
            seen.assign_add(x)
            return before, seen * 1.0 + seen * 1.0

        @decorate
        def step(x: Any) -> Any:
            return strategy.run(replica, args=(x,))

        outputs = [numbers(strategy, step(x)) for _ in range(2)]
        found[door] = outputs, seen.numpy(), count(live(step.get_concrete_function(x)), "Mul")
    assert found["plain"][:2] == found["shared"][:2]
    assert found["shared"][:2] == ([[0.0, 0.0, 2.0, 20.0], [2.0, 20.0, 4.0, 40.0]], 22.0)
    assert found["plain"][2] == {"CPU:0": 4, "CPU:1": 4}
    assert found["shared"][2] == {"CPU:0": 2, "CPU:1": 2}  # one before the write and one behind it


def training(decorate: Decorate, inside: bool) -> tuple[list[Any], Any]:
    """Five steps with a Keras optimizer: losses and weights. `inside`: the replica's step is what is decorated."""
    strategy = mirrored()
    with strategy.scope():
        keras.utils.set_random_seed(3)
        layer = keras.layers.Dense(2, "relu")
        layer.build((None, 3))
        layer.set_weights([whole(3, 2, seed=4), np.zeros(2, np.float32)])
        optimizer = keras.optimizers.SGD(0.0625, momentum=0.5)
        optimizer.build(layer.trainable_variables)
    dataset = tf.data.Dataset.from_tensor_slices(whole(8, 3, seed=5)).batch(4).repeat()
    distributed = iter(strategy.experimental_distribute_dataset(dataset))

    def replica(x: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x) - 0.5 * layer(x)) * 0.125
        slopes = tape.gradient(loss, layer.trainable_variables)
        optimizer.apply_gradients(zip(slopes, layer.trainable_variables, strict=True))
        return loss

    if inside:
        run = decorate(replica)

        def step(x: Any) -> Any:
            return strategy.reduce("SUM", strategy.run(run, args=(x,)), axis=None)
    else:

        @decorate
        def step(x: Any) -> Any:
            return strategy.reduce("SUM", strategy.run(replica, args=(x,)), axis=None)

    losses = [step(next(distributed)).numpy() for _ in range(5)]
    state = [*layer.trainable_variables, *optimizer.variables]
    parts = [part.numpy() for variable in state for part in strategy.experimental_local_results(_value(variable))]
    return [losses, parts], step


def _value(variable: Any) -> Any:
    return getattr(variable, "value", variable)


def test_a_step_of_training_with_aggregation() -> None:
    (plain, _), (shared, step) = (training(decorate, False) for decorate in DOORS.values())
    executed.assert_same(plain, shared)
    assert len({float(loss) for loss in plain[0]}) > 1, "training changes nothing"
    assert executed.reported(step.report, "MatMul")[0] > executed.reported(step.report, "MatMul")[1]


def test_a_distributed_dataset_in_the_step() -> None:
    """The iterator is read inside; what two replicas take out of it is not the same."""
    strategy = mirrored()
    found = {}
    for door, decorate in DOORS.items():
        dataset = tf.data.Dataset.range(8).map(lambda n: tf.cast(n, tf.float32)).batch(2)
        rows = iter(strategy.experimental_distribute_dataset(dataset))

        @decorate
        def step(rows: Any) -> Any:
            return [strategy.run(lambda x: tf.exp(x) * tf.exp(x), args=(next(rows),)) for _ in range(2)]

        nodes = live(step.get_concrete_function(rows))
        found[door] = numbers(strategy, step(rows)), count(nodes, "Exp")
    executed.assert_same(found["plain"][0], found["shared"][0])
    assert found["plain"][1] == {"CPU:0": 4, "CPU:1": 4}
    assert found["shared"][1] == {"CPU:0": 2, "CPU:1": 2}
