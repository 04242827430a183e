"""Keras models with decorated calls, exported, optimised and loaded: what is left to share, and the same values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.offline import checks
from tests.offline.models import normal
from tests.seeds.executed import assert_close

X = tf.constant(normal(3, 4, seed=2))
Decorate = Callable[..., Any]
DOORS: dict[str, Decorate] = {"plain": tf.function, "shared": tfreuse.dedupe}


def model(decorate: Decorate) -> keras.Model:
    """A layer whose call is decorated, applied twice by a model whose call is decorated, with a head of both."""

    class Gate(keras.layers.Layer):
        """Multiplies by one product, computed twice."""

        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight(shape=(shape[-1], shape[-1]), name="kernel")

        @decorate
        def call(self, x: Any) -> Any:
            return tf.matmul(x, self.kernel) * tf.sigmoid(tf.matmul(x, self.kernel))

    class Twice(keras.Model):
        """Two equal gates in one call."""

        def __init__(self) -> None:
            super().__init__()
            self.gate, self.head = Gate(name="gate"), keras.layers.Dense(2, name="head")

        @decorate
        def call(self, x: Any, training: bool = False) -> Any:
            once, again = self.head(self.gate(x)), self.head(self.gate(x))
            return once * again

    keras.utils.clear_session()
    keras.utils.set_random_seed(4)
    inputs = keras.Input((4,), name="row")
    found = Twice()
    return keras.Model(inputs, found(inputs))


def products(path: str) -> int:
    """How many products the functions of a model hold that signatures reach."""
    return sum(checks.ops(path).values(), Counter())["MatMul"]


@pytest.mark.parametrize("door", DOORS)
def test_exported(door: str, tmp_path: Path) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    made = model(DOORS[door])
    expected = made(X)
    made.export(source)
    report = tfreuse.optimize_saved_model(source, target, verify=3)
    assert report.failures == []
    checks.assert_carried(source, target)
    before, after = (tf.saved_model.load(path) for path in (source, target))
    with checks.as_written():
        checks.assert_same(before.serve(X).numpy(), after.serve(X).numpy())
    assert_close([after.serve(X)], [expected])
    assert products(target) < products(source)
    found = [slopes(loaded) for loaded in (before, after)]
    assert len(found[0]) == 3 and all(np.abs(slope).max() > 0 for slope in found[0][:2])
    assert_close(*found)


def slopes(loaded: Any) -> list[Any]:
    """The gradient of each weight."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(loaded.serve(X) ** 2)
    return [slope.numpy() for slope in tape.gradient(loss, list(loaded.trainable_variables))]


def test_both_decorators_end_alike(tmp_path: Path) -> None:
    """What the decorator shared before saving and what the command shares behind it come to one model."""
    counts = []
    for door, decorate in DOORS.items():
        paths = str(tmp_path / door), str(tmp_path / f"{door}-optimized")
        model(decorate).export(paths[0])
        tfreuse.optimize_saved_model(*paths)
        counts.append((products(paths[0]), products(paths[1])))
    assert counts[0][1] == counts[1][1]
