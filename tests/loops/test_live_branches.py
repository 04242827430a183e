"""`@dedupe`: what all branches of a traced `If` or `Case` compute runs in front, with the gradients of TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.loops.runs import assert_same_results, normal, times, values_and_gradients
from tests.seeds import executed
from tfreuse.runtime import tracing

IMAGE = tf.constant(normal(1, 6, 6, 3))


class Weights(tf.Module):
    """Variables, and programs with branches over them."""

    def __init__(self) -> None:
        self.kernel = tf.Variable(normal(3, 3, 3, 3, seed=1) * 0.3)
        self.other = tf.Variable(normal(3, 3, 3, 3, seed=2) * 0.3)
        self.scale = tf.Variable(0.5)

    def convolve(self, image: Any) -> Any:
        return tf.nn.conv2d(image, self.kernel, 1, "SAME")

    def chosen(self, image: Any, flag: Any) -> Any:
        """`relu` goes with the product, what follows it differs."""

        def common() -> Any:
            return tf.nn.relu(self.convolve(image) * self.scale)

        return tf.cond(flag, lambda: tf.sin(common()), lambda: tf.cos(common()) * self.scale)

    def and_the_caller(self, image: Any, flag: Any) -> Any:
        chosen = tf.cond(flag, lambda: self.convolve(image) + 1.0, lambda: tf.tanh(self.convolve(image)))
        return chosen * self.convolve(image)

    def nested(self, image: Any, flag: Any) -> Any:
        def inner(limit: float) -> Any:
            return tf.cond(
                tf.reduce_sum(image) > limit, lambda: tf.exp(self.convolve(image)), lambda: tf.sin(self.convolve(image))
            )

        return tf.cond(flag, lambda: inner(0.0), lambda: inner(1.0) * 2.0) + self.convolve(image)

    def in_a_loop(self, image: Any, flag: Any) -> Any:
        result = image
        for _ in tf.range(3):
            if flag:
                result = tf.tanh(result) * self.convolve(image)
            else:
                result = result + self.convolve(image)
        return result

    def one_after_the_other(self, image: Any, flag: Any) -> Any:
        """The second takes what the first gives, and both take one convolution."""
        first = tf.cond(flag, lambda: self.convolve(image) * 2.0, lambda: tf.sin(self.convolve(image)))
        return tf.cond(flag, lambda: first * self.convolve(image), lambda: tf.sin(first) + self.convolve(image))

    def three(self, image: Any, flag: Any) -> Any:
        branches = [lambda: tf.tanh(self.convolve(image)), lambda: self.convolve(image) * 2.0]
        index = tf.cast(flag, tf.int32) * 2
        return tf.switch_case(index, [*branches, lambda: self.convolve(image) * -3.0]) + self.convolve(image)

    def different(self, image: Any, flag: Any) -> Any:
        def other() -> Any:
            return tf.nn.conv2d(image, self.other, 1, "SAME")

        return tf.cond(flag, lambda: self.convolve(image), other)


RUNS = {
    "chosen": (1, 1, 1),
    "and_the_caller": (2, 1, 1),
    "nested": (2, 1, 3),
    "in_a_loop": (3, 1, 2),
    "one_after_the_other": (2, 1, 2),
    "three": (2, 1, 1),
    "different": (1, 1, 0),
}
"""How often a convolution runs, plain and shared, and how many moves are made."""


def hoist(function: Any, **options: Any) -> Any:
    return tfreuse.dedupe(function, on_error="raise", preset="hoist", **options)


def remarks(made: Any, name: str) -> int:
    return [remark["id"] for remark in made.report.to_dict()["remarks"]].count(name)


def missed(made: Any) -> list[str]:
    return [each["detail"] for function in made.report.to_dict()["functions"] for each in function["missed"]]


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("name", RUNS)
def test_runs_values_and_gradients(name: str, flag: bool) -> None:
    weights, args, counts, results = Weights(), (IMAGE, tf.constant(flag)), [], []
    for made in (tf.function(getattr(weights, name)), hoist(getattr(weights, name))):
        counts.append(times("Conv2D", made, *args))  # a trace beside no tape; `values_and_gradients` has two
        results.append(values_and_gradients(made, args, [IMAGE, weights.kernel, weights.scale]))
    assert (*counts, remarks(made, "hoisted")) == RUNS[name]
    assert_same_results(*results)
    assert not any("Python does not know" in detail for detail in missed(made))


def test_the_branches_have_the_work_no_more() -> None:
    weights, args = Weights(), (IMAGE, tf.constant(True))
    (plain, before), (shared, after) = (executed.call(make(weights.chosen), *args) for make in (tf.function, hoist))
    assert (before["Conv2D"], after["Conv2D"]) == (2, 1)
    assert_same_results([plain], [shared])


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("name", ["chosen", "nested", "in_a_loop", "three"])
def test_a_train_step(name: str, flag: bool) -> None:
    """The gradient is taken within the trace: branches give out what it needs, and change all the same."""
    losses = []
    for make in (tf.function, hoist):
        weights = Weights()
        optimizer = tf.keras.optimizers.SGD(1e-3)
        variables = [weights.kernel, weights.scale]

        def step(image: Any, chosen: Any, weights: Any = weights, optimizer: Any = optimizer) -> Any:
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(getattr(weights, name)(image, chosen) ** 2)
            variables = [weights.kernel, weights.scale]
            gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
            return loss

        made = make(step)
        losses.append([made(IMAGE, tf.constant(flag)) for _ in range(4)] + [v.read_value() for v in variables])
    assert_same_results(*losses)
    assert remarks(made, "hoisted") >= RUNS[name][2]
    assert not any("Python does not know" in detail for detail in missed(made))  # what gave way is not looked at again


@pytest.mark.parametrize("flag", [True, False])
def test_differentiated_within_the_trace_and_outside(flag: bool) -> None:
    """What the inner gradient made the branch give out goes through the outer one as well."""
    weights, results = Weights(), []

    def program(image: Any, chosen: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(image)
            value = weights.chosen(image, chosen)
        return tape.gradient(value, image) + value

    args = (IMAGE, tf.constant(flag))
    for made in (tf.function(program), hoist(program)):
        graph = made.get_concrete_function(*args).graph
        results.append(values_and_gradients(made, args, [IMAGE, weights.kernel, weights.scale]))
    assert_same_results(*results)
    (forward,) = [op for op in graph.get_operations() if hasattr(op, "_true_graph") and "held" in op.inputs[-1].name]
    assert len(forward.outputs) > 1
    (gone,) = [op for op in graph.get_operations() if op.type == forward.type and not hasattr(op, "_true_graph")]
    assert not any(tensor.consumers() for tensor in gone.outputs)
    assert [(t.dtype, t.shape) for t in gone.outputs] == [(t.dtype, t.shape) for t in forward.outputs]
    assert graph.is_fetchable(gone) == graph.is_fetchable(forward)


def test_a_body_is_optimised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A branch of which work moved becomes a function anew, while the body that it stands in is being edited."""
    seen: list[Any] = []
    rewire = tracing.rewire
    monkeypatch.setattr(tracing, "rewire", lambda live, *args: seen.append(live.graph) or rewire(live, *args))
    made = hoist(Weights().in_a_loop)
    made(IMAGE, tf.constant(True))
    assert remarks(made, "hoisted") == 2
    assert len(seen) == len(set(seen)) == 5  # two branches, body and condition of the loop, the function


