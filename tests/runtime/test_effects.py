"""What stays apart: different weights, random draws, reads on two sides of a write, and all other effects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.runtime.test_executed import image, whole
from tests.seeds import executed


def run_both(make: Callable[[], Any], *args: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Values and executed ops of a fresh program, plain and shared, with equal values; and the report."""
    plain, before = executed.call(tf.function(make()), *args)
    function = tfreuse.dedupe(make())
    shared, after = executed.call(function, *args)
    executed.assert_same(plain, shared)
    return plain, shared, before, after, function.report


def test_layers_with_equal_weights_of_their_own_stay_apart() -> None:
    layers = [tf.keras.layers.Conv2D(2, 3, kernel_initializer="ones", name=name) for name in ("one", "other")]
    for layer in layers:
        layer.build((None, None, None, 2))

    def make() -> Any:
        return lambda x: [layer(x) * float(i) for i in range(1, 3) for layer in layers]

    before, after = run_both(make, image())[2:4]
    assert (before["ReadVariableOp"], before["Conv2D"]) == (8, 4)
    assert (after["ReadVariableOp"], after["Conv2D"]) == (4, 2)
    layers[0].kernel.assign(layers[0].kernel * 2.0)
    outputs = tfreuse.dedupe(make())(image())
    executed.assert_same(outputs[2].numpy(), outputs[3].numpy() * 2.0)


def test_random_draws_stay_apart() -> None:
    def make() -> Any:
        generator = tf.random.Generator.from_seed(3)
        layer = tf.keras.layers.Dropout(0.5, seed=5)
        tf.random.set_seed(7)

        def draw(x: Any) -> Any:
            return {
                "unseeded": (tf.random.uniform([16]), tf.random.uniform([16])),
                "dropout": (tf.nn.dropout(x, 0.5), tf.nn.dropout(x, 0.5)),
                "layer": (layer(x, training=True), layer(x, training=True)),
                "generator": (generator.uniform([16]), generator.uniform([16])),
                "shuffle": (tf.random.shuffle(tf.range(32)), tf.random.shuffle(tf.range(32))),
                # Two ops with one seed each start one and the same stream; they are two draws even so.
                "seeded": (tf.random.normal([16], seed=1) + tf.random.normal([16], seed=1), x),
                "seeded dropout": (tf.nn.dropout(x, 0.5, seed=2) + tf.nn.dropout(x, 0.5, seed=2), x),
            }

        return draw

    values, _, before, after, report = run_both(make, tf.ones([32]))
    assert [name for name, (one, other) in values.items() if np.array_equal(one, other)] == []
    for op, count in {"RandomUniform": 6, "RandomStandardNormal": 2, "RandomShuffle": 2}.items():
        assert before[op] == after[op] == count
    alike = {node for miss in executed.missed(report, "random-draw") for node in miss["nodes"]}
    assert any("random_uniform" in node for node in alike)
    assert any("RandomShuffle" in node for node in alike)


@pytest.mark.parametrize("write", ["assign", "scatter", "slice", "call", "branch", "optimizer"])
def test_reads_on_two_sides_of_a_write_stay_apart(write: str) -> None:
    def make() -> Any:
        kernel = tf.Variable(whole(3, 3, 2, 2, seed=2))
        optimizer = tf.keras.optimizers.SGD(1.0)
        optimizer.build([kernel])
        other = tf.Variable(2.0)
        change = tf.function(lambda: kernel.assign_add(tf.ones_like(kernel)))
        writes = {
            "assign": lambda x: kernel.assign_sub(tf.ones_like(kernel)),
            "scatter": lambda x: kernel.scatter_nd_update([[0]], tf.zeros([1, 3, 2, 2])),
            "slice": lambda x: kernel[1:2].assign(tf.zeros([1, 3, 2, 2])),
            "call": lambda x: change(),
            "branch": lambda x: tf.cond(tf.reduce_sum(x) > 1e9, lambda: 0.0, lambda: [change(), 1.0][1]),
            "optimizer": lambda x: optimizer.apply([tf.ones_like(kernel)], [kernel]),
        }

        def run(x: Any) -> Any:
            results = [tf.nn.conv2d(x, kernel, 1, "SAME") * float(i + 1) for i in range(2)]
            results += [other * other]
            writes[write](x)
            return [*results, *(tf.nn.conv2d(x, kernel, 1, "SAME") * float(i + 1) for i in range(2)), other + other]

        return run

    plain, _, before, after, report = run_both(make, image())
    assert not np.array_equal(plain[0], plain[3])
    assert (before["Conv2D"], after["Conv2D"]) == (4, 2)
    assert executed.reported(report, "Conv2D") == (4, 2)
    assert executed.missed(report, "write-between")


