"""Devices asked for by hand: what is to run on two devices runs on two, in functions and in saved models."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.offline import checks
from tests.scenarios.observe import whole
from tests.seeds import executed
from tests.strategy.test_mirrored import DOORS, count, live
from tests.two_devices import two_devices

pytestmark = pytest.mark.tensorflow

X = tf.constant(whole(1, 6, 6, 2, seed=2))


def on(device: str, work: Any) -> Any:
    with tf.device(device):
        return work()


def variables() -> list[Any]:
    """Kernels of one value, one on each device."""
    return [on(device, lambda: tf.Variable(whole(3, 3, 2, 2, seed=1))) for device in two_devices()]


def convolve(x: Any, kernel: Any) -> Any:
    return tf.nn.conv2d(x, kernel, 1, "SAME")


def test_equal_work_on_two_devices() -> None:
    """One kernel, convolved twice on each device: once on each is left."""
    kernel = variables()[0]

    def run(x: Any) -> Any:
        return [on(device, lambda: convolve(x, kernel)) for device in two_devices() for _ in range(2)]

    nodes, results = {}, {}
    for door, decorate in DOORS.items():
        function = decorate(run)
        concrete = function.get_concrete_function(X)
        nodes[door], results[door] = live(concrete), concrete(X)
    executed.assert_same(results["plain"], results["shared"])
    assert count(nodes["plain"], "Conv2D") == {"CPU:0": 2, "CPU:1": 2}
    assert count(nodes["shared"], "Conv2D") == {"CPU:0": 1, "CPU:1": 1}
    assert executed.missed(function.report, "different-device")


def test_variables_of_two_devices() -> None:
    kernels = variables()

    def run(x: Any) -> Any:
        found = [convolve(x, kernel) for kernel in kernels for _ in range(2)]
        kernels[1].assign_add(tf.ones_like(kernels[1]))
        return [*found, *(convolve(x, kernel) for kernel in kernels for _ in range(2))]

    results, nodes = {}, {}
    for door, decorate in DOORS.items():
        kernels[1].assign(kernels[0])
        concrete = decorate(run).get_concrete_function(X)
        results[door], nodes[door] = concrete(X), Counter(node.op for node in live(concrete))
    executed.assert_same(results["plain"], results["shared"])
    # One of the first kernel, which nothing writes to, and two of the second.
    assert (nodes["plain"]["Conv2D"], nodes["shared"]["Conv2D"]) == (8, 3)
    assert not np.array_equal(results["shared"][4], results["shared"][6])


def test_no_device_is_not_any_device() -> None:
    """Work that may run anywhere is not merged with work that was placed; without a place it is."""

    def run(x: Any) -> Any:
        free = [tf.exp(x), tf.exp(x)]
        return [*free, on("CPU:1", lambda: tf.exp(x)), on("/device:CPU:*", lambda: tf.exp(x))]

    concrete = tfreuse.dedupe(run).get_concrete_function(X)
    found = Counter(node.device for node in live(concrete) if node.op == "Exp")
    assert sorted(found.values()) == [1, 1, 1]
    executed.assert_same(concrete(X), tf.function(run)(X))


def test_gradients_stay_on_their_devices() -> None:
    kernels = variables()

    def run(x: Any) -> Any:
        with tf.GradientTape() as tape:
            ends = [
                on(d, lambda k=k: convolve(x, k)) for d, k in zip(two_devices(), kernels, strict=True) for _ in "ab"
            ]
            loss = tf.add_n([tf.reduce_sum(end * end) for end in ends])
        return loss, tape.gradient(loss, kernels)

    plain, shared = (decorate(run).get_concrete_function(X) for decorate in DOORS.values())
    executed.assert_same(tf.nest.flatten(plain(X)), tf.nest.flatten(shared(X)))
    assert count(live(plain), "Conv2D") == {"CPU:0": 2, "CPU:1": 2}
    assert count(live(shared), "Conv2D") == {"CPU:0": 1, "CPU:1": 1}


class Placed(tf.Module):
    """A model that convolves on both devices, twice on each."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = variables()

    @tf.function(input_signature=[tf.TensorSpec([None, 6, 6, 2], name="image")])
    def serve(self, image: Any) -> Any:
        pairs = [(device, kernel) for device, kernel in zip(two_devices(), self.kernels, strict=True) for _ in "ab"]
        return [on(device, lambda k=kernel: convolve(image, k)) for device, kernel in pairs]


def test_saved_models_keep_their_devices(tmp_path: Path) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    options = tf.saved_model.SaveOptions(experimental_variable_policy="save_variable_devices")
    tf.saved_model.save(Placed(), source, options=options)
    report = tfreuse.optimize_saved_model(source, target, verify=3)
    assert report.failures == []
    found = []
    for path in (source, target):
        (graph,) = checks.graphs(path)
        bodies = [function.node_def for function in graph.graph_def.library.function]
        convolutions = [count(list(nodes), "Conv2D") for nodes in bodies]
        found.append(sum(convolutions, Counter()))
    assert found == [{"CPU:0": 2, "CPU:1": 2}, {"CPU:0": 1, "CPU:1": 1}]
    before, after = (tf.saved_model.load(path) for path in (source, target))
    executed.assert_same(before.serve(X), after.serve(X))
    assert [kernel.device for kernel in before.kernels] == [kernel.device for kernel in after.kernels]