def test_wrapped_for_nested_tapes() -> None:
    weights, args, results = Weights(), (IMAGE, tf.constant(True)), []
    for made in (tf.function(weights.chosen), hoist(weights.chosen)):
        results.append(values_and_gradients(made, args, [IMAGE, weights.kernel, weights.scale]))
    assert_same_results(*results)
    assert any("TensorFlow wrapped it" in detail for detail in missed(made))


def test_a_branch_that_stops_the_gradient() -> None:
    """Its gradient is zero whatever the kernel; in front of the branches it would be zero times infinity."""
    image, kernel = tf.ones([4, 4]), tf.fill([4, 4], float("inf"))

    def program(image: Any, flag: Any) -> Any:
        def stops() -> Any:
            return tf.stop_gradient(tf.matmul(image, kernel)) + tf.reduce_sum(image)

        return tf.cond(flag, lambda: tf.matmul(image, kernel) * 2.0, stops)

    made, results = hoist(program), []
    for function in (tf.function(program), made):
        with tf.GradientTape() as tape:
            tape.watch(image)
            value = function(image, tf.constant(False))
        results.append([value, tape.gradient(value, image)])
    assert_same_results(*results, exact=2)
    assert remarks(made, "hoisted") == 0
    assert any("zero in another" in detail for detail in missed(made))


def test_custom_gradients_hold_what_stood_in_the_branch() -> None:
    weights = Weights()

    def program(image: Any, flag: Any) -> Any:
        def doubled() -> Any:
            inner = weights.convolve(image)
            other = tf.custom_gradient(lambda value: (tf.sin(value), lambda upstream: 2.0 * upstream * inner))
            return other(inner)

        return tf.cond(flag, lambda: doubled() * 2.0, lambda: tf.tanh(doubled())) + weights.convolve(image)

    for flag in (tf.constant(True), tf.constant(False)):
        results = []
        for made in (tf.function(program), hoist(program)):
            made(IMAGE, flag)
            with tf.GradientTape() as tape:
                tape.watch(IMAGE)
                value = made(IMAGE, flag)
            results.append([value, *tape.gradient(value, [IMAGE, weights.kernel])])
        assert_same_results(*results)
        assert remarks(made, "hoisted") == 1


@pytest.mark.parametrize("flag", [True, False])
def test_saved_and_loaded(tmp_path: Path, flag: bool) -> None:
    weights, args = Weights(), (IMAGE, tf.constant(flag))
    signature = [tf.TensorSpec([1, 6, 6, 3]), tf.TensorSpec([], tf.bool)]
    weights.serve = hoist(weights.nested, input_signature=signature)
    weights.plain = tf.function(weights.nested, input_signature=signature)
    weights.serve(*args)
    tf.saved_model.save(weights, str(tmp_path / "model"))
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    assert (times("Conv2D", loaded.plain, *args), times("Conv2D", loaded.serve, *args)) == (2, 1)
    results = []
    for made in (loaded.plain, loaded.serve):
        with tf.GradientTape() as tape:
            tape.watch(IMAGE)
            value = made(*args)
        results.append([value, *tape.gradient(value, [IMAGE, loaded.kernel])])
    assert_same_results(*results)


@pytest.mark.parametrize("name", ["chosen", "three"])
def test_compiled(name: str) -> None:
    weights, args, results = Weights(), (IMAGE, tf.constant(True)), []
    for made in (
        tf.function(getattr(weights, name), jit_compile=True),
        hoist(getattr(weights, name), jit_compile=True),
    ):
        made(*args)
        with tf.GradientTape() as tape:
            tape.watch(IMAGE)
            value = made(*args)
        results.append([value, *tape.gradient(value, [IMAGE, weights.kernel])])
    assert_same_results(*results, exact=0)
    assert remarks(made, "hoisted") == RUNS[name][2]
