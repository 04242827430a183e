"""How can TensorFlow's tf.nn.Conv2D be used for both training and inference?"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.seeds import executed

X = executed.normal(4, 28, 28, 1)
LABELS = executed.normal(4, 26, 26, 32, seed=1)


def test_the_op_in_the_title_does_not_exist() -> None:
    assert not hasattr(tf.nn, "Conv2D")
    assert callable(tf.nn.conv2d)


# Example 1: training under a tape


def layer(weights: list[Any] | None = None) -> tf.keras.layers.Layer:
    conv = tf.keras.layers.Conv2D(32, 3, activation="relu")
    conv.build((None, 28, 28, 1))
    if weights:
        conv.set_weights(weights)
    return conv


def twice(conv: Any, second: float) -> Callable[[Any], Any]:
    return lambda x: 0.5 * conv(x) + second * conv(x)


def train(conv: Any, forward: Callable[[Any], Any], wrap: Callable[[Any], Any], steps: int = 4) -> Any:
    """Losses of some steps, whose step function went through `wrap`, and the step itself."""
    optimizer = tf.keras.optimizers.Adam(0.01)
    optimizer.build(conv.trainable_variables)

    def step(x: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((forward(x) - labels) ** 2)
        gradients = tape.gradient(loss, conv.trainable_variables)
        optimizer.apply_gradients(zip(gradients, conv.trainable_variables, strict=True))
        return loss

    step = wrap(step)
    return [step(tf.constant(X), tf.constant(LABELS)).numpy() for _ in range(steps)]


def eager(fn: Callable[..., Any]) -> Callable[..., Any]:
    return fn


@pytest.mark.parametrize("second", [0.5, 0.25], ids=["equal", "unequal"])
@pytest.mark.parametrize("wrap", [eager, tf.function], ids=["eager step", "step in a function"])
def test_a_shared_forward_trains_alike(wrap: Any, second: float) -> None:
    plain, shared = layer(), layer()
    shared.set_weights(plain.get_weights())
    forward = tfreuse.dedupe(twice(shared, second))
    plain_losses = train(plain, tf.function(twice(plain, second)), wrap)
    shared_losses = train(shared, forward, wrap)
    assert executed.reported(forward.report, "Conv2D") == (2, 1)
    if second == 0.5:
        executed.assert_same(plain_losses, shared_losses)  # g + g and 2 * g round alike
        executed.assert_same(plain.get_weights(), shared.get_weights())
    else:
        executed.assert_close(shared_losses, plain_losses)  # f(g) + f(h) became f(g + h)
        executed.assert_close(shared.get_weights(), plain.get_weights(), 1e-4)


def test_a_shared_forward_has_half_the_gradients() -> None:
    conv = layer()

    def backward(forward: Callable[[Any], Any]) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((forward(X) - LABELS) ** 2)
        return tape.gradient(loss, conv.trainable_variables)

    _, before = executed.call(backward, tf.function(twice(conv, 0.25)))
    _, after = executed.call(backward, tfreuse.dedupe(twice(conv, 0.25)))
    assert (before["ReadVariableOp"], before["Conv2D"], before["Conv2DBackpropFilter"]) == (4, 2, 2)
    assert (after["ReadVariableOp"], after["Conv2D"], after["Conv2DBackpropFilter"]) == (2, 1, 1)


def test_a_shared_step_trains_bit_for_bit() -> None:
    plain, shared = layer(), layer()
    shared.set_weights(plain.get_weights())
    kept: list[Any] = []

    def wrap(step: Any) -> Any:
        kept.append(tfreuse.dedupe(step))
        return kept[0]

    plain_losses = train(plain, twice(plain, 0.25), tf.function)
    shared_losses = train(shared, twice(shared, 0.25), wrap)
    executed.assert_same(plain_losses, shared_losses)
    executed.assert_same(plain.get_weights(), shared.get_weights())
    assert executed.reported(kept[0].report, "Conv2D") == (2, 1)


def test_the_printed_forward_has_nothing_to_share() -> None:
    conv = layer()
    forward = tfreuse.dedupe(lambda x: conv(x))
    executed.assert_same(conv(X), forward(X))
    assert forward.report.merged == 0


def test_the_loss_before_and_after_an_update_reads_twice() -> None:
    conv = layer()
    start = conv.get_weights()

    def step(x: Any) -> tuple[Any, Any]:
        before = conv(x)
        for variable in conv.trainable_variables:
            variable.assign_sub(0.1 * tf.ones_like(variable))
        return before, conv(x)

    plain = tf.function(step)(X)
    conv.set_weights(start)
    shared_fn = tfreuse.dedupe(step)
    shared, after = executed.call(shared_fn, X)
    executed.assert_same(plain, shared)
    assert after["Conv2D"] == 2
    assert executed.missed(shared_fn.report, "write-between")


# Examples 2 and 3: inference from a SavedModel, and from what it is converted to


def test_load_model_refuses_a_saved_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="File format not supported"):
        tf.keras.models.load_model("my_trained_model")
    tf.saved_model.save(two_branches(), str(tmp_path / "model"))
    with pytest.raises(ValueError, match="TFSMLayer"):
        tf.keras.models.load_model(str(tmp_path / "model"))


def two_branches() -> tf.keras.Model:
    """The network of Example 3, with its convolution called by two branches."""
    x = tf.keras.Input((28, 28, 1))
    conv = tf.keras.layers.Conv2D(32, (3, 3), activation="relu", bias_initializer="random_normal")
    pooled = tf.keras.layers.MaxPooling2D((2, 2))(conv(x))
    averaged = tf.keras.layers.AveragePooling2D((2, 2))(conv(x))
    return tf.keras.Model(x, tf.keras.layers.concatenate([pooled, averaged]))


def served(path: Path) -> Callable[[Any], Any]:
    loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]

    def call(x: Any) -> Any:
        (output,) = signature(**{name: x}).values()
        return output

    call.loaded = loaded  # a signature does not keep its variables alive
    return call


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Any, Any]:
    folder = tmp_path_factory.mktemp("models")
    model = two_branches()
    tf.saved_model.save(model, str(folder / "plain"))
    report = tfreuse.optimize_saved_model(str(folder / "plain"), str(folder / "shared"))
    return folder / "plain", folder / "shared", report, model


def test_inference_from_an_optimised_saved_model(saved: Any) -> None:
    source, target, report, model = saved
    plain, before = executed.call(served(source), tf.constant(X))
    shared, after = executed.call(served(target), tf.constant(X))
    executed.assert_same(plain, shared)
    executed.assert_same(plain, tf.function(lambda x: model(x))(X))
    assert (before["Conv2D"], after["Conv2D"]) == (2, 1)
    entries = executed.functions(report, "Conv2D")
    assert entries
    for entry in entries:
        assert (entry["ops"]["before"]["Conv2D"], entry["ops"]["after"]["Conv2D"]) == (2, 1)
        assert (entry["ops"]["before"]["ReadVariableOp"], entry["ops"]["after"]["ReadVariableOp"]) == (4, 2)


def test_an_optimised_saved_model_as_a_layer(saved: Any) -> None:
    source, target, _, _ = saved
    plain = tf.keras.layers.TFSMLayer(str(source), call_endpoint="serving_default")
    shared = tf.keras.layers.TFSMLayer(str(target), call_endpoint="serving_default")
    executed.assert_same(plain(X), shared(X))


def test_saving_alone_shares_nothing(saved: Any) -> None:
    signature = tf.saved_model.load(str(saved[0])).signatures["serving_default"]
    library = signature.graph.as_graph_def().library.function
    assert max(executed.count(function.node_def)["Conv2D"] for function in library) == 2


@pytest.fixture
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter is deprecated")
        yield


def convert(path: Path, **options: Any) -> tf.lite.Interpreter:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(path), signature_keys=["serving_default"])
    return tf.lite.Interpreter(model_content=converter.convert(), **options)


def ops(interpreter: tf.lite.Interpreter) -> list[str]:
    return [op["op_name"] for op in interpreter._get_ops_details()]


def interpret(interpreter: tf.lite.Interpreter, x: np.ndarray) -> np.ndarray:
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(source["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(target["index"])


@pytest.mark.skipif(tf.__version__.startswith("2.16."), reason="the converter of TensorFlow 2.16 ends the process")
@pytest.mark.usefixtures("quiet")
def test_tflite_of_the_printed_save_reads_variables_that_are_not_there(saved: Any) -> None:
    kernels = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = convert(saved[0], experimental_op_resolver_type=kernels)
    assert {"VAR_HANDLE", "READ_VARIABLE"} <= set(ops(interpreter))
    with pytest.raises(RuntimeError, match="READ_VARIABLE"):  # the default kernels return arbitrary numbers
        interpret(interpreter, X)


@pytest.mark.usefixtures("quiet")
def test_conversion_to_tflite(tmp_path: Path) -> None:
    model = two_branches()
    model.export(str(tmp_path / "plain"))
    report = tfreuse.optimize_saved_model(str(tmp_path / "plain"), str(tmp_path / "shared"))
    assert executed.functions(report, "Conv2D")
    plain, shared = convert(tmp_path / "plain"), convert(tmp_path / "shared")
    for interpreter in (plain, shared):  # the converter freezes the weights, and merges what is equal then
        assert ops(interpreter).count("CONV_2D") == 1
        assert not {"VAR_HANDLE", "READ_VARIABLE"} & set(ops(interpreter))
    outputs = interpret(plain, X), interpret(shared, X)
    executed.assert_same(*outputs)
    executed.assert_close([outputs[1]], [model(X)])
