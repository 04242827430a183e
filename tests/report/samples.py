"""Reports of every kind, each made once: functions, concrete functions, graphs, SavedModels, failures."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import tensorflow as tf

import tfreuse
from tfreuse.passes.cse import Cse
from tfreuse.runtime.live import LiveGraph

SAMPLES: dict[str, Callable[[], tfreuse.Report]] = {}
_FOLDER = tempfile.TemporaryDirectory(prefix="reports-")


def sample(make: Callable[[], tfreuse.Report]) -> Callable[[], tfreuse.Report]:
    cached = SAMPLES[make.__name__] = cache(make)
    return cached


def report_of(function: Callable[..., Any], *specs: Any, **options: Any) -> tfreuse.Report:
    """The report of one trace; a failure is no reason for a warning here."""
    decorated = tfreuse.dedupe(function, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        decorated.get_concrete_function(*specs)
    return decorated.report


def broken(*_args: Any, **_options: Any) -> Any:
    raise ZeroDivisionError("broken\non purpose")


class Classifier(tf.Module):
    """One convolution four times, two heads of one shape, a write between two reads, a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(tf.ones([3, 3, 1, 4]), name="kernel")
        self.heads = [tf.Variable(tf.ones([4, 2]), name=f"head{number}") for number in range(2)]
        self.count = tf.Variable(0.0, name="count", trainable=False)

    def features(self, x: Any) -> Any:
        with tf.name_scope("features"):
            return tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(x, self.kernel, 1, "SAME")), [1, 2])

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 1], name="image")])
    def classify(self, x: Any) -> Any:
        logits = [tf.matmul(self.features(x) + self.features(x), head) for head in self.heads]
        before = self.count + 0.0
        self.count.assign_add(1.0)
        for _ in tf.range(2):
            logits[0] += tf.exp(logits[1]) * tf.exp(logits[1])
        return {"logits": tf.stack(logits), "counts": tf.stack([before, self.count + 0.0])}


@cache
def classifier() -> Classifier:
    return Classifier()


@cache
def saved_model() -> str:
    path = Path(_FOLDER.name) / "model"
    tf.saved_model.save(classifier(), path)
    return str(path)


@sample
def function() -> tfreuse.Report:
    return report_of(lambda x: classifier().classify.python_function(x), tf.TensorSpec([2, 8, 8, 1]))


@sample
def function_of_unknown_batch() -> tfreuse.Report:
    return report_of(lambda x: classifier().features(x) * classifier().features(x), tf.TensorSpec([None, 8, 8, 1]))


@sample
def function_of_unknown_shape() -> tfreuse.Report:
    return report_of(lambda x: classifier().features(x) * classifier().features(x), tf.TensorSpec(None))


@sample
def function_without_duplicates() -> tfreuse.Report:
    return report_of(tf.square, tf.TensorSpec([2]))


@sample
def function_of_nothing() -> tfreuse.Report:
    return report_of(lambda: None)


@sample
def method() -> tfreuse.Report:
    return report_of(classifier().features, tf.TensorSpec([2, 8, 8, 1]), preset="conv")


@sample
def function_whose_pass_fails() -> tfreuse.Report:
    with mock.patch.object(Cse, "candidates", broken):
        return report_of(classifier().features, tf.TensorSpec([2, 8, 8, 1]))


@sample
def function_that_cannot_be_read() -> tfreuse.Report:
    with mock.patch.object(LiveGraph, "read", broken):
        return report_of(classifier().features, tf.TensorSpec([2, 8, 8, 1]))


@sample
def concrete_function() -> tfreuse.Report:
    return tfreuse.optimize(classifier().classify.get_concrete_function())[1]


@sample
def graph_def() -> tfreuse.Report:
    graph = classifier().classify.get_concrete_function().graph
    outputs = [tensor.op.name for tensor in graph.outputs]
    return tfreuse.optimize_graph_def(graph.as_graph_def(), outputs=outputs)[1]


@sample
def saved_model_written() -> tfreuse.Report:
    return tfreuse.optimize_saved_model(saved_model(), Path(_FOLDER.name) / "optimized")


@sample
def saved_model_inspected() -> tfreuse.Report:
    return tfreuse.inspect(saved_model())


@sample
def saved_model_whose_pass_fails() -> tfreuse.Report:
    with mock.patch.object(Cse, "candidates", broken):
        return tfreuse.inspect(saved_model())


@sample
def saved_model_of_an_unknown_op() -> tfreuse.Report:
    """A function whose op no library defines, beside those that can be read."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    path = Path(saved_model()) / "saved_model.pb"
    model = SavedModel.FromString(path.read_bytes())
    functions = model.meta_graphs[0].graph_def.library.function
    (found,) = [each for each in functions if "while_body" in each.signature.name]
    found.node_def[0].op = "NobodyKnows"
    changed = Path(_FOLDER.name) / "unknown"
    changed.mkdir()
    (changed / "saved_model.pb").write_bytes(model.SerializeToString())
    return tfreuse.inspect(changed)
