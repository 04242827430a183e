"""What the tests of SavedModels use: an image, the functions of a model, and a model with two equal kernels."""

from __future__ import annotations

from functools import cache
from typing import Any

import tensorflow as tf

import tfreuse
from tests.offline import checks
from tests.offline.models import folder, normal

IMAGE = tf.constant(normal(2, 8, 8, 2, seed=9))


def functions(path: str) -> dict[str, Any]:
    return {function.signature.name: function for function in checks.serving(path).graph_def.library.function}


class Twins(tf.Module):
    """Two kernels with equal values, a list, both used twice."""

    def __init__(self) -> None:
        super().__init__(name="twins")
        self.one = tf.Variable(normal(3, 3, seed=1), name="one")
        self.other = tf.Variable(normal(3, 3, seed=1), name="other")

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def serve(self, x: Any) -> dict[str, Any]:
        ends = [tf.matmul(x, weight) for weight in (self.one, self.other, self.one, self.other)]
        return {"y": tf.concat(ends, 1)}

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def train(self, x: Any) -> dict[str, Any]:
        before = tf.matmul(x, self.one) - tf.matmul(x, self.one)
        self.one.assign_add(tf.ones([3, 3]))
        return {"y": before + tf.matmul(x, self.one)}


@cache
def twins() -> tuple[str, str]:
    """The model of twins, and what becomes of it."""
    paths = folder("twins"), folder("twins-optimized")
    module = Twins()
    tf.saved_model.save(module, paths[0], {"serving_default": module.serve, "train": module.train})
    tfreuse.optimize_saved_model(*paths)
    return paths
