"""Shared windows through every door: values, gradients, what runs, training, models on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.cli.command import Command
from tests.overlap.programs import PROGRAMS, Program, clips, crops, signal, whole
from tests.seeds import executed


def same(one: Any, other: Any) -> None:
    for mine, theirs in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def gradients(function: Callable[..., Any], program: Program) -> list[Any]:
    with tf.GradientTape() as tape:
        tape.watch(program.x)
        loss = tf.add_n([tf.reduce_sum(y) for y in tf.nest.flatten(function(program.x))])
    return list(tape.gradient(loss, [program.x, *program.weights]))


@pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)
def test_a_decorated_function(make: Callable[[], Program]) -> None:
    program = make()
    plain, shared = tf.function(program.run), tfreuse.dedupe(program.run, preset="fast", on_error="raise")
    same(plain(program.x), shared(program.x))
    assert shared.report.to_dict()["functions"][-1]["families"], shared.report
    # Whole numbers: the gradients are exact as well, however they are summed.
    same(gradients(plain, program), gradients(shared, program))


@pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)
def test_what_runs(make: Callable[[], Program]) -> None:
    program = make()
    functions = tf.function(program.run), tfreuse.dedupe(program.run, preset="fast")
    for function, count in zip(functions, (program.plain, program.shared), strict=True):
        _, ops = executed.call(function, program.x)
        assert ops[program.op] == count, ops


def test_preset_exact_leaves_windows_alone() -> None:
    program = clips()
    shared = tfreuse.dedupe(program.run)
    shared(program.x)
    assert "overlap" not in str(shared.report.to_json())


def test_the_remark_counts_the_windows() -> None:
    program = clips()
    shared = tfreuse.dedupe(program.run, preset="fast")
    shared(program.x)
    (passed,) = [r for r in shared.report.to_dict()["remarks"] if r["id"] == "overlap-shared"]
    assert passed["detail"] == "9 windows of x, each element computed 4.5 times before"


def test_a_train_step_on_clips() -> None:
    def trained(decorate: Callable[..., Any]) -> list[Any]:
        program = clips()
        forward = decorate(program.run)
        optimizer = tf.keras.optimizers.SGD(2.0**-20)
        optimizer.build(program.weights)

        @tf.function
        def step(x: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = tf.add_n([tf.reduce_mean(tf.square(y)) for y in forward(x)])
            optimizer.apply_gradients(zip(tape.gradient(loss, program.weights), program.weights, strict=True))
            return loss

        losses = [float(step(program.x)) for _ in range(3)]
        return [losses, *[weight.numpy() for weight in program.weights]]

    plain = trained(tf.function)
    shared = trained(lambda run: tfreuse.dedupe(run, preset="fast", on_error="raise"))
    assert plain[0][0] > plain[0][-1]
    for mine, theirs in zip(plain, shared, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_a_whole_train_step_decorated() -> None:
    """The gradient is in the graph by then, and holds the windows' values: these are cut out for it."""
    program = clips()

    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.add_n([tf.reduce_sum(y) for y in program.run(x)])
        return [loss, *tape.gradient(loss, program.weights)]

    shared = tfreuse.dedupe(step, preset="fast", on_error="raise")
    same(tf.function(step)(program.x), shared(program.x))
    assert shared.report.to_dict()["functions"][-1]["families"]


def test_second_derivatives_and_compiled_code() -> None:
    program = clips()

    def second(function: Callable[..., Any]) -> Any:
        with tf.GradientTape() as outer:
            outer.watch(program.x)
            with tf.GradientTape() as inner:
                inner.watch(program.x)
                loss = tf.add_n([tf.reduce_sum(y * y) for y in function(program.x)])
            first = inner.gradient(loss, program.x)
            total = tf.reduce_sum(first * whole(*program.x.shape, seed=9))
        return outer.gradient(total, program.x)

    plain = tf.function(program.run)
    same(second(plain), second(tfreuse.dedupe(program.run, preset="fast")))
    compiled = tfreuse.dedupe(program.run, preset="fast", jit_compile=True)
    same(plain(program.x), compiled(program.x))


def test_windows_in_a_branch_and_in_a_called_function() -> None:
    program = clips()
    inner = tf.function(program.run)

    def run(x: Any) -> Any:
        return tf.cond(tf.reduce_sum(x) > -1e9, lambda: program.run(x), lambda: inner(x))

    shared = tfreuse.dedupe(run, preset="fast", on_error="raise")
    same(tf.function(run)(program.x), shared(program.x))
    with tf.GradientTape() as tape:
        tape.watch(program.x)
        loss = tf.add_n([tf.reduce_sum(y) for y in shared(program.x)])
    assert tape.gradient(loss, program.x) is not None


