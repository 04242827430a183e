"""Traps of SavedModels: names, signatures, variables, assets and functions that have to be there afterwards."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import fingerprint_pb2
from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

import tfreuse
from tests.offline import checks
from tests.offline.models import optimized, saved
from tests.traps.saved_twins import IMAGE, functions, twins

pytestmark = pytest.mark.tensorflow


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


def test_trap_095_functions_keep_their_names() -> None:
    """Two functions that became equal stay two, in the order of the file."""
    for name in ("service", "keras-export"):
        assert list(functions(saved(name))) == list(functions(optimized(name)))
        assert checks.serving(saved(name)).object_graph_def == checks.serving(optimized(name)).object_graph_def


def test_trap_101_signatures() -> None:
    def written(path: str) -> dict[str, bytes]:
        signatures = checks.serving(path).signature_def
        return {key: signatures[key].SerializeToString(deterministic=True) for key in signatures}

    for before, after in [(saved(name), optimized(name)) for name in ("service", "keras-export")] + [twins()]:
        assert written(before) == written(after)


def test_trap_102_captures_stay_captures() -> None:
    """Functions keep their arguments, by number, name and type; none is added for what they capture."""
    old, new = functions(saved("service")), functions(optimized("service"))
    for name, function in old.items():
        assert new[name].signature.input_arg == function.signature.input_arg
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
