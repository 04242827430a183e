"""Traps of models on disk: SavedModels before and after, their protocol buffers and what TensorFlow makes of them."""

from __future__ import annotations

import shutil
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import fingerprint_pb2, saved_model_pb2
from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

import tfreuse
from tests.offline import checks
from tests.offline.models import folder, normal, optimized, saved
from tests.seeds import executed
from tfreuse.passes.cse import Cse

pytestmark = pytest.mark.tensorflow

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


def test_trap_005_names_of_removed_reads() -> None:
    """Control outputs name nodes that are there, each of them once."""
    fewer = 0
    for name, function in functions(optimized("service")).items():
        nodes = {node.name for node in function.node_def}
        assert set(function.control_ret.values()) <= nodes
        assert sorted(function.control_ret) == sorted(function.signature.control_output)
        assert len(set(function.control_ret.values())) == len(function.control_ret)
        fewer += len(function.control_ret) < len(functions(saved("service"))[name].control_ret)
        for node in function.node_def:
            controls = [source for source in node.input if source.startswith("^")]
            assert len(set(controls)) == len(controls)
    assert fewer > 0


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
                if "_output_shapes" in node.attr:
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


def test_trap_095_functions_keep_their_names() -> None:
    """Functions of signatures that became equal stay two, and no function gets another name or place."""
    for name in ("service", "keras-export"):
        old, new = functions(saved(name)), functions(optimized(name))
        assert [function for function in old if function in new] == list(new)
        wrappers = [function for function in old if "signature_wrapper" in function]
        assert len(wrappers) > 1
        assert set(wrappers) <= set(new)


def test_trap_097_files_do_not_grow() -> None:
    for name in ("service", "softened", "keras-export", "keras-save"):
        assert len(checks.content(optimized(name))) <= len(checks.content(saved(name)))


def test_trap_101_signatures() -> None:
    def written(path: str) -> dict[str, bytes]:
        signatures = checks.serving(path).signature_def
        return {key: signatures[key].SerializeToString(deterministic=True) for key in signatures}

    for before, after in [(saved(name), optimized(name)) for name in ("service", "keras-export")] + [twins()]:
        assert written(before) == written(after)


def test_trap_102_captures_stay_captures() -> None:
    """Functions keep their arguments, by number, name and type; none is added for what they capture."""
    old, new = functions(saved("service")), functions(optimized("service"))
    assert new.keys() <= old.keys()
    for name, function in new.items():
        assert old[name].signature.input_arg == function.signature.input_arg
    loaded = tf.saved_model.load(optimized("service"))
    assert list(loaded.signatures["features"].structured_input_signature[1]) == ["image"]
    assert not any("unknown" in key for key in loaded.signatures["serving_default"].structured_input_signature[1])


def test_trap_104_argument_names() -> None:
    old, new = tf.saved_model.load(saved("service")), tf.saved_model.load(optimized("service"))
    for key, signature in old.signatures.items():
        assert signature._arg_keywords == new.signatures[key]._arg_keywords
        assert len(set(signature._arg_keywords)) == len(signature._arg_keywords)


def test_trap_103_everything_is_carried() -> None:
    checks.assert_carried(saved("service"), optimized("service"))
    checks.assert_carried(*twins())
    before, after = tf.saved_model.load(saved("service")), tf.saved_model.load(optimized("service"))
    assert set(dir(before)) == set(dir(after))
    assert before.signatures.keys() == after.signatures.keys()
    assert after.words.asset_path.numpy().startswith(optimized("service").encode())


def test_trap_105_variables_are_not_frozen() -> None:
    before, after = (sum(checks.ops(path).values(), Counter()) for path in (saved("service"), optimized("service")))
    assert after["Const"] <= before["Const"] and after["VarHandleOp"] == before["VarHandleOp"]
    variables = [name for name in checks.tree(saved("service")) if name.startswith("variables/")]
    assert variables
    for name in variables:
        assert checks.tree(saved("service"))[name] == checks.tree(optimized("service"))[name]
    loaded = tf.saved_model.load(optimized("service"))
    old = loaded.features(IMAGE).numpy()
    loaded.bias.assign_add([1.0, 1.0, 1.0, 1.0])
    assert np.all(loaded.features(IMAGE).numpy() > old + 9.0)


