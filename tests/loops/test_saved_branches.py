"""SavedModels with branches: what all branches compute is computed in front of them, and shared with what is there."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.loops.runs import assert_same_results, normal, times, values_and_gradients

IMAGE = tf.TensorSpec([1, 6, 6, 3])


class Model(tf.Module):
    """Branches that convolve one image, and others that do not."""

    def __init__(self) -> None:
        self.kernel = tf.Variable(normal(3, 3, 3, 3, seed=1))
        self.other = tf.Variable(normal(3, 3, 3, 3, seed=2))

    @tf.function(input_signature=[IMAGE, tf.TensorSpec([], tf.int32)])
    def shared(self, image: Any, index: Any) -> Any:
        def convolved() -> Any:
            return tf.nn.conv2d(image, self.kernel, 1, "SAME")

        chosen = tf.switch_case(index, [lambda: tf.tanh(convolved()), lambda: convolved() * 2.0, lambda: -convolved()])
        return chosen + convolved()

    @tf.function(input_signature=[IMAGE, tf.TensorSpec([], tf.bool)])
    def apart(self, image: Any, flag: Any) -> Any:
        return tf.cond(
            flag,
            lambda: tf.nn.conv2d(image, self.kernel, 1, "SAME"),
            lambda: tf.nn.conv2d(image, self.other, 1, "SAME"),
        )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The model as saved and as optimised with the preset `hoist`."""
    folder = tmp_path_factory.mktemp("branches")
    model = Model()
    tf.saved_model.save(model, str(folder / "plain"), signatures={"shared": model.shared, "apart": model.apart})
    tfreuse.optimize_saved_model(folder / "plain", folder / "hoisted", verify=3, preset="hoist")
    plain, hoisted = (tf.saved_model.load(str(folder / name)) for name in ("plain", "hoisted"))
    return plain, hoisted


@pytest.mark.parametrize("index", [0, 1, 2, 7])
def test_one_convolution_for_all_branches_and_the_caller(models: Any, index: int) -> None:
    plain, hoisted = models
    args = (tf.constant(normal(1, 6, 6, 3)), tf.constant(index))
    assert (times("Conv2D", plain.shared, *args), times("Conv2D", hoisted.shared, *args)) == (2, 1)
    results = [values_and_gradients(model.shared, args, [args[0]]) for model in models]
    assert_same_results(*results)


@pytest.mark.parametrize("flag", [True, False])
def test_different_operands_stay(models: Any, flag: bool) -> None:
    plain, hoisted = models
    args = (tf.constant(normal(1, 6, 6, 3)), tf.constant(flag))
    assert times("Conv2D", plain.apart, *args) == times("Conv2D", hoisted.apart, *args) == 1
    assert_same_results([plain.apart(*args)], [hoisted.apart(*args)])
