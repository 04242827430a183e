"""Loops over windows as users write them: values, gradients and what runs, decorated and on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.cli.command import Command
from tests.loops.runs import times
from tests.overlap.programs import whole

FIRST, SECOND = whole(3, 3, 2, 3, seed=1), whole(3, 3, 3, 2, seed=2)


class Loop(NamedTuple):
    """A model, the loop that moves windows, what it moves them over, and how many of an op run, plain and shared."""

    model: Any
    run: Callable[[Any, Any], Any]
    x: Any
    op: str
    plain: int
    shared: int


def model(*layers: Any, shape: tuple[int, ...]) -> Any:
    made = keras.Sequential([keras.Input(shape), *layers])
    for number, weight in enumerate(made.trainable_variables):
        weight.assign(whole(*weight.shape, seed=number))
    return made


def clips(net: Any, x: Any) -> Any:
    results = tf.TensorArray(tf.float32, 9)
    for i in tf.range(9):
        results = results.write(i, net(x[:, i : i + 8]))
    return results.stack()


def added(net: Any, x: Any) -> Any:
    total = 0.0
    for i in tf.range(4):
        total += tf.reduce_sum(net(x[:, 2 * i : 2 * i + 11]))
    return total


def joined(net: Any, x: Any) -> Any:
    result, i = net(x[:5]), tf.constant(1, tf.int64)
    while i < 6:
        tf.autograph.experimental.set_loop_options(shape_invariants=[(result, tf.TensorShape([None, 4]))])
        result = tf.concat([result, net(tf.slice(x, [i, 0], [5, -1]))], 0)
        i += 1
    return result


def backwards(net: Any, x: Any) -> Any:
    def body(i: Any, found: Any) -> Any:
        return i - 1, found.write(i, net(x[:, i : i + 8, i : i + 8]))

    return tf.while_loop(lambda i, _: i >= 0, body, (5, tf.TensorArray(tf.float32, 6)))[1].stack()


def nested(net: Any, x: Any) -> Any:
    total = 0.0
    for k in tf.range(3):
        for i in tf.range(9):
            total += tf.reduce_sum(net(x[:, i : i + 8])) * tf.cast(k, tf.float32)
    return total


def conv1d() -> Loop:
    conv, dense = keras.layers.Conv1D(3, 3, activation="relu"), keras.layers.Conv1D(2, 3)
    return Loop(model(conv, dense, shape=(None, 2)), clips, whole(2, 16, 2), "Conv2D", 18, 2)


def conv2d() -> Loop:
    layers = (
        keras.layers.Conv2D(3, 3, activation="relu"),
        keras.layers.MaxPool2D((2, 1), 1),
        keras.layers.Conv2D(2, 3, 2),
    )
    return Loop(model(*layers, shape=(None, 8, 2)), added, whole(2, 17, 8, 2), "Conv2D", 8, 2)


def conv3d() -> Loop:
    layers = keras.layers.Conv3D(3, 3, activation="relu"), keras.layers.Conv3D(2, (2, 3, 3))
    return Loop(model(*layers, shape=(None, 6, 6, 2)), clips, whole(1, 16, 6, 6, 2), "Conv3D", 18, 2)


def dense() -> Loop:
    layers = keras.layers.Dense(8, activation="relu"), keras.layers.Dense(4)
    return Loop(model(*layers, shape=(3,)), joined, whole(10, 3), "MatMul", 12, 2)


def planes() -> Loop:
    return Loop(lambda x: tf.nn.conv2d(x, FIRST, 1, "VALID"), backwards, whole(2, 13, 13, 2), "Conv2D", 6, 1)


def in_a_loop() -> Loop:
    def net(x: Any) -> Any:
        return tf.nn.conv2d(tf.nn.relu(tf.nn.conv2d(x, FIRST, 1, "VALID")), SECOND, 1, "VALID")

    return Loop(net, nested, whole(2, 16, 6, 2), "Conv2D", 54, 6)


LOOPS = [conv1d, conv2d, conv3d, dense, planes, in_a_loop]


def weights_of(loop: Loop) -> list[Any]:
    return list(getattr(loop.model, "trainable_variables", []))


def results(function: Callable[[Any], Any], loop: Loop, weights: list[Any]) -> list[Any]:
    """The values, their gradients by the operand and the weights, and those of the squares of the gradient by the
    operand (TensorFlow fails to differentiate a loop that grows its result twice)."""
    weights = [weight.value if isinstance(weight, keras.Variable) else weight for weight in weights]
    with tf.GradientTape() as outer:
        outer.watch(loop.x)
        with tf.GradientTape() as tape:
            tape.watch(loop.x)
            y = function(loop.x)
            loss = tf.reduce_sum(y * y)
        first = tape.gradient(loss, [loop.x, *weights])
        squares = tf.reduce_sum(first[0] ** 2)
    twice = [] if loop.run is joined else outer.gradient(squares, [loop.x, *weights], unconnected_gradients="zero")
    return [y, *first, *twice]


def assert_same(plain: list[Any], shared: list[Any]) -> None:
    """Whole numbers: sums are exact in whatever order, as long as they fit; gradients of gradients need not."""
    np.testing.assert_array_equal(plain[0], shared[0])
    for one, other in zip(plain[1:], shared[1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * float(np.abs(one).max()))


@pytest.mark.parametrize("make", LOOPS, ids=lambda make: make.__name__)
def test_a_decorated_function(make: Callable[[], Loop]) -> None:
    loop = make()

    def run(x: Any) -> Any:
        return loop.run(loop.model, x)

    plain, shared = tf.function(run), tfreuse.dedupe(run, preset="fast", on_error="raise")
    np.testing.assert_array_equal(plain(loop.x), shared(loop.x))  # under two tapes TensorFlow would wrap the loop
    assert_same(results(plain, loop, weights_of(loop)), results(shared, loop, weights_of(loop)))
    assert not [entry for entry in shared.report.missed if entry["id"] == "overlap-loop"], shared.report
    assert (times(loop.op, plain, loop.x), times(loop.op, shared, loop.x)) == (loop.plain, loop.shared)


class Saved(tf.Module):
    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self.net, self.kernels = loop.model, [weight.value for weight in weights_of(loop)]
        shape = [None if loop.op != "MatMul" else loop.x.shape[0], *loop.x.shape[1:]]
        spec = tf.TensorSpec(shape, tf.float32, name="x")
        self.serve = tf.function(lambda x: loop.run(loop.model, x), input_signature=[spec])


def gradients(loaded: Any, loop: Loop) -> list[Any]:
    with tf.GradientTape() as tape:
        tape.watch(loop.x)
        y = loaded.serve(loop.x)
        loss = tf.reduce_sum(y * y)
    return list(tape.gradient(loss, [loop.x, *loaded.kernels]))


@pytest.mark.parametrize("make", [conv1d, conv3d, dense, in_a_loop], ids=lambda make: make.__name__)
def test_a_saved_model(make: Callable[[], Loop], tmp_path: Path) -> None:
    loop = make()
    tf.saved_model.save(Saved(loop), str(tmp_path / "plain"))
    report = tfreuse.optimize_saved_model(tmp_path / "plain", tmp_path / "fast", preset="fast", verify=2)
    assert not report.failures
    plain, shared = (tf.saved_model.load(str(tmp_path / name)) for name in ("plain", "fast"))
    count = [times(loop.op, found.serve, loop.x) for found in (plain, shared)]
    assert count == [loop.plain, loop.shared]
    for one, other in zip(*(gradients(each, loop) for each in (plain, shared)), strict=True):
        np.testing.assert_array_equal(one, other)
    tfreuse.optimize_saved_model(tmp_path / "fast", tmp_path / "twice", preset="fast")
    assert (tmp_path / "fast" / "saved_model.pb").read_bytes() == (tmp_path / "twice" / "saved_model.pb").read_bytes()


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    loop = conv1d()
    tf.saved_model.save(Saved(loop), str(tmp_path / "plain"))
    command = Command(monkeypatch, capfd, tmp_path)
    done = command("optimize", tmp_path / "plain", tmp_path / "fast", "--preset", "fast", "--verify", "2")
    assert done.code == 0, done
    assert "9 windows of x along axis 1 (0 to 15 of 16), each element 3.86 times" in " ".join(done.out.split())
    shared = tf.saved_model.load(str(tmp_path / "fast"))
    assert times("Conv2D", shared.serve, loop.x) == 2
    np.testing.assert_array_equal(shared.serve(loop.x), loop.run(loop.model, loop.x))


def test_a_concrete_function() -> None:
    loop = conv1d()
    plain = tf.function(lambda x: loop.run(loop.model, x)).get_concrete_function(loop.x)
    shared, report = tfreuse.optimize(plain, preset="fast", verify=2)
    assert not report.failures
    np.testing.assert_array_equal(plain(loop.x), shared(loop.x))
    assert times("Conv2D", shared, loop.x) == 2


def test_a_train_step_whose_tape_is_outside() -> None:
    loop = conv1d()

    @tfreuse.dedupe(preset="fast", on_error="raise")
    def forward(x: Any) -> Any:
        return loop.run(loop.model, x)

    optimizer = keras.optimizers.SGD(1e-6)
    losses = []
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(forward(loop.x) ** 2)
        variables = loop.model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        losses.append(float(loss))
    assert losses[0] > losses[1] > losses[2]


def test_a_train_step_whose_tape_is_inside() -> None:
    """The forward loop shares; the backward loop takes the gradients of one window after the other, as before."""
    loop = conv1d()
    variables = [weight.value for weight in loop.model.trainable_variables]

    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(loop.run(loop.model, x) ** 2)
        return loss, tape.gradient(loss, variables)

    plain, shared = tf.function(step), tfreuse.dedupe(step, preset="fast", on_error="raise")
    for one, other in zip(tf.nest.flatten(plain(loop.x)), tf.nest.flatten(shared(loop.x)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [times("Conv2D", each, loop.x) for each in (plain, shared)] == [18, 2]
    backward = [times("Conv2DBackpropFilter", each, loop.x) for each in (plain, shared)]
    assert backward == [18, 18]


def details(shared: Any) -> list[str]:
    return [entry["detail"] for entry in shared.report.missed if entry["id"] == "overlap-loop"]


@pytest.mark.parametrize("count", [0, 1])
def test_loops_of_no_or_one_iteration_stay_as_they_are(count: int) -> None:
    def run(x: Any) -> Any:
        total = 0.0
        for i in tf.range(count):
            total += tf.reduce_sum(tf.nn.conv2d(x[:, i : i + 8], FIRST, 1, "VALID"))
        return total

    x = whole(2, 16, 6, 2)
    shared = tfreuse.dedupe(run, preset="fast", on_error="raise")
    np.testing.assert_array_equal(shared(x), run(x))
    assert times("Conv2D", shared, x) == count
    assert details(shared) == []


def test_weights_that_the_loop_writes_stay_in_it() -> None:
    kernel = tf.Variable(FIRST)

    def run(x: Any) -> Any:
        kernel.assign(FIRST)
        total = 0.0
        for i in tf.range(9):
            total += tf.reduce_sum(tf.nn.conv2d(x[:, i : i + 8], kernel, 1, "VALID"))
            kernel.assign_add(FIRST)
        return total

    x = whole(2, 16, 6, 2)
    shared = tfreuse.dedupe(run, preset="fast", on_error="raise")
    np.testing.assert_array_equal(shared(x), tf.function(run)(x))
    assert times("Conv2D", shared, x) == 9
    assert any("the union cannot move" in detail for detail in details(shared)), details(shared)


def test_preset_exact_leaves_loops_alone() -> None:
    loop = conv1d()
    shared = tfreuse.dedupe(lambda x: loop.run(loop.model, x))
    shared(loop.x)
    assert "overlap" not in shared.report.to_json()
