"""Calls in live graphs that give way to the bodies of their functions: what runs, what is differentiated, what stays.

All numbers are small integers, so that sums are exact in whatever order they are taken, and so are gradients.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.seeds import executed


def integers(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float32)


class Layer(tf.Module):
    """A convolution with a bias."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.kernel = tf.Variable(integers(3, 3, 2, 2, seed=seed))
        self.bias = tf.Variable(integers(2, seed=seed + 1))

    def __call__(self, x: Any) -> Any:
        return tf.nn.bias_add(tf.nn.conv2d(x, self.kernel, 1, "SAME"), self.bias)


X = integers(2, 6, 6, 2, seed=7)
STATIC, DYNAMIC = tf.TensorSpec([2, 6, 6, 2]), tf.TensorSpec([None, 6, 6, 2])


def check(program: Callable[[Any], Any], variables: list[Any], convolutions: int, spec: Any = STATIC) -> Any:
    """Values and gradients are those of the plain function, and so many convolutions run; gives the new function."""
    plain = tf.function(program, input_signature=[spec])
    shared = tfreuse.dedupe(program, input_signature=[spec], on_error="raise")
    values, gradients = [], []
    for function in (plain, shared):
        x = tf.constant(X)
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = tf.nest.flatten(function(x))
        values.append([output.numpy().tobytes() for output in outputs])
        gradients.append([None if g is None else g.numpy().tobytes() for g in tape.gradient(outputs, [x, *variables])])
    assert values[0] == values[1]
    assert gradients[0] == gradients[1]
    assert executed.call(shared, tf.constant(X))[1]["Conv2D"] == convolutions
    return shared


def two_functions(layer: Layer, more: Callable[[Any], Any] = tf.identity) -> Callable[[Any], Any]:
    """One layer on one input in two nested functions of which the second also does `more`."""
    first = tf.function(lambda x: tf.nn.relu(layer(x)), autograph=False)
    second = tf.function(lambda x: more(tf.reduce_sum(layer(x), [1, 2])), autograph=False)
    return lambda x: (first(x), second(x))


@pytest.mark.parametrize("spec", [STATIC, DYNAMIC], ids=["static", "dynamic"])
def test_one_layer_behind_two_functions_runs_once(spec: Any) -> None:
    layer = Layer()
    shared = check(two_functions(layer), [layer.kernel, layer.bias], 1, spec)
    (entry,) = shared.report.to_dict()["functions"]
    assert [remark["id"] for remark in shared.report.to_dict()["remarks"]].count("inlined") == 2
    assert entry["ops"]["after"].get("StatefulPartitionedCall", 0) == 0


def test_equal_towers_behind_two_functions_run_once() -> None:
    layers = [Layer(seed) for seed in (1, 2)]

    def tower(x: Any) -> Any:
        return layers[1](tf.nn.relu(layers[0](x)))

    @tf.function
    def mean_head(x: Any) -> Any:
        return tf.reduce_sum(tower(x), [1, 2])

    @tf.function
    def max_head(x: Any) -> Any:
        return tf.reduce_sum(tf.square(tower(x)), [1, 2])

    shared = check(lambda x: (mean_head(x), max_head(x)), [v for layer in layers for v in layer.variables], 2)
    regions = shared.report.to_dict()["functions"][0]["regions"]
    survivors = [name for region in regions for name in region["survivor"]]
    assert any(name.startswith("mean_head/") for name in survivors), survivors


def test_a_tower_called_by_two_functions_is_called_once() -> None:
    layer = Layer()
    tower = tf.function(lambda x: tf.nn.relu(layer(x)), autograph=False)
    first = tf.function(lambda x: tf.reduce_sum(tower(x), [1, 2]), autograph=False)
    second = tf.function(lambda x: tower(x) * 2.0, autograph=False)
    check(lambda x: (first(x), second(x)), layer.variables, 1)


def test_a_function_and_the_layer_beside_it() -> None:
    layer = Layer()
    nested = tf.function(lambda x: tf.nn.relu(layer(x)), autograph=False)
    check(lambda x: (nested(x), tf.reduce_sum(layer(x))), layer.variables, 1)


def test_second_order_gradients() -> None:
    layer = Layer()
    program = two_functions(layer, tf.square)
    found = []
    for function in (tf.function(program), tfreuse.dedupe(program, on_error="raise")):
        x = tf.constant(X)
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(function(x)[1])
            first = inner.gradient(loss, x)
        found.append([first.numpy().tobytes(), outer.gradient(first, x).numpy().tobytes()])
    assert found[0] == found[1]


def test_a_train_step_with_the_tape_inside() -> None:
    def make() -> tuple[Layer, Callable[[Any], Any]]:
        layer = Layer()
        program = two_functions(layer)

        def step(x: Any) -> Any:
            with tf.GradientTape() as tape:
                first, second = program(x)
                loss = tf.reduce_sum(first) + tf.reduce_sum(second)
            for variable, gradient in zip(layer.variables, tape.gradient(loss, layer.variables), strict=True):
                variable.assign_sub(gradient)
            return loss

        return layer, step

    states = []
    for decorate in (tf.function, lambda f: tfreuse.dedupe(f, on_error="raise")):
        layer, step = make()
        function = decorate(step)
        losses = [float(function(tf.constant(X))) for _ in range(3)]
        states.append((losses, [v.numpy().tobytes() for v in layer.variables]))
        forward = executed.call(function, tf.constant(X))[1]["Conv2D"]
    assert states[0] == states[1]
    assert forward == 1


