"""Decorated functions in input pipelines and under a distribution strategy."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tests.scenarios.observe import expect, whole
from tests.scenarios.registry import Decorate, scenario


def mirrored() -> tf.distribute.Strategy:
    """Two replicas on the two logical CPUs which conftest.py makes."""
    assert len(tf.config.list_logical_devices("CPU")) == 2, "TensorFlow was started before conftest.py"
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def per_replica(strategy, values):
    """A distributed value: the n-th of `values` for the n-th replica."""
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(values[context.replica_id_in_sync_group])
    )


@scenario
def dataset_map_and_reduce(decorate: Decorate):
    """Decorated functions mapped over a dataset, reducing one, and iterating over one."""
    weight, counter = tf.Variable([2.0, 3.0]), tf.Variable(0.0)
    rows = tf.lookup.KeyValueTensorInitializer(tf.constant([0, 1], tf.int64), tf.constant([5.0, 7.0]))
    table = tf.lookup.StaticHashTable(rows, 0.0)

    @decorate
    def scale(index):
        value = tf.cast(index, tf.float32)
        return value * weight + value * weight, table.lookup(index) + table.lookup(index)

    @decorate
    def add(total, element):
        counter.assign_add(1.0)
        return total + tf.reduce_sum(element[0]) + tf.reduce_sum(element[0]) + element[1] + counter

    @decorate
    def iterate(dataset):
        total = tf.zeros([2])
        for product, found in dataset:
            total += product * found + product * found
        return total, dataset.reduce(np.float32(0.0), add)

    dataset = tf.data.Dataset.range(4).map(scale)
    elements = list(dataset)
    reduced = dataset.reduce(np.float32(0.0), add)
    inside = iterate(dataset)
    expect(elements[3], ([12.0, 18.0], 0.0))
    expect(elements[1][1], 14.0)
    expect(reduced, 20.0 * 6.0 + 24.0 + 10.0)
    expect(inside[0], [112.0, 168.0])
    expect(inside[1], 144.0 + 26.0)
    return elements, reduced, inside, counter


@scenario
def decorated_in_strategy_run(decorate: Decorate):
    """A replica calls the decorated function, also under a tape."""
    strategy = mirrored()
    with strategy.scope():
        weight = tf.Variable(whole(2, 2, seed=1), name="weight")
        total = tf.Variable(
            0.0, aggregation=tf.VariableAggregation.SUM, synchronization=tf.VariableSynchronization.ON_READ
        )

    @decorate
    def forward(x):
        total.assign_add(tf.reduce_sum(x))
        return tf.matmul(x, weight) + tf.matmul(x, weight)

    def replica_step(x):
        with tf.GradientTape() as tape:
            y = forward(x)
            loss = tf.reduce_sum(y * y)
        return y, tape.gradient(loss, weight)

    x = [whole(1, 2, seed=2), whole(1, 2, seed=3)]
    distributed = per_replica(strategy, x)
    outputs = [strategy.run(forward, args=(distributed,)), *strategy.run(replica_step, args=(distributed,))]
    local = [strategy.experimental_local_results(output) for output in outputs]
    expect(local[0], tuple(2.0 * part @ weight.numpy() for part in x))
    expect(local[2], tuple(8.0 * part.T @ part @ weight.numpy() for part in x))
    expect(strategy.reduce("SUM", outputs[0], axis=None), 2.0 * sum(x) @ weight.numpy())
    expect(total.read_value(), 2.0 * sum(part.sum() for part in x))
    return local, total.read_value(), weight.read_value()


@scenario
def strategy_run_in_decorated(decorate: Decorate):
    """The decorated function runs all replicas, twice, and reduces."""
    strategy = mirrored()
    with strategy.scope():
        weight = tf.Variable(whole(2, 2, seed=4), name="weight")
        steps = tf.Variable(0.0, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)

    def replica_step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.matmul(x, weight)) + tf.reduce_sum(tf.matmul(x, weight))
        gradient = tape.gradient(loss, weight)
        replicas = tf.distribute.get_replica_context()
        gradient = replicas.all_reduce(tf.distribute.ReduceOp.SUM, gradient)
        weight.assign_sub(gradient * 0.5)
        steps.assign_add(1.0)
        return loss, gradient

    @decorate
    def train(x):
        losses, gradients = strategy.run(replica_step, args=(x,))
        again, _ = strategy.run(replica_step, args=(x,))
        return (
            strategy.reduce("SUM", losses, axis=None),
            strategy.reduce("MEAN", gradients, axis=None),
            strategy.reduce("SUM", again, axis=None),
            steps + steps,
        )

    x = [whole(1, 2, seed=5), whole(1, 2, seed=6)]
    start = weight.numpy()
    distributed = per_replica(strategy, x)
    results = [train(distributed), train(distributed)]
    gradient = 2.0 * np.repeat(sum(x).T, 2, axis=1)
    expect(results[0][0], 2.0 * (sum(x) @ start).sum())
    expect(results[0][1], gradient)
    expect(weight.numpy(), start - 2.0 * gradient)
    expect(results[1][3], 8.0)
    return results, weight.numpy(), strategy.experimental_local_results(weight), steps.numpy()
