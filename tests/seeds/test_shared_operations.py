"""How can TensorFlow operations be shared within a graph?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.seeds import executed

v1 = tf.compat.v1


def imported(graph_def: Any) -> tf.Graph:
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(graph_def, name="")
    return graph


def run(graph_def: Any, fetches: list[str], feed: dict[str, Any], init: str | None = None) -> tuple[Any, Any]:
    with v1.Session(graph=imported(graph_def)) as session:
        if init:
            session.run(init)
        return executed.session_run(session, fetches, feed)


def test_version_1_names_are_gone() -> None:
    for name in ("placeholder", "variable_scope", "get_variable", "Session"):
        assert not hasattr(tf, name)


# Example 1: a normalisation factor


def test_a_constant_is_no_variable_to_get() -> None:
    with tf.Graph().as_default():
        with v1.variable_scope("normalizer"):
            tf.constant(0.5, name="norm_const")
        with v1.variable_scope("normalizer", reuse=True), pytest.raises(ValueError, match="does not exist"):
            v1.get_variable("norm_const", shape=[], dtype=tf.float32)


def test_a_variable_of_the_same_name_is_an_error_and_not_a_suffix() -> None:
    with tf.Graph().as_default():
        assert v1.get_variable("w", []).name == "w:0"
        with pytest.raises(ValueError, match="already exists"):
            v1.get_variable("w", [])


def test_equal_constants_of_a_graph_become_one() -> None:
    with tf.Graph().as_default() as graph:
        for i in (1, 2):
            x = v1.placeholder(tf.float32, (None, 10), name=f"input_{i}")
            with v1.variable_scope("normalizer"):
                factor = tf.constant(0.5, tf.float32, name="norm_const")
                tf.multiply(x, factor, name="normalized_tensor")
    outputs = ["normalizer/normalized_tensor:0", "normalizer_1/normalized_tensor:0"]
    inputs = ["input_1:0", "input_2:0"]
    graph_def = graph.as_graph_def()
    shared, report = tfreuse.optimize_graph_def(graph_def, outputs=outputs, inputs=inputs)
    before, after = executed.count(graph_def.node), executed.count(shared.node)
    assert (before["Const"], before["Mul"]) == (2, 2)
    assert (after["Const"], after["Mul"]) == (1, 2)
    assert executed.reported(report, "Const") == (2, 1)
    feed = dict(zip(inputs, (executed.normal(5, 10), executed.normal(5, 10, seed=1)), strict=True))
    executed.assert_same(run(graph_def, outputs, feed)[0], run(shared, outputs, feed)[0])


def test_equal_constants_of_a_function_become_one() -> None:
    def normalise(x: tf.Tensor) -> tf.Tensor:
        return x * tf.constant(0.5)

    def both(x: tf.Tensor, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return normalise(x), normalise(z)

    args = tf.constant(executed.normal(5, 10)), tf.constant(executed.normal(5, 10, seed=1))
    shared = tfreuse.dedupe(both)
    executed.assert_same(tf.function(both)(*args), shared(*args))
    assert executed.reported(shared.report, "Const") == (2, 1)
    assert executed.reported(shared.report, "Mul") == (2, 2)


def test_the_factor_kept_as_one_tensor_leaves_nothing_to_do() -> None:
    def both(x: tf.Tensor, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        factor = tf.constant(0.5)
        return x * factor, z * factor

    shared = tfreuse.dedupe(both)
    shared(tf.constant(executed.normal(5, 10)), tf.constant(executed.normal(5, 10, seed=1)))
    assert executed.reported(shared.report, "Const") == (1, 1)
    assert shared.report.merged == 0


# Example 2: weights of two networks


def fully_connected(x: Any, units: int, scope: str, *, reuse: bool = False) -> Any:
    with v1.variable_scope(scope, reuse=reuse):
        normal = v1.random_normal_initializer(seed=3)
        weights = v1.get_variable("weights", [x.shape[1], units], initializer=normal)
        bias = v1.get_variable("bias", [units], initializer=normal)
        return tf.matmul(x, weights) + bias


def two_networks(use_resource: bool, same_input: bool) -> tuple[Any, list[str], list[str], str]:
    with tf.Graph().as_default() as graph, v1.variable_scope("", use_resource=use_resource):
        a = v1.placeholder(tf.float32, (None, 784), name="input_a")
        b = a if same_input else v1.placeholder(tf.float32, (None, 784), name="input_b")
        out_a = fully_connected(fully_connected(a, 128, "fc1"), 10, "fc2")
        out_b = fully_connected(fully_connected(b, 128, "fc1", reuse=True), 10, "fc3")
        init = v1.global_variables_initializer()
        assert len(v1.global_variables()) == 6
    inputs = ["input_a:0"] if same_input else ["input_a:0", "input_b:0"]
    return graph.as_graph_def(), inputs, [out_a.name, out_b.name], init.name


@pytest.mark.parametrize(
    ("use_resource", "same_input", "reads", "matmuls"),
    [
        (True, False, (8, 6), (4, 4)),
        (True, True, (8, 6), (4, 3)),
        (False, False, (0, 0), (4, 4)),
        (False, True, (0, 0), (3, 3)),  # one `read` for each ref variable, so that Grappler merges by itself
    ],
    ids=["two inputs", "one input", "two inputs, ref variables", "one input, ref variables"],
)
def test_weights_of_two_networks(use_resource: bool, same_input: bool, reads: Any, matmuls: Any) -> None:
    graph_def, inputs, outputs, init = two_networks(use_resource, same_input)
    shared, report = tfreuse.optimize_graph_def(graph_def, outputs=[*outputs, init], inputs=inputs)
    feed = {name: executed.normal(5, 784, seed=i) for i, name in enumerate(inputs)}
    plain, before = run(graph_def, outputs, feed, init)
    result, after = run(shared, outputs, feed, init)
    executed.assert_same(plain, result)
    assert (before["ReadVariableOp"], after["ReadVariableOp"]) == reads
    assert (before["MatMul"], after["MatMul"]) == matmuls
    if use_resource:
        assert executed.reported(report, "MatMul") == matmuls
    if use_resource and same_input:  # the heads fc2 and fc3 now see one tensor, with weights of their own
        assert executed.missed(report, "different-variables")


def test_reads_and_writes_of_a_ref_variable_stay() -> None:
    with tf.Graph().as_default() as graph:
        w = v1.get_variable("w", [], use_resource=False, initializer=v1.zeros_initializer())
        first = w.read_value()
        with tf.control_dependencies([first]):
            bumps = [v1.assign_add(w, 1.0), v1.assign_add(w, 1.0)]
        with tf.control_dependencies(bumps):
            reads = [w.read_value(), w.read_value()]
        total = tf.add_n(reads)
        init = v1.global_variables_initializer()
    graph_def = graph.as_graph_def()
    shared, report = tfreuse.optimize_graph_def(graph_def, outputs=[total.name, init.name])
    for counted in (executed.count(graph_def.node), executed.count(shared.node)):
        assert counted["AssignAdd"] == 2
    reading = [node.name for node in shared.node if node.op == "Identity" and node.input[0] == "w"]
    assert {first.op.name, *(read.op.name for read in reads)} <= set(reading)
    for graph in (graph_def, shared):
        executed.assert_same(run(graph, [total.name], {}, init.name)[0], [np.float32(4)])
    assert executed.reported(report, "AssignAdd") == (2, 2)


# Example 3: a subgraph that extracts features


def feature_extraction(x: Any, *, reuse: bool = False) -> Any:
    with v1.variable_scope("feature_extractor", reuse=reuse, use_resource=True):
        shape = [3, 3, x.shape[3], 32]
        weights = v1.get_variable("conv_weights", shape, initializer=v1.random_normal_initializer(seed=5))
        bias = v1.get_variable("conv_bias", [32], initializer=v1.random_normal_initializer(seed=6))
        conv = tf.nn.conv2d(x, weights, strides=[1, 1, 1, 1], padding="SAME")
        return tf.nn.relu(tf.nn.bias_add(conv, bias))


def save(path: Path, same_input: bool) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        ones = v1.placeholder(tf.float32, (None, 64, 64, 3), name="input_1_data")
        twos = ones if same_input else v1.placeholder(tf.float32, (None, 64, 64, 3), name="input_2_data")
        features = [feature_extraction(ones), feature_extraction(twos, reuse=True)]
        session.run(v1.global_variables_initializer())
        signature = v1.saved_model.predict_signature_def(
            {"one": ones} if same_input else {"one": ones, "two": twos},
            {"features_1": features[0], "features_2": features[1]},
        )
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()


def serve(path: Path, data: dict[str, Any]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    """The outputs from a version 1 session and its ops, and the outputs from `tf.saved_model.load`."""
    with tf.Graph().as_default(), v1.Session() as session:
        signature = v1.saved_model.load(session, ["serve"], str(path)).signature_def["serving_default"]
        fetches = {key: info.name for key, info in signature.outputs.items()}
        feed = {signature.inputs[key].name: value for key, value in data.items()}
        result, counted = executed.session_run(session, fetches, feed)
    loaded = tf.saved_model.load(str(path)).signatures["serving_default"]
    again = loaded(**{key: tf.constant(value) for key, value in data.items()})
    return result, counted, {key: value.numpy() for key, value in again.items()}


@pytest.mark.parametrize("same_input", [False, True])
def test_feature_extraction_in_a_saved_model(tmp_path: Path, same_input: bool) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    save(source, same_input)
    data = {"one": executed.normal(1, 64, 64, 3)}
    if not same_input:
        data["two"] = executed.normal(1, 64, 64, 3, seed=1)
    report = tfreuse.optimize_saved_model(str(source), str(target))
    plain, before, plain_again = serve(source, data)
    shared, after, shared_again = serve(target, data)
    executed.assert_same(plain, shared)
    executed.assert_same(plain_again, shared_again)
    assert (before["ReadVariableOp"], before["Conv2D"]) == (4, 2)
    assert (after["ReadVariableOp"], after["Conv2D"]) == (2, 1 if same_input else 2)
    assert executed.reported(report, "Conv2D") == (2, 1 if same_input else 2)