def test_inside_a_loop_and_a_branch() -> None:
    layer = Layer()
    program = two_functions(layer)

    def both(x: Any) -> Any:
        first, second = program(x)
        return first + second[:, None, None, :]

    def looped(x: Any) -> Any:
        return tf.while_loop(lambda i, _: i < 2, lambda i, h: (i + 1, both(h)), (0, x), maximum_iterations=2)[1]

    def branched(x: Any) -> Any:
        return tf.cond(tf.reduce_sum(x) > -1e9, lambda: both(x), lambda: x)

    check(looped, layer.variables, 1)
    check(branched, layer.variables, 1)


def test_signatures_of_a_loaded_model_called_in_one_function() -> None:
    model = tf.Module()
    model.layer = Layer()
    model.embed = tf.function(lambda x: {"y": tf.nn.relu(model.layer(x))}, input_signature=[STATIC], autograph=False)
    model.detect = tf.function(
        lambda x: {"y": tf.reduce_sum(model.layer(x), [1, 2])}, input_signature=[STATIC], autograph=False
    )
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(model, folder, signatures={"embed": model.embed, "detect": model.detect})
        loaded = tf.saved_model.load(folder)
    embed, detect = loaded.signatures["embed"], loaded.signatures["detect"]
    check(lambda x: (embed(x=x)["y"], detect(x=x)["y"]), [loaded.layer.kernel, loaded.layer.bias], 1)


def custom(layer: Layer) -> Callable[[Any], Any]:
    @tf.custom_gradient
    def doubled(x: Any) -> Any:
        return x * 2.0, lambda upstream: upstream * 3.0

    return two_functions(layer, doubled)


def compiled(layer: Layer) -> Callable[[Any], Any]:
    first = tf.function(lambda x: tf.nn.relu(layer(x)), autograph=False)
    second = tf.function(lambda x: tf.reduce_sum(layer(x)), autograph=False, jit_compile=True)
    return lambda x: (first(x), second(x))


def not_inlined(layer: Layer) -> Callable[[Any], Any]:
    first = tf.function(lambda x: tf.nn.relu(layer(x)), autograph=False)
    second = tf.function(
        lambda x: tf.reduce_sum(layer(x)), autograph=False, experimental_attributes={"_noinline": True}
    )
    return lambda x: (first(x), second(x))


def drawing(layer: Layer) -> Callable[[Any], Any]:
    return two_functions(layer, lambda y: y + 0.0 * tf.random.uniform([], seed=1))


def looping(layer: Layer) -> Callable[[Any], Any]:
    return two_functions(layer, lambda y: tf.while_loop(lambda i, _: i < 2, lambda i, h: (i + 1, h * y), (0, y))[1])


def branching(layer: Layer) -> Callable[[Any], Any]:
    return two_functions(layer, lambda y: tf.cond(tf.reduce_sum(y) > 0.0, lambda: y * y, lambda: y))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (custom, "custom gradient"),
        (compiled, "_XlaMustCompile"),
        (not_inlined, "_noinline"),
        (drawing, "run once more"),
        (looping, "a loop or a branch"),
        (branching, "a loop or a branch"),
    ],
)
def test_what_must_stay_a_call_does(make: Callable[[Layer], Callable[[Any], Any]], reason: str) -> None:
    layer = Layer()
    program = make(layer)
    shared = tfreuse.dedupe(program, on_error="raise")
    for mine, theirs in zip(shared(tf.constant(X)), tf.function(program)(tf.constant(X)), strict=True):
        assert np.array_equal(mine, theirs)
    missed = shared.report.to_dict()["functions"][-1]["missed"]
    assert any(miss["id"] == "not-inlined" and reason in miss["detail"] for miss in missed), missed
    assert "inlined" not in [remark["id"] for remark in shared.report.to_dict()["remarks"]]


def test_reads_in_calls_stay_between_the_writes() -> None:
    layer = Layer()
    program = two_functions(layer)

    def steps(x: Any) -> Any:
        before = program(x)
        layer.bias.assign_add([1.0, 2.0])
        after = program(x)
        layer.bias.assign_sub([1.0, 2.0])
        return before, after

    shared = check(steps, [layer.kernel, layer.bias], 2)
    assert np.array_equal(layer.bias, integers(2, seed=1))
    (before, _), (after, _) = shared(tf.constant(X))
    assert not np.array_equal(before, after)


def test_a_call_that_writes_is_never_run_twice_by_a_gradient() -> None:
    """The gradient of a branch asks for the tensors that it captured, outputs of calls among them."""
    layer, count = Layer(), tf.Variable(0.0)

    @tf.function
    def counting(x: Any) -> Any:
        count.assign_add(1.0)
        return tf.nn.relu(layer(x))

    other = tf.function(lambda x: tf.reduce_sum(layer(x)), autograph=False)

    def program(x: Any) -> Any:
        y = counting(x)
        return tf.cond(tf.reduce_sum(x) > -1e9, lambda: tf.square(y), lambda: y) + other(x)

    found = []
    for function in (tf.function(program), tfreuse.dedupe(program, on_error="raise")):
        count.assign(0.0)
        x = tf.constant(X)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(function(x))
        found.append((tape.gradient(loss, x).numpy().tobytes(), float(count)))
    assert found[0] == found[1]
    assert found[0][1] == 1.0


def test_where_nothing_is_equal_the_graph_stays_as_it_is() -> None:
    layers = [Layer(1), Layer(2)]
    calls = [tf.function(layer.__call__, autograph=False) for layer in layers]

    def program(x: Any) -> Any:
        return calls[0](x), calls[1](x)

    plain, shared = tf.function(program), tfreuse.dedupe(program, on_error="raise")
    ops = [[op.type for op in f.get_concrete_function(STATIC).graph.get_operations()] for f in (plain, shared)]
    assert ops[0] == ops[1]
