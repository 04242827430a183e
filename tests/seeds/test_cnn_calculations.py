"""How does TensorFlow perform CNN calculations?"""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.seeds import executed

X = executed.normal(4, 28, 28, 1)
Z = executed.normal(4, 28, 28, 1, seed=1)


# Example 1: a convolutional network


def network() -> tf.keras.Model:
    return tf.keras.Sequential(
        [
            tf.keras.Input((28, 28, 1)),
            tf.keras.layers.Conv2D(32, (3, 3), activation="relu"),
            tf.keras.layers.MaxPooling2D((2, 2)),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(10, activation="softmax"),
        ]
    )


def test_input_shape_is_discouraged() -> None:
    with pytest.warns(UserWarning, match="input_shape"):
        tf.keras.layers.Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1))


def test_the_network_called_once_has_nothing_to_share() -> None:
    model = network()
    before, after, report = executed.compare(lambda x: model(x), X)
    for counted in (before, after):
        assert [counted[op] for op in ("ReadVariableOp", "Conv2D", "MatMul")] == [4, 1, 1]
    assert executed.reported(report, "Conv2D") == (1, 1)
    assert not executed.regions(report, "Conv2D")


def test_the_network_called_twice_runs_once() -> None:
    model = network()
    before, after, report = executed.compare(lambda x: model(x) * 2.0 - model(x) ** 2, X)
    assert [before[op] for op in ("ReadVariableOp", "Conv2D", "MatMul")] == [8, 2, 2]
    assert [after[op] for op in ("ReadVariableOp", "Conv2D", "MatMul")] == [4, 1, 1]
    for op in ("Conv2D", "MaxPool", "MatMul", "Softmax"):
        assert executed.reported(report, op) == (2, 1)
    assert executed.reported(report, "ReadVariableOp") == (8, 4)
    (region,) = executed.regions(report, "Conv2D")
    assert region["ops"]["MatMul"] == 1  # one region, from the first layer to the last


def test_a_merge_may_keep_grappler_from_a_rewrite() -> None:
    model = network()

    def both(x: tf.Tensor) -> tf.Tensor:
        return model(x) + tf.math.log(model(x))

    plain, before = executed.call(tf.function(both), X)
    shared, after = executed.call(tfreuse.dedupe(both), X)
    ops = ("Softmax", "Log", "LogSoftmax")
    assert [before[op] for op in ops] == [1, 0, 1]  # Log(Softmax(x)) was rewritten
    assert [after[op] for op in ops] == [1, 1, 0]  # Softmax has two readers now
    executed.assert_close([shared], [plain], 1e-6)
    options = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        executed.assert_same(tf.function(both)(X), tfreuse.dedupe(both)(X))
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False, **options})


def test_the_network_on_two_batches_shares_the_reads() -> None:
    model = network()
    before, after, _ = executed.compare(lambda x, z: (model(x), model(z)), X, Z)
    assert [before[op] for op in ("ReadVariableOp", "Conv2D", "MatMul")] == [8, 2, 2]
    assert [after[op] for op in ("ReadVariableOp", "Conv2D", "MatMul")] == [4, 2, 2]


def test_a_compiled_network_fits_alike() -> None:
    labels = [0, 1, 2, 3]
    models = [network(), network()]
    models[1].set_weights(models[0].get_weights())
    losses = []
    for model, share in zip(models, (tf.function, tfreuse.dedupe), strict=True):
        model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        model.call = share(model.call)
        losses.append(model.fit(X, tf.constant(labels), epochs=3, shuffle=False, verbose=0).history["loss"])
    assert losses[0] == losses[1]
    executed.assert_same(*(model.get_weights() for model in models))


# Example 2: the op by itself


def my_conv2d(x: tf.Tensor, kernel: Any) -> tf.Tensor:
    return tf.nn.conv2d(x, kernel, strides=[1, 1, 1, 1], padding="SAME")


def test_the_layer_runs_the_same_op() -> None:
    conv = tf.keras.layers.Conv2D(32, 3, padding="same", use_bias=False)
    conv.build(X.shape)
    layer, by_layer = executed.call(tf.function(lambda x: conv(x)), X)
    op, by_op = executed.call(tf.function(lambda x: my_conv2d(x, conv.kernel.value)), X)
    executed.assert_same(layer, op)
    assert by_layer == by_op
    assert by_op["Conv2D"] == 1


def test_one_kernel_tensor_was_shared_before() -> None:
    kernel = tf.constant(executed.normal(3, 3, 1, 32))
    before, after, report = executed.compare(lambda x, k: my_conv2d(x, k) + my_conv2d(x, k) * 3.0, X, kernel)
    assert (before["Conv2D"], after["Conv2D"]) == (1, 1)  # without reads, Grappler merges it too
    assert executed.reported(report, "Conv2D") == (2, 1)


def test_one_kernel_variable() -> None:
    kernel = tf.Variable(executed.normal(3, 3, 1, 32))
    before, after, report = executed.compare(lambda x: my_conv2d(x, kernel) + my_conv2d(x, kernel) * 3.0, X)
    assert (before["ReadVariableOp"], before["Conv2D"]) == (2, 2)
    assert (after["ReadVariableOp"], after["Conv2D"]) == (1, 1)
    assert executed.reported(report, "Conv2D") == (2, 1)


# Example 3: tf.function


@tf.function
def my_conv_op(x: tf.Tensor, kernel: Any) -> tf.Tensor:
    return tf.nn.conv2d(x, kernel, strides=[1, 1, 1, 1], padding="SAME")


def test_two_calls_of_one_function_are_one() -> None:
    kernel = tf.Variable(executed.normal(3, 3, 1, 32))
    before, after, report = executed.compare(lambda x: my_conv_op(x, kernel) + my_conv_op(x, kernel) * 3.0, X)
    assert (before["ReadVariableOp"], before["Conv2D"]) == (2, 2)
    assert (after["ReadVariableOp"], after["Conv2D"]) == (1, 1)
    assert report.merged >= 1


def test_dedupe_takes_the_place_of_tf_function() -> None:
    @tfreuse.dedupe
    def shared(x: tf.Tensor, kernel: Any) -> tf.Tensor:
        return tf.nn.conv2d(x, kernel, strides=[1, 1, 1, 1], padding="SAME")

    kernel = tf.Variable(executed.normal(3, 3, 1, 32))
    assert isinstance(shared, type(my_conv_op))
    executed.assert_same(my_conv_op(X, kernel), shared(X, kernel))
    assert shared.report.merged == 0
    assert len(shared.reports) == 1


def test_tf_function_does_not_unroll_loops() -> None:
    @tf.function
    def repeated(x: tf.Tensor) -> tf.Tensor:
        for _ in tf.range(3):
            x = x * 0.5
        return x

    ops = executed.count(repeated.get_concrete_function(tf.TensorSpec([4])).graph.as_graph_def().node)
    assert (ops["StatelessWhile"] + ops["While"], ops["Mul"]) == (1, 0)