class Saved(tf.Module):
    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program_weights = program.weights
        self.serve = tf.function(program.run, input_signature=[tf.TensorSpec(program.x.shape, tf.float32, name="x")])


@pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)
def test_a_saved_model(make: Callable[[], Program], tmp_path: Path) -> None:
    program = make()
    model = Saved(program)
    tf.saved_model.save(model, str(tmp_path / "plain"))
    report = tfreuse.optimize_saved_model(tmp_path / "plain", tmp_path / "fast", preset="fast", verify=2)
    assert [family for function in report.to_dict()["functions"] for family in function["families"]]
    assert not report.failures
    loaded = tf.saved_model.load(str(tmp_path / "fast"))
    same(model.serve(program.x), loaded.serve(program.x))
    again = tfreuse.optimize_saved_model(tmp_path / "fast", tmp_path / "twice", preset="fast")
    assert (tmp_path / "fast" / "saved_model.pb").read_bytes() == (tmp_path / "twice" / "saved_model.pb").read_bytes()
    assert not [family for function in again.to_dict()["functions"] for family in function["families"]]


def test_gradients_of_a_model_on_disk(tmp_path: Path) -> None:
    program = signal()
    model = Saved(program)
    tf.saved_model.save(model, str(tmp_path / "plain"))
    tfreuse.optimize_saved_model(tmp_path / "plain", tmp_path / "fast", preset="fast")
    found = []
    for name in ("plain", "fast"):
        loaded = tf.saved_model.load(str(tmp_path / name))
        with tf.GradientTape() as tape:
            loss = tf.add_n([tf.reduce_sum(y) for y in loaded.serve(program.x)])
        found.append(tape.gradient(loss, list(loaded.program_weights)))
    same(*found)


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    model = Saved(crops())
    tf.saved_model.save(model, str(tmp_path / "plain"))
    command = Command(monkeypatch, capfd, tmp_path)
    done = command("optimize", tmp_path / "plain", tmp_path / "fast", "--preset", "fast", "--verify", "2")
    assert done.code == 0, done
    assert "9 windows of x along axis 1 (0 to 23 of 25) and axis 2 (1 to 19 of 24)" in " ".join(done.out.split())
    assert "ulp apart" in done.out or "outputs equal" in done.out
    loaded = tf.saved_model.load(str(tmp_path / "fast"))
    same(model.serve(whole(2, 25, 24, 2)), loaded.serve(whole(2, 25, 24, 2)))


def test_a_concrete_function() -> None:
    program = clips()
    plain = tf.function(program.run).get_concrete_function(program.x)
    shared, report = tfreuse.optimize(plain, preset="fast", verify=2)
    assert report.to_dict()["functions"][-1]["families"]
    same(plain(program.x), shared(program.x))


def test_a_graph(tmp_path: Path) -> None:
    weights = [weight.numpy() for weight in clips().weights]
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [16, 8, 8, 2], "x")
        for start in range(9):
            y = tf.nn.relu(tf.nn.conv2d(x[start : start + 8], weights[0], 1, "SAME"))
            tf.nn.conv2d(y, weights[1], 1, "SAME", name=f"y{start}")
    names = [f"y{start}" for start in range(9)]
    changed, report = tfreuse.optimize_graph_def(graph.as_graph_def(), outputs=names, preset="fast", verify=2)
    assert sum(node.op == "Conv2D" for node in changed.node) == 2, report


def test_resnet_is_left_as_it_is() -> None:
    model = tf.keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=10)
    concrete = tf.function(lambda x: model(x, training=False)).get_concrete_function(tf.TensorSpec([None, 64, 64, 3]))
    graph_def = concrete.graph.as_graph_def()
    outputs = [tensor.op.name for tensor in concrete.outputs]
    inputs = [tensor.op.name for tensor in concrete.inputs]
    exact, _ = tfreuse.optimize_graph_def(graph_def, outputs=outputs, inputs=inputs)
    fast, report = tfreuse.optimize_graph_def(graph_def, outputs=outputs, inputs=inputs, preset="fast")
    assert fast.SerializeToString(deterministic=True) == exact.SerializeToString(deterministic=True)
    assert "overlap" not in report.to_json().replace("share-overlap", "")
