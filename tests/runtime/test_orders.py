"""Orders that a merge must keep: look-ups before inserts, reads before writes, control dependencies."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

import tfreuse
from tests.seeds import executed

RUNS = 50
"""How often a program runs that a lost order would spoil now and then."""


def table(default: int = -1) -> Any:
    return tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, default)


def keys(*values: int) -> tf.Tensor:
    return tf.constant(values, tf.int64)


def test_lookups_merge_but_not_across_an_insert() -> None:
    def make() -> Any:
        counts = table()

        def run(key: Any, value: Any) -> Any:
            before = counts.lookup(key) + counts.lookup(key), counts.size() * counts.size()
            counts.insert(key, value)
            after = counts.lookup(key) + counts.lookup(key), counts.size() * counts.size()
            counts.remove(key)
            return before, after, counts.lookup(key) + counts.lookup(key)

        return run

    args = keys(1, 2), keys(10, 20)
    plain, before = executed.call(tf.function(make()), *args)
    function = tfreuse.dedupe(make())
    shared, after = executed.call(function, *args)
    executed.assert_same(plain, shared)
    assert [part.numpy().tolist() for part in tf.nest.flatten(shared)] == [[-2, -2], 0, [20, 40], 4, [-2, -2]]
    assert (before["LookupTableFindV2"], before["LookupTableSizeV2"]) == (6, 4)
    # A write keeps waiting for the reads that were merged away, so sizes asked before a write still run.
    assert (after["LookupTableFindV2"], after["LookupTableSizeV2"]) == (3, 4)
    assert after["LookupTableInsertV2"] == after["LookupTableRemoveV2"] == 1
    assert executed.missed(function.report, "write-between")


def slow_zero(weight: Any, like: Any) -> Any:
    """A zero that takes milliseconds to compute, so that what waits for it comes late unless it is waited for."""
    product = tf.matmul(weight, tf.matmul(weight, weight))
    return tf.cast(tf.reduce_min(product) * 0.0, like.dtype)


def test_an_insert_waits_for_every_lookup_before_it() -> None:
    """TensorFlow chains lookups, so the insert waits for the second only through the third, a copy of the first."""
    stored, weight = table(), tf.Variable(tf.ones([500, 500]))

    @tfreuse.dedupe
    def run(key: Any, other: Any) -> Any:
        first = stored.lookup(key)
        second = stored.lookup(other + slow_zero(weight, other))
        third = stored.lookup(key)
        stored.insert(other, other * 7)
        return first, second, third

    for _ in range(RUNS):
        assert [int(part[0]) for part in run(keys(1), keys(2))] == [-1, -1, -1]
        stored.remove(keys(2))
    assert executed.reported(run.report, "LookupTableFindV2") == (3, 2)
    restored = [mark["nodes"] for mark in run.report.to_dict()["remarks"] if mark["id"] == "order-restored"]
    assert any("insert" in write and "find_1" in read for write, read in restored)


def test_an_assign_waits_for_every_read_before_it() -> None:
    """The same with a variable, whose reads a user chained."""
    rows, weight = tf.Variable([1.0, 2.0]), tf.Variable(tf.ones([500, 500]))

    @tfreuse.dedupe
    def run(index: Any) -> Any:
        first = tf.gather(rows, index)
        with tf.control_dependencies([first]):
            second = tf.gather(rows, index + 1 + slow_zero(weight, index))
        with tf.control_dependencies([second]):
            third = tf.gather(rows, index)
        with tf.control_dependencies([third]):
            written = rows.assign([-1.0, -1.0], read_value=False)
        with tf.control_dependencies([written]):
            return first + 0.0, second + 0.0, third + 0.0

    for _ in range(RUNS):
        assert [float(part) for part in run(tf.constant(0))] == [1.0, 2.0, 1.0]
        executed.assert_same(rows.numpy(), np.float32([-1.0, -1.0]))
        rows.assign([1.0, 2.0])
    assert executed.reported(run.report, "ResourceGather") == (3, 2)


def test_control_dependencies_of_the_user_are_kept() -> None:
    """An order that a user asks for around a pure op holds, and keeps the op apart from one without it."""
    seen: list[int] = []
    weight = tf.Variable(tf.ones([500, 500]))

    def note(value: Any) -> None:
        seen.append(int(value))

    @tfreuse.dedupe
    def run(x: Any) -> Any:
        slow = tf.py_function(note, [1 + slow_zero(weight, tf.constant(0))], [])
        free = tf.square(x) + 1.0
        with tf.control_dependencies([slow]):
            held = tf.square(x) + 1.0, tf.square(x) + 1.0
        with tf.control_dependencies([held[0], held[1]]):
            tf.py_function(note, [2], [])
        with tf.control_dependencies([free]):
            barrier = tf.no_op()
        with tf.control_dependencies([barrier]):
            return free + held[0] * held[1], tf.identity(x)

    for _ in range(RUNS // 10):
        executed.assert_same(run(tf.constant(3.0)), (np.float32(110.0), np.float32(3.0)))
    assert seen == [1, 2] * (RUNS // 10)
    assert executed.reported(run.report, "Square") == (3, 2)


def test_what_waits_for_a_copy_waits_for_the_original() -> None:
    value, gate = tf.Variable(1.0), tf.Variable(0.0)

    def run(x: Any) -> Any:
        one = value * x
        other = value * x
        with tf.control_dependencies([other]):
            gate.assign_add(x)
        with tf.control_dependencies([gate.assign_add(one + other)]):
            return one + other + gate

    plain = [tf.function(run)(tf.constant(2.0)), gate.numpy()]
    gate.assign(0.0)
    executed.assert_same(plain, [tfreuse.dedupe(run)(tf.constant(2.0)), gate.numpy()])
    executed.assert_same(plain, [np.float32(10.0), np.float32(6.0)])