def test_trap_106_custom_gradients() -> None:
    """The attribute that leads to a gradient is there, word by word, and the gradient is found."""

    def types(path: str) -> Counter[bytes]:
        nodes = [node for function in functions(path).values() for node in function.node_def]
        return Counter(node.attr["_gradient_op_type"].s for node in nodes if "_gradient_op_type" in node.attr)

    assert types(saved("softened")).keys() == types(optimized("softened")).keys()
    numbers = tf.constant(normal(3, 4, seed=8))

    def slopes(path: str) -> Any:
        loaded = tf.saved_model.load(path)
        with tf.GradientTape() as tape:
            tape.watch(numbers)
            value = loaded(numbers)
        return tape.gradient(value, [numbers, loaded.weight])

    with checks.as_written():
        executed.assert_close(slopes(saved("softened")), slopes(optimized("softened")), relative=1e-6)


class Clipped(tf.Module):
    """Two calls of one function whose custom gradient clips."""

    def __init__(self) -> None:
        super().__init__(name="clipped")

        @tf.custom_gradient
        def clipped(x: Any) -> Any:
            return 3.0 * x, lambda upstream: tf.clip_by_value(upstream, -1.0, 1.0)

        self.inner = tf.function(lambda x: clipped(x))

    @tf.function(input_signature=[tf.TensorSpec([3], tf.float32)], autograph=False)
    def __call__(self, x: Any) -> Any:
        return 2.0 * self.inner(x) - 5.0 * self.inner(x)


def test_trap_106_custom_gradients_in_called_functions(tmp_path: Path) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    tf.saved_model.save(Clipped(), source, options=tf.saved_model.SaveOptions(experimental_custom_gradients=True))
    tfreuse.optimize_saved_model(source, target)

    def slope(path: str) -> Any:
        loaded, x = tf.saved_model.load(path), tf.constant([1.0, 2.0, 3.0])
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loaded(x)
        return tape.gradient(value, x)

    executed.assert_same(slope(source), tf.zeros(3))
    executed.assert_same(slope(target), tf.zeros(3))


def test_trap_107_gradients_of_a_loaded_model() -> None:
    def slopes(path: str) -> Any:
        loaded = tf.saved_model.load(path)
        with tf.GradientTape() as tape:
            tape.watch(IMAGE)
            value = loaded.features(IMAGE)
        return tape.gradient(value, [IMAGE, loaded.kernel, loaded.bias])

    executed.assert_close(slopes(saved("service")), slopes(optimized("service")))


def test_trap_109_saved_again_and_moved(tmp_path: Path) -> None:
    text = tf.constant(["ant", "none"])
    expected = tf.saved_model.load(saved("service")).lookup(text)
    path = optimized("service")
    for number in range(2):
        loaded = tf.saved_model.load(path)
        checks.assert_same(loaded.lookup(text), expected)
        written, path = str(tmp_path / f"written-{number}"), str(tmp_path / f"moved-{number}")
        tf.saved_model.save(loaded, written, signatures=dict(loaded.signatures))
        again = str(tmp_path / f"again-{number}")
        tfreuse.optimize_saved_model(written, again)
        shutil.move(again, path)
        shutil.rmtree(written)
    assert len(list(Path(path, "assets").iterdir())) == 1
    loaded = tf.saved_model.load(path)
    checks.assert_same(loaded.lookup(text), expected)
    assert sorted(loaded.signatures) == sorted(tf.saved_model.load(saved("service")).signatures)


def test_trap_110_one_weight_saved_twice() -> None:
    """Keras lists a weight under two paths; both stay, and the file of variables is not rewritten."""
    before, after = (
        tf.train.list_variables(f"{path('keras-export')}/variables/variables") for path in (saved, optimized)
    )
    assert before == after
    assert {name.split("/")[0] for name, _ in before} >= {"_all_variables", "variables"}


def test_trap_111_functions_that_save_and_restore() -> None:
    old, new = functions(saved("service")), functions(optimized("service"))
    special = [name for name in old if "__traced_save" in name or "__traced_restore" in name]
    assert len(special) == 2
    assert all(old[name] == new[name] for name in special)


def test_trap_112_fingerprint() -> None:
    stored = tf.saved_model.experimental.read_fingerprint(twins()[1])
    fresh = fingerprint_pb2.FingerprintDef.FromString(fingerprinting.CreateFingerprintDef(twins()[1]))
    assert stored.saved_model_checksum == fresh.saved_model_checksum
    assert stored.saved_model_checksum != tf.saved_model.experimental.read_fingerprint(twins()[0]).saved_model_checksum


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
    model.export(source, verbose=False)
    tfreuse.optimize_saved_model(source, target)
    counts = [sum(checks.ops(path).values(), Counter()) for path in (source, target)]
    assert [count["MatMul"] for count in counts] == [2, 1]
