"""Exported Keras layers that are applied twice: served, trained with, differentiated, and their state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfreuse
from tests.offline import checks
from tests.offline.models import normal
from tests.seeds.executed import assert_close

NUMBERS = tf.constant(normal(2, 3, 4, seed=1))
TEXT = tf.constant(["a b", "c unknown a"])


def twice(layer: Any) -> Any:
    """A model that adds a layer's two results for one input."""
    given = keras.Input((3, 4))
    return keras.Model(given, layers.Add()([layer(given), layer(given)]))


def attention() -> Any:
    """Attention of an input to itself, twice."""
    given = keras.Input((3, 4))
    layer = layers.MultiHeadAttention(2, 4)
    return keras.Model(given, layers.Add()([layer(given, given), layer(given, given)]))


def words() -> Any:
    """Words looked up and embedded, twice."""
    given = keras.Input((), dtype="string")
    split = layers.TextVectorization(vocabulary=["a", "b", "c"], output_sequence_length=4)
    embed = layers.Embedding(10, 4)
    return keras.Model(given, layers.Add()([embed(split(given)), embed(split(given))]))


MODELS: dict[str, tuple[Callable[[], Any], tf.Tensor]] = {
    "lstm": (lambda: twice(layers.LSTM(3)), NUMBERS),
    "attention": (attention, NUMBERS),
    "words": (words, TEXT),
    "dropout": (lambda: twice(layers.Dropout(0.5)), NUMBERS),
    "batch normalization": (lambda: twice(layers.BatchNormalization()), NUMBERS),
}
RANDOM_OR_MOVING = ("dropout", "batch normalization")


@pytest.mark.parametrize("name", MODELS)
def test_layer_applied_twice(name: str, tmp_path: Path) -> None:
    build, given = MODELS[name]
    keras.utils.set_random_seed(3)
    before, after = export(build(), given, tmp_path)
    with checks.as_written():
        for endpoint in ("train", "serve"):
            old, new = (getattr(model, endpoint)(given) for model in (before, after))
            checks.assert_same(old, new)
        # The seeds of dropout and the moving averages went the same way.
        checks.assert_same([v.numpy() for v in before.variables], [v.numpy() for v in after.variables])
        found = [gradients(model, given) for model in (before, after)]
    assert len(found[0]) == len(found[1])
    assert_close(*found, relative=1e-4)
    if name in RANDOM_OR_MOVING:
        assert not np.array_equal(after.train(given), after.serve(given))


def export(model: Any, given: tf.Tensor, folder: Path) -> list[Any]:
    """The model with an endpoint to serve and one to train, loaded as it is and optimised."""
    before, after = str(folder / "before"), str(folder / "after")
    archive = keras.export.ExportArchive()
    archive.track(model)
    spec = [tf.TensorSpec([None, *given.shape[1:]], given.dtype)]
    archive.add_endpoint("serve", lambda x: model(x, training=False), spec)
    archive.add_endpoint("train", lambda x: model(x, training=True), spec)
    archive.write_out(before)
    report = tfreuse.optimize_saved_model(before, after)
    assert report.failures == [] and report.merged > 0
    checks.assert_carried(before, after)
    return [tf.saved_model.load(path) for path in (before, after)]


def gradients(model: Any, given: tf.Tensor) -> list[Any]:
    """Of all trainable variables."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.serve(given) ** 2)
    found = tape.gradient(loss, list(model.trainable_variables))
    return [tf.convert_to_tensor(gradient) for gradient in found]
