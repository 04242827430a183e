"""How can TensorFlow 2.0 layers be reused?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.seeds import executed

layers = tf.keras.layers
WRONG_WIDTH = RuntimeError if tf.keras.__version__.startswith("3.3.") else ValueError  # one around the other there


def gradients(fn: Callable[..., Any], x: Any, variables: list[Any]) -> list[Any]:
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(fn(x) ** 2)
    return tape.gradient(loss, [x, *variables])


def test_a_layer_has_no_weights_before_it_sees_an_input() -> None:
    dense = layers.Dense(64, activation="relu")
    assert not dense.weights
    dense(executed.normal(2, 8))
    assert len(dense.weights) == 2


# Example 1: twice in a Sequential model


class MyCustomLayer(layers.Layer):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.dense = layers.Dense(units, activation="relu")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.dense(inputs)


def stack(width: int, *head: Any) -> tf.keras.Model:
    my_layer = MyCustomLayer(64)
    dense = layers.Dense(width, activation="relu")
    return tf.keras.Sequential([*head, my_layer, dense, my_layer, layers.Dense(10, activation="softmax")])


def test_the_printed_stack_takes_no_input_but_128_wide() -> None:
    assert not stack(128).built
    assert not stack(128).variables
    with pytest.raises(WRONG_WIDTH, match="expected axis -1 of input shape to have value 64"):
        stack(128)(executed.normal(2, 64))
    assert stack(128)(executed.normal(2, 128)).shape == (2, 10)


def test_a_layer_twice_in_a_stack_shares_its_reads() -> None:
    model = stack(64, tf.keras.Input((64,)))
    assert len(model.layers) == 4
    assert model.layers[0] is model.layers[2]
    assert len(model.trainable_variables) == 6
    x = executed.normal(8, 64)
    before, after, report = executed.compare(lambda x: model(x), x)
    assert (before["ReadVariableOp"], before["MatMul"]) == (8, 4)
    assert (after["ReadVariableOp"], after["MatMul"]) == (6, 4)
    assert executed.reported(report, "ReadVariableOp") == (8, 6)
    assert executed.reported(report, "MatMul") == (4, 4)
    variables = model.trainable_variables
    plain = gradients(tf.function(lambda x: model(x)), x, variables)
    executed.assert_same(plain, gradients(tfreuse.dedupe(lambda x: model(x)), x, variables))


# Example 2: twice on one input of a functional model


def functional() -> tf.keras.Model:
    x = tf.keras.Input((784,))
    shared = layers.Dense(64, activation="relu")
    merged = layers.concatenate([shared(x), shared(x)])
    return tf.keras.Model(x, layers.Dense(10, activation="softmax")(merged))


def test_a_layer_twice_on_one_input_runs_once() -> None:
    model = functional()
    x = executed.normal(8, 784)
    before, after, report = executed.compare(lambda x: model(x), x)
    assert (before["ReadVariableOp"], before["MatMul"]) == (6, 3)
    assert (after["ReadVariableOp"], after["MatMul"]) == (4, 2)
    assert executed.reported(report, "ReadVariableOp") == (6, 4)
    assert executed.reported(report, "MatMul") == (3, 2)
    assert executed.reported(report, "Relu") == (2, 1)
    (region,) = executed.regions(report, "MatMul")
    assert (region["ops"]["MatMul"], len(region["duplicates"])) == (1, 1)


def test_a_layer_twice_on_one_input_has_the_same_gradients() -> None:
    model = functional()
    x = executed.normal(8, 784)
    variables = model.trainable_variables
    plain = gradients(tf.function(lambda x: model(x)), x, variables)
    shared = gradients(tfreuse.dedupe(lambda x: model(x)), x, variables)
    executed.assert_close(shared, plain)  # f(g) + f(h) became f(g + h)


# Example 3: one layer in two models


def two_models() -> tuple[Any, tf.keras.Model, tf.keras.Model]:
    conv = layers.Conv2D(32, (3, 3), activation="relu")
    models = [
        tf.keras.Sequential(
            [
                tf.keras.Input((28, 28, 1)),
                conv,
                layers.MaxPooling2D((2, 2)),
                layers.Flatten(),
                layers.Dense(units, activation="softmax"),
            ]
        )
        for units in (10, 100)
    ]
    return conv, *models


def test_the_printed_models_are_not_built() -> None:
    conv = layers.Conv2D(32, (3, 3), activation="relu")
    models = [tf.keras.Sequential([conv, layers.Flatten(), layers.Dense(units)]) for units in (10, 100)]
    assert not any(model.built or model.variables for model in models)
    assert [model(executed.normal(2, 28, 28, 1)).shape[-1] for model in models] == [10, 100]
    assert models[0].variables[0] is models[1].variables[0]
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 1"):
        models[1](executed.normal(2, 28, 28, 3))


def test_two_models_on_one_input_run_the_shared_layer_once() -> None:
    _, one, other = two_models()
    x = executed.normal(2, 28, 28, 1)
    before, after, report = executed.compare(lambda x: (one(x), other(x)), x)
    assert [before[op] for op in ("ReadVariableOp", "Conv2D", "MaxPool", "MatMul")] == [8, 2, 2, 2]
    assert [after[op] for op in ("ReadVariableOp", "Conv2D", "MaxPool", "MatMul")] == [6, 1, 1, 2]
    assert executed.reported(report, "Conv2D") == (2, 1)
    assert executed.reported(report, "MatMul") == (2, 2)
    (region,) = executed.regions(report, "Conv2D")
    assert region["ops"]["MaxPool"] == 1


def test_two_models_with_heads_of_one_size_say_why_the_heads_stay() -> None:
    conv = layers.Conv2D(32, (3, 3), activation="relu")
    heads = [layers.Dense(10), layers.Dense(10)]
    x = executed.normal(2, 28, 28, 1)
    _, after, report = executed.compare(lambda x: [head(layers.Flatten()(conv(x))) for head in heads], x)
    assert (after["Conv2D"], after["MatMul"]) == (1, 2)
    assert executed.missed(report, "different-variables")


def test_a_weight_written_between_two_models_is_read_twice() -> None:
    conv, one, other = two_models()
    start = conv.get_weights()
    x = executed.normal(2, 28, 28, 1)

    def step(x: tf.Tensor) -> tuple[Any, Any]:
        first = one(x)
        conv.kernel.assign(conv.kernel * 0.5)
        return first, other(x)

    plain, before = executed.call(tf.function(step), x)
    expected = conv.get_weights()
    conv.set_weights(start)
    shared_fn = tfreuse.dedupe(step)
    shared, after = executed.call(shared_fn, x)
    executed.assert_same(plain, shared)
    executed.assert_same(expected, conv.get_weights())
    assert (before["ReadVariableOp"], before["Conv2D"]) == (9, 2)
    assert (after["ReadVariableOp"], after["Conv2D"]) == (7, 2)  # the bias once; the kernel before and after
    assert executed.missed(shared_fn.report, "write-between")


def test_weights_of_one_layer_belong_to_both_models() -> None:
    conv, one, other = two_models()
    x = executed.normal(2, 28, 28, 1)
    before = other(x).numpy()
    one.get_layer(conv.name).kernel.assign(tf.zeros_like(conv.kernel))
    assert (other(x).numpy() != before).any()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, with NumPy 2
def test_saved_weights_do_not_keep_models_apart(tmp_path: Path) -> None:
    conv, one, other = two_models()
    one.save_weights(tmp_path / "one.weights.h5")
    saved = conv.kernel.numpy()
    other.get_layer(conv.name).kernel.assign(tf.zeros_like(conv.kernel))
    one.load_weights(tmp_path / "one.weights.h5")
    executed.assert_same(other.get_layer(conv.name).kernel.numpy(), saved)  # loaded into both
    copy = layers.Conv2D.from_config(conv.get_config())
    copy.build((None, 28, 28, 1))
    copy.set_weights(conv.get_weights())
    assert copy.kernel is not conv.kernel