def test_prints_stay_as_many_as_they_were(tmp_path: Path) -> None:
    def make(path: Path) -> Any:
        def run(x: Any) -> Any:
            for _ in range(2):
                tf.print("seen", tf.reduce_sum(x), output_stream=f"file://{path}")
            for _ in tf.range(2):
                tf.print("loop", output_stream=f"file://{path}")
                tf.print("loop", output_stream=f"file://{path}")
            return x + x

        return run

    texts = []
    for door in (tf.function, tfreuse.dedupe):
        path = tmp_path / door.__name__
        _, ran = executed.call(door(make(path)), tf.ones([2]))
        assert ran["PrintV2"] == 4
        texts.append(path.read_text())
    assert texts[0] == texts[1] == "seen 2\n" * 2 + "loop\n" * 4


def test_assertions_stay_and_still_raise() -> None:
    def run(x: Any) -> Any:
        for _ in range(2):
            tf.debugging.assert_positive(x, "no positive number")
            tf.debugging.Assert(tf.reduce_sum(x) < 100.0, ["large", x])
        return tf.debugging.check_numerics(x, "odd") + tf.debugging.check_numerics(x, "odd")

    before, after, _ = executed.compare(run, tf.ones([2]))
    function = tfreuse.dedupe(run)
    assert before["Assert"] == after["Assert"] == 4
    for bad, message in (
        ([-1.0], "no positive number"),
        ([1000.0], "large"),
        ([float("nan")], "odd|no positive number"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            function(tf.constant(bad))


def test_python_functions_are_called_as_often() -> None:
    def make(calls: list[float]) -> Any:
        def note(x: Any) -> Any:
            calls.append(float(x))
            return x * 2.0

        return lambda x: tf.py_function(note, [x], tf.float32) + tf.py_function(note, [x], tf.float32) + x * x

    counts: list[list[float]] = [[], []]
    values = [
        door(make(seen))(tf.constant(3.0)) for door, seen in zip((tf.function, tfreuse.dedupe), counts, strict=True)
    ]
    executed.assert_same(*values)
    assert counts == [[3.0, 3.0]] * 2


def test_a_dataset_iterator_moves_on_each_time() -> None:
    def make() -> Any:
        elements = iter(tf.data.Dataset.range(12))

        def run() -> Any:
            first = next(elements) + next(elements) * 10
            for _ in tf.range(2):
                first += next(elements) * 100 + next(elements) * 100
            optional = elements.get_next_as_optional(), elements.get_next_as_optional()
            return first, [item.get_value() for item in optional]

        return run

    plain, _, before, after, _ = run_both(make)
    assert int(plain[0]) == 10 + 100 * (2 + 3 + 4 + 5)
    assert [int(item) for item in plain[1]] == [6, 7]
    assert before["IteratorGetNext"] == after["IteratorGetNext"] == 4


def test_tensor_arrays_keep_their_writes() -> None:
    weight = tf.Variable(3.0)

    def make() -> Any:
        def run(x: Any) -> Any:
            arrays = [tf.TensorArray(tf.float32, 3, clear_after_read=False, element_shape=[]) for _ in range(2)]
            arrays = [array.write(0, x * weight).write(1, x * weight) for array in arrays]
            arrays[1] = arrays[1].write(0, x)
            for i in tf.range(3):
                arrays[0] = arrays[0].write(i, arrays[0].read(0) + arrays[1].read(0) + arrays[1].read(0))
            return [array.stack() for array in arrays], arrays[0].read(2) + arrays[0].read(2)

        return run

    plain = run_both(make, tf.constant(2.0))[0]
    executed.assert_same(plain[0][1].numpy(), np.array([2.0, 6.0, 0.0], np.float32))
