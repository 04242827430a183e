"""What others do with a SavedModel: the command line tool, Keras layers, the TFLite converter."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.offline import checks
from tests.offline.models import normal, optimized, saved

PIXELS = normal(2, 8, 8, 2, seed=9)


def saved_model_cli(*args: str) -> str:
    """What TensorFlow's own tool prints."""
    command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", *args]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_saved_model_cli_show() -> None:
    before, after = (saved_model_cli("show", "--all", "--dir", path("service")) for path in (saved, optimized))
    ops = re.compile(r"contains the following ops: \{([^}]*)\}")
    (had,), (has,) = (map(set, (re.findall(r"\w+", found) for found in ops.findall(text))) for text in (before, after))
    assert has <= had and had - has <= {"VarIsInitializedOp"}  # which nothing used
    before, after = ops.sub("", before), ops.sub("", after)
    # It goes through maps and sets, whose order says nothing.
    assert Counter(re.findall(r"[^\s{},]+", before)) == Counter(re.findall(r"[^\s{},]+", after))
    assert "signature_def['features']" in after


def test_saved_model_cli_run(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", PIXELS)
    found = []
    for number, path in enumerate((saved("service"), optimized("service"))):
        out = tmp_path / str(number)
        common = ["--dir", path, "--tag_set", "serve", "--signature_def", "features"]
        saved_model_cli("run", *common, "--inputs", f"image={tmp_path}/image.npy", "--outdir", str(out))
        found.append(checks.tree(str(out)))
    assert list(found[0]) == ["output_0.npy"]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("name", "endpoint"), [("keras-export", "serve"), ("keras-export", "serving_default"), ("service", "features")]
)
def test_keras_layer(name: str, endpoint: str) -> None:
    found = []
    for path in (saved(name), optimized(name)):
        layer = keras.layers.TFSMLayer(path, call_endpoint=endpoint)
        model = keras.Sequential([keras.Input((8, 8, 2)), layer])
        value = model.predict(PIXELS, verbose=0)
        found.append((value, [len(layer.trainable_weights), len(layer.non_trainable_weights)]))
    (before, weights), (after, weights_after) = found
    checks.assert_same(before, after)
    assert weights == weights_after
    if endpoint == "serve":
        assert weights == [6, 2]


@cache
def converted(path: str, signature: str) -> bytes:
    """The model as TFLite writes it."""
    converter = tf.lite.TFLiteConverter.from_saved_model(path, signature_keys=[signature])
    data: bytes = converter.convert()
    return data


@pytest.mark.parametrize(("name", "key"), [("keras-export", "serving_default"), ("service", "features")])
def test_tflite(name: str, key: str) -> None:
    def run(path: str) -> Any:
        interpreter = tf.lite.Interpreter(model_content=converted(path, key))
        return interpreter.get_signature_runner(key)(image=PIXELS)

    before, after = run(saved(name)), run(optimized(name))
    assert before.keys() == after.keys()
    checks.assert_same(before, after)


def test_tflite_holds_one_convolution() -> None:
    def convolutions(path: str) -> int:
        interpreter = tf.lite.Interpreter(
            model_content=converted(path, "features"),
            experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF,
        )
        return sum(op["op_name"] == "CONV_2D" for op in interpreter._get_ops_details())

    assert convolutions(optimized("service")) == 1
