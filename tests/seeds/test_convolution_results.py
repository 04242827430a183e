"""How can TensorFlow convolution results be reused efficiently?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.seeds import executed

X = executed.normal(1, 64, 64, 3)
Z = executed.normal(1, 64, 64, 3, seed=1)


def layer() -> tf.keras.layers.Layer:
    conv = tf.keras.layers.Conv2D(32, 3, padding="same", strides=1, bias_initializer="random_normal")
    conv.build((1, 64, 64, 3))
    return conv


def test_tf_layers_is_gone() -> None:
    with pytest.raises(AttributeError, match="no attribute 'layers'"):
        _ = tf.layers
    with pytest.raises(AttributeError, match="not available with Keras 3"):
        _ = tf.compat.v1.layers.conv2d


def cached_conv_layer(conv: Callable[[Any], Any], x: tf.Tensor, cached: Any = None) -> tuple[Any, Any]:
    output = conv(x) if cached is None else cached
    return output, output


def test_memoised_by_hand_leaves_nothing_to_do() -> None:
    conv = layer()

    def both(x: tf.Tensor) -> tf.Tensor:
        first, cached = cached_conv_layer(conv, x)
        second, _ = cached_conv_layer(conv, x, cached)
        return first * 2.0 + second * 3.0

    before, after, report = executed.compare(both, X)
    for counted in (before, after):
        assert (counted["ReadVariableOp"], counted["Conv2D"]) == (2, 1)
    assert report.merged == 0


def test_the_cache_by_hand_does_not_look_at_the_input() -> None:
    conv = layer()
    first, cached = cached_conv_layer(conv, tf.constant(X))
    second, _ = cached_conv_layer(conv, tf.constant(Z), cached)
    assert second is first


def test_memoised_without_a_cache() -> None:
    conv = layer()
    before, after, report = executed.compare(lambda x: conv(x) * 2.0 + conv(x) * 3.0, X)
    assert (before["ReadVariableOp"], before["Conv2D"]) == (4, 2)
    assert (after["ReadVariableOp"], after["Conv2D"]) == (2, 1)
    assert executed.reported(report, "ReadVariableOp") == (4, 2)
    assert executed.reported(report, "Conv2D") == (2, 1)
    (region,) = executed.regions(report, "Conv2D")
    assert (region["ops"]["Conv2D"], len(region["duplicates"])) == (1, 1)
    assert report.merged >= 3  # two reads and the convolution


def test_four_calls_are_one_region() -> None:
    conv = layer()
    given = X
    if tf.__version__.startswith("2.16."):  # it adds up the factors of what is shared: whole numbers round nothing
        conv.set_weights([np.round(8.0 * weight) for weight in conv.get_weights()])
        given = np.round(4.0 * X)
    _, after, report = executed.compare(lambda x: tf.add_n([conv(x) * (i + 1.0) for i in range(4)]), given)
    assert (after["ReadVariableOp"], after["Conv2D"]) == (2, 1)
    assert executed.reported(report, "ReadVariableOp") == (8, 2)
    assert executed.reported(report, "Conv2D") == (4, 1)
    (region,) = executed.regions(report, "Conv2D")
    assert len(region["duplicates"]) == 3


def gradients(fn: Callable[..., Any], conv: Any) -> tuple[list[Any], Any]:
    x = tf.constant(X)

    def run() -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_mean(fn(x) ** 2)
        return tape.gradient(loss, [x, *conv.trainable_variables])

    return executed.call(run)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (2.0, 3.0)], ids=["equal", "unequal"])
def test_memoised_without_a_cache_has_the_same_gradients(weights: tuple[float, float]) -> None:
    conv = layer()
    one, other = weights

    def both(x: tf.Tensor) -> tf.Tensor:
        return conv(x) * one + conv(x) * other

    plain, before = gradients(tf.function(both), conv)
    shared, after = gradients(tfreuse.dedupe(both), conv)
    assert (before["Conv2D"], after["Conv2D"]) == (2, 1)
    assert (before["Conv2DBackpropFilter"], after["Conv2DBackpropFilter"]) == (2, 1)
    if one == other:
        executed.assert_same(plain, shared)  # g + g and 2 * g round alike
    else:
        executed.assert_close(plain, shared)  # f(g) + f(h) became f(g + h)


def test_one_layer_on_two_inputs_shares_the_reads() -> None:
    conv = layer()
    before, after, report = executed.compare(lambda x, z: (conv(x), conv(z)), X, Z)
    assert (before["ReadVariableOp"], before["Conv2D"]) == (4, 2)
    assert (after["ReadVariableOp"], after["Conv2D"]) == (2, 2)
    assert executed.reported(report, "ReadVariableOp") == (4, 2)
    assert executed.reported(report, "Conv2D") == (2, 2)


def generate_conv_branch(x: tf.Tensor) -> tf.Tensor:
    return tf.keras.layers.Conv2D(32, 3, padding="same", strides=1)(x)


def test_two_generated_branches_are_not_the_same() -> None:
    x = tf.constant(X)
    assert not (generate_conv_branch(x).numpy() == generate_conv_branch(x).numpy()).any()
    with pytest.raises(ValueError, match=r"singleton tf\.Variables"):
        tf.function(lambda x: generate_conv_branch(x) + generate_conv_branch(x))(x)


@pytest.mark.parametrize("equal_values", [False, True])
def test_two_layers_stay_two(equal_values: bool) -> None:
    one, other = layer(), layer()
    if equal_values:
        other.set_weights(one.get_weights())
    before, after, report = executed.compare(lambda x: (one(x), other(x)), X)
    for counted in (before, after):
        assert (counted["ReadVariableOp"], counted["Conv2D"]) == (4, 2)
    assert executed.reported(report, "Conv2D") == (2, 2)
    assert not executed.regions(report, "Conv2D")
    remarks = executed.missed(report, "different-variables")
    assert remarks
    assert all(len(remark["nodes"]) >= 2 and remark["advice"] for remark in remarks)


def test_one_branch_applied_twice() -> None:
    conv = layer()

    def branch(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.max_pool2d(tf.nn.relu(conv(x)), 2, 2, "SAME")

    before, after, report = executed.compare(lambda x: branch(x) - 0.5 * branch(x), X)
    assert [before[op] for op in ("ReadVariableOp", "Conv2D", "MaxPool")] == [4, 2, 2]
    assert [after[op] for op in ("ReadVariableOp", "Conv2D", "MaxPool")] == [2, 1, 1]
    (region,) = executed.regions(report, "Conv2D")
    assert (region["ops"]["Relu"], region["ops"]["MaxPool"]) == (1, 1)
    assert not executed.missed(report, "different-variables")


@pytest.fixture
def unseeded() -> Iterator[None]:
    from tensorflow.python.eager import context

    seed = context.global_seed()
    tf.random.set_seed(None)
    yield
    tf.random.set_seed(seed)


@pytest.mark.usefixtures("unseeded")
def test_inputs_drawn_in_the_function_stay_two_draws() -> None:
    conv = layer()

    def drawn() -> tuple[Any, Any]:
        return conv(tf.random.normal([1, 64, 64, 3])), conv(tf.random.normal([1, 64, 64, 3]))

    shared = tfreuse.dedupe(drawn)
    (one, other), after = executed.call(shared)
    assert (after["RandomStandardNormal"], after["Conv2D"], after["ReadVariableOp"]) == (2, 2, 2)
    assert not (one.numpy() == other.numpy()).any()
    assert executed.missed(shared.report, "random-draw")
