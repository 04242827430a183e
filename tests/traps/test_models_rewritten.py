"""Traps of SavedModels: what is shared, what is not, and what TensorFlow makes of the result."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import tfreuse
from tests.offline import checks
from tests.offline.models import optimized, saved
from tests.seeds import executed
from tests.traps.saved_twins import IMAGE, functions, twins
from tfreuse.passes.cse import Cse

pytestmark = pytest.mark.tensorflow


def test_trap_007_two_variables_with_one_value() -> None:
    loaded = tf.saved_model.load(twins()[1])
    loaded.other.assign(tf.zeros([3, 3]))
    y = loaded.serve(tf.ones([1, 3]))["y"].numpy()
    assert np.all(y[:, 3:6] == 0.0) and np.any(y[:, :3] != 0.0)
    counts = sum(checks.ops(twins()[1]).values(), Counter())
    assert counts["MatMul"] == 4  # of 7: two kernels in one function, and both sides of a write in the other


def test_trap_048_static_shapes() -> None:
    """A survivor claims no shape that held for its duplicate's place only."""
    for name in ("service", "keras-export"):
        before, after = functions(saved(name)), functions(optimized(name))
        for key, function in after.items():
            old = {node.name: node for node in before[key].node_def}
            for node in function.node_def:
                if "_output_shapes" in node.attr and node.name in old:  # the others came from another function
                    assert node.attr["_output_shapes"] == old[node.name].attr["_output_shapes"]
        loaded = tf.saved_model.load(optimized(name))
        assert loaded.signatures["serving_default"](IMAGE[:1])


def test_trap_061_variables_that_are_not_there(tmp_path: Path) -> None:
    """What variables hold is never looked at: without their files the graph becomes the same."""
    stripped, target = str(tmp_path / "stripped"), str(tmp_path / "target")
    shutil.copytree(twins()[0], stripped)
    for path in Path(stripped, "variables").iterdir():
        path.write_bytes(b"")
    tfreuse.optimize_saved_model(stripped, target)
    assert checks.content(target) == checks.content(twins()[1])


def test_trap_097_files_do_not_grow() -> None:
    for name in ("service", "softened", "keras-export", "keras-save"):
        assert len(checks.content(optimized(name))) <= len(checks.content(saved(name)))


def test_trap_113_ops_without_a_library(tmp_path: Path) -> None:
    """A function with an op that nobody registered is carried as it is; the others are optimised."""
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    shutil.copytree(twins()[0], source)
    proto = saved_model_pb2.SavedModel.FromString(checks.content(source))
    library = proto.meta_graphs[0].graph_def.library.function
    products = [
        (f, node) for f in library if "_train_" in f.signature.name for node in f.node_def if node.op == "MatMul"
    ]
    odd, product = products[0]
    product.op = "MatMulOfSomebodyElse"
    Path(source, "saved_model.pb").write_bytes(proto.SerializeToString())
    tfreuse.optimize_saved_model(source, target)
    assert functions(target)[odd.signature.name] == odd
    counts = checks.ops(target)
    assert checks.named(counts, "_serve_")["MatMul"] == 2


def test_trap_115_composite_tensors(tmp_path: Path) -> None:
    class Composite(tf.Module):
        @tf.function(
            input_signature=[
                tf.SparseTensorSpec([None, 2], tf.float32),
                tf.RaggedTensorSpec([None, None], tf.float32),
            ]
        )
        def __call__(self, sparse: Any, ragged: Any) -> Any:
            parts = [tf.sparse.reorder(sparse).with_values(sparse.values * 2.0) for _ in range(2)]
            return {"sparse": parts[0], "again": parts[1], "ragged": ragged * 2.0, "rows": ragged * 2.0}

    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    tf.saved_model.save(Composite(), source)
    assert tfreuse.optimize_saved_model(source, target).merged > 0
    sparse = tf.SparseTensor([[0, 1], [1, 0]], [1.0, 2.0], [2, 2])
    ragged = tf.ragged.constant([[1.0], [2.0, 3.0]])
    one, other = (tf.saved_model.load(path)(sparse, ragged) for path in (source, target))
    tf.nest.assert_same_structure(one, other, expand_composites=True)
    executed.assert_same(*(tf.nest.flatten(value, expand_composites=True) for value in (one, other)))


def test_trap_116_executed_once() -> None:
    """The graph that runs, after TensorFlow's own optimiser, holds one convolution."""
    loaded = [tf.saved_model.load(path("service")) for path in (saved, optimized)]
    (_, old), (_, new) = (executed.call(model.features, IMAGE) for model in loaded)
    assert (old["Conv2D"], new["Conv2D"]) == (4, 1)
    assert (old["ReadVariableOp"], new["ReadVariableOp"]) == (8, 2)


def test_trap_117_a_failure_costs_the_optimisation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: Any) -> Any:
        raise ZeroDivisionError("broken on purpose")

    monkeypatch.setattr(Cse, "candidates", broken)
    target = str(tmp_path / "target")
    report = tfreuse.optimize_saved_model(twins()[0], target)
    assert report.failures
    x = tf.ones([2, 3])
    before, after = tf.saved_model.load(twins()[0]), tf.saved_model.load(target)
    executed.assert_same(before.serve(x), after.serve(x))


def test_trap_002_layer_of_a_saved_model(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    layer = keras.layers.Dense(3)
    image = keras.Input((4,))
    model = keras.Model(image, keras.layers.add([layer(image), layer(image)]))
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    model.export(source)
    tfreuse.optimize_saved_model(source, target)
    counts = [sum(checks.ops(path).values(), Counter()) for path in (source, target)]
    assert [count["MatMul"] for count in counts] == [2, 1]
