"""Equal weights in a checkpoint: reported with what sharing would save, and left as they are."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.offline import checks


def test_equal_weights_are_reported_and_left(tmp_path: Path) -> None:
    model = tf.Module()
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    model.a, model.b, model.c = tf.Variable(values), tf.Variable(values), tf.Variable(values.reshape(4, 3))
    model.d, model.e = tf.Variable([0.0, 1.0]), tf.Variable([-0.0, 1.0])
    model.f, model.g = tf.Variable([np.nan, 1.0]), tf.Variable([np.nan, 1.0])
    model.h, model.i = tf.Variable([1, 2, 3]), tf.Variable(tf.constant([1, 2, 3], tf.float32))
    model.j, model.k = (tf.Variable(tf.constant([1.5, 2.5], tf.bfloat16)) for _ in range(2))
    model.s, model.t = tf.Variable(["text"]), tf.Variable(["text"])
    model.n, model.o = tf.Variable(3.0), tf.Variable(3.0)
    path = str(tmp_path / "model")
    tf.saved_model.save(model, path)
    before = checks.tree(path)
    found = tfreuse.optimize_saved_model(path, None, dry_run=True, weights=True).to_dict()["weights"]
    by_name = {tuple(name.split("/")[0] for name in entry["names"]): entry for entry in found["repeated"]}
    assert by_name.keys() == {("a", "b"), ("f", "g"), ("j", "k"), ("n", "o")}
    assert by_name["a", "b"] == {**by_name["a", "b"], "dtype": "float32", "shape": [3, 4], "bytes": 48}
    assert found["bytes"] == 48 + 8 + 4 + 4
    assert checks.tree(path) == before


def test_weights_are_read_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each array is let go before the next but one is read."""
    model = tf.Module()
    model.weights = [tf.Variable(tf.fill([1000], float(number // 2))) for number in range(6)]
    path = str(tmp_path / "model")
    tf.saved_model.save(model, path)
    alive: list[Any] = []
    most = 0
    real = tf.train.load_checkpoint

    class Reader:
        def __init__(self, prefix: str) -> None:
            self._reader = real(prefix)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._reader, name)

        def get_tensor(self, name: str) -> Any:
            nonlocal most
            array = self._reader.get_tensor(name)
            alive.append(weakref.ref(array))
            most = max(most, sum(ref() is not None for ref in alive))
            return array

    monkeypatch.setattr(tf.train, "load_checkpoint", Reader)
    report = tfreuse.optimize_saved_model(path, None, dry_run=True, weights=True).to_dict()["weights"]
    assert len(report["repeated"]) == 3
    assert len(alive) >= 6
    assert most <= 2


def test_a_checkpoint_that_cannot_be_read(tmp_path: Path) -> None:
    path = str(tmp_path / "model")
    model = tf.Module()
    model.v = tf.Variable([1.0, 2.0])
    tf.saved_model.save(model, path)
    Path(path, "variables", "variables.index").write_bytes(b"nonsense")
    report = tfreuse.inspect(path).to_dict()
    assert "weights" not in report
    assert "checkpoint-unreadable" in {remark["id"] for remark in report["remarks"]}
    os.remove(Path(path, "variables", "variables.index"))
    assert tfreuse.optimize_saved_model(path, None, dry_run=True, weights=True).to_dict()["weights"]["repeated"] == []
