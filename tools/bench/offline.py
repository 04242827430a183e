"""Patterns that go through a SavedModel on disk."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import tensorflow as tf

import tfreuse
from tools.bench.data import SIDE, four_ways, images, kernel_values, kernels, tower
from tools.bench.patterns import Variant, Variants

DEPTH = 3
"""Convolutions in a tower."""


def _tf1_tower(x: Any) -> Any:
    v1 = tf.compat.v1
    with v1.variable_scope("tower", reuse=v1.AUTO_REUSE):
        for index in range(DEPTH):
            start = v1.constant_initializer(kernel_values(32, 32, seed=index))
            weights = v1.get_variable(f"kernel_{index}", [3, 3, 32, 32], initializer=start, use_resource=True)
            x = tf.nn.relu(tf.nn.conv2d(x, weights, strides=1, padding="SAME"))
    return x


def _write_tf1(folder: Path, *, shared: bool) -> None:
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, SIDE, SIDE, 32], name="x")
        first = _tf1_tower(x)
        second = first if shared else _tf1_tower(x)
        outputs = {"mean": tf.reduce_mean(first, [1, 2]), "max": tf.reduce_max(second, [1, 2])}
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(folder), {"x": x}, outputs)


def _load_tf1(folder: Path, batch: int, *, compiled: bool = False) -> Variant:
    loaded = tf.saved_model.load(str(folder))

    def call(x: tf.Tensor) -> Any:
        return loaded.signatures["serving_default"](x=x)

    return Variant(tf.function(call, jit_compile=True) if compiled else call, (images(batch),))


def tf1_reuse(batch: int) -> Variants:
    """TF1 `variable_scope` reuse in a SavedModel, run through its signature.

    For tfreuse the SavedModel is optimised on disk; the ideal is one whose tower is built once.
    """
    with tempfile.TemporaryDirectory() as temporary:
        plain, optimised, ideal = (Path(temporary, name) for name in ("plain", "optimised", "ideal"))
        _write_tf1(plain, shared=False)
        _write_tf1(ideal, shared=True)
        tfreuse.optimize_saved_model(str(plain), str(optimised))
        return Variants(
            plain=_load_tf1(plain, batch),
            tfreuse=_load_tf1(optimised, batch),
            ideal=_load_tf1(ideal, batch),
            xla=_load_tf1(plain, batch, compiled=True),
        )


class _TwoHeads(tf.Module):
    """A backbone with a signature for each of its two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = kernels(DEPTH)

    @tf.function(input_signature=[tf.TensorSpec([None, SIDE, SIDE, 32])])
    def embed(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.reduce_mean(tower(x, self.kernels), [1, 2])}

    @tf.function(input_signature=[tf.TensorSpec([None, SIDE, SIDE, 32])])
    def detect(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.reduce_max(tower(x, self.kernels), [1, 2])}


def two_signatures(batch: int) -> Variants:
    """A function that calls two signatures of a loaded SavedModel; they hold the same backbone."""
    model = _TwoHeads()
    with tempfile.TemporaryDirectory() as temporary:
        tf.saved_model.save(model, temporary, signatures={"embed": model.embed, "detect": model.detect})
        loaded = tf.saved_model.load(temporary)

    def program(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return loaded.signatures["embed"](x=x)["y"], loaded.signatures["detect"](x=x)["y"]

    def ideal(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        y = tower(x, model.kernels)
        return tf.reduce_mean(y, [1, 2]), tf.reduce_max(y, [1, 2])

    return four_ways(program, ideal, (images(batch),))
