"""Lookup tables: repeated look-ups may merge, those on two sides of an insertion may not."""

from __future__ import annotations

import tensorflow as tf

from tests.scenarios.observe import expect, whole
from tests.scenarios.registry import Decorate, scenario

WORDS = ["ant", "bee", "cat"]


def _static(values, default=-1) -> tf.lookup.StaticHashTable:
    rows = tf.lookup.KeyValueTensorInitializer(tf.constant(WORDS), tf.constant(values))
    return tf.lookup.StaticHashTable(rows, default)


@scenario
def static_hash_table(decorate: Decorate):
    """Two static tables over the same words, each asked twice."""
    table, other = _static([0, 1, 2]), _static([2, 1, 0])
    vectors = tf.Variable(whole(3, 2, seed=1))

    @decorate
    def embed(words):
        first = tf.gather(vectors, table.lookup(words))
        second = tf.gather(vectors, table.lookup(words))
        third = tf.gather(vectors, other.lookup(words))
        return first + second, third, table.lookup(words), table.size() + table.size()

    words = tf.constant(["cat", "ant"])
    with tf.GradientTape() as tape:
        outputs = embed(words)
    slope = tf.convert_to_tensor(tape.gradient(outputs[:2], vectors))
    expect(outputs[0], 2.0 * vectors.numpy()[[2, 0]])
    expect(outputs[1], vectors.numpy()[[0, 2]])
    expect(outputs[2:], ([2, 0], 6))
    expect(slope, [[3.0, 3.0], [0.0, 0.0], [3.0, 3.0]])
    strange = decorate(lambda keys: table.lookup(keys) + table.lookup(keys))(tf.constant(["dog", "bee"]))
    return outputs, slope, strange


@scenario
def dense_and_mutable_hash_tables(decorate: Decorate):
    """Insertions and removals between look-ups and sizes."""

    def make_tables():
        yield tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, -1.0)
        yield tf.lookup.experimental.DenseHashTable(tf.int64, tf.float32, -1.0, empty_key=-5, deleted_key=-6)

    observed = []
    for table in make_tables():

        @decorate
        def visit(key, value, table=None):
            before = table.lookup(key) + table.lookup(key)
            sizes = [table.size() + table.size()]
            table.insert(key, value)
            middle = table.lookup(key) + table.lookup(key)
            sizes.append(table.size())
            table.insert(key, value + value)
            table.insert(key + 1, value)
            after = [table.lookup(key)]
            table.insert(key, value)
            after.append(table.lookup(key))
            table.remove(key + 1)
            sizes.append(table.size())
            return before, middle, after, table.lookup(key + 1), tf.stack(sizes)

        keys = tf.constant([3, 8], tf.int64)
        results = [visit(keys, tf.constant([1.0, 2.0]), table=table) for _ in range(2)]
        expect(results[0], ([-2.0, -2.0], [2.0, 4.0], [[2.0, 4.0], [1.0, 2.0]], [-1.0, -1.0], [0, 2, 2]))
        expect(results[1], ([2.0, 4.0], [2.0, 4.0], [[2.0, 4.0], [1.0, 2.0]], [-1.0, -1.0], [4, 2, 2]))
        exported = decorate(lambda table=table: table.export())()
        order = tf.argsort(exported[0])
        observed.append([results, [tf.gather(part, order) for part in exported]])
    return observed


@scenario
def table_created_in_init_scope(decorate: Decorate):
    """Tables that the first trace creates outside of the graph."""
    kept = {}

    @decorate
    def compute(words):
        if not kept:
            with tf.init_scope():
                kept["static"] = _static([10, 20, 30])
                kept["counts"] = tf.lookup.experimental.MutableHashTable(tf.string, tf.int32, 0)
        static, counts = kept["static"], kept["counts"]
        found = static.lookup(words) + static.lookup(words)
        seen = counts.lookup(words)
        counts.insert(words, seen + 1)
        return found, seen, counts.lookup(words)

    words = tf.constant(["bee", "dog"])
    results = [compute(words), compute(words), compute(tf.constant(["bee"]))]
    expect(results[0], ([40, -2], [0, 0], [1, 1]))
    expect(results[2], ([40], [2], [3]))
    return results, kept["counts"].size(), compute.experimental_get_tracing_count()
