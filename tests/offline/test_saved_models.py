"""Freshly saved models: what stays as it was, which nodes go, and what TensorFlow then executes."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import fingerprint_pb2
from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

import tfreuse
from tests.offline import checks, models_v1
from tests.offline.models import BUILDERS, CONVOLUTIONS, normal, optimized, saved
from tests.seeds import executed

MODELS = sorted(BUILDERS)
TF2 = [name for name in MODELS if not name.startswith("v1")]
IMAGE = normal(2, 8, 8, 2, seed=9)


@pytest.mark.parametrize("name", MODELS)
def test_all_but_the_nodes_is_carried(name: str) -> None:
    before = checks.tree(saved(name))
    checks.assert_carried(saved(name), optimized(name))
    assert checks.tree(saved(name)) == before


@pytest.mark.parametrize("name", MODELS)
def test_the_report_counts_the_nodes_that_went(name: str) -> None:
    report = tfreuse.optimize_saved_model(saved(name), None, dry_run=True).to_dict()
    untold = {remark["function"] for remark in report["remarks"] if remark["id"] == "save-restore-function"}
    for when, path in (("before", saved(name)), ("after", optimized(name))):
        told = sum((Counter(entry["ops"][when]) for entry in report["functions"]), Counter())
        written: Counter[str] = Counter()
        for graph in checks.graphs(path):
            functions = [f for f in graph.graph_def.library.function if f.signature.name not in untold]
            written.update(
                node.op for nodes in (graph.graph_def.node, *(f.node_def for f in functions)) for node in nodes
            )
        assert told == written
    assert report["totals"]["merged"] > 0


@pytest.mark.parametrize("name", TF2)
def test_save_restore_and_initialise_as_before(name: str) -> None:
    before, after = (checks.serving(path(name)) for path in (saved, optimized))
    kinds = ("__traced_save", "__traced_restore", "_creator", "_initializer", "_destroyer")
    found, left = (
        [f for f in graph.graph_def.library.function if any(kind in f.signature.name for kind in kinds)]
        for graph in (before, after)
    )
    assert len(found) >= 2
    assert found == left


@pytest.mark.parametrize("resource", ["v1-reference", "v1-resource"])
def test_save_restore_and_initialise_as_before_in_a_main_graph(resource: str) -> None:
    before, after = (checks.serving(path(resource)).graph_def.node for path in (saved, optimized))
    left = {node.name: node for node in after}
    special = [node for node in before if node.op in ("SaveV2", "RestoreV2", "InitializeTableFromTextFileV2")]
    special += [node for node in before if node.name.startswith("save") and "/" in node.name]
    assert len(special) > 10
    for node in special:
        assert left[node.name] == node


def test_convolutions_of_each_function() -> None:
    before, after = checks.ops(saved("service")), checks.ops(optimized("service"))
    assert checks.named(before, "__inference_features")["Conv2D"] == 3 * CONVOLUTIONS
    left = [name for name in after if "__inference_features" in name]
    assert 1 <= len(left) < 3  # of three traces some are one
    assert checks.named(after, "__inference_features")["Conv2D"] == len(left)
    for part, op, old, new in (
        ("serve_", "Abs", 2, 1),
        ("while_body", "Conv2D", 2, 1),
        ("cond_true", "Sin", 2, 1),
        ("cond_false", "Cos", 2, 1),
        ("__inference_mixed", "MatMul", 2, 1),
        ("__inference_lookup", "LookupTableFindV2", 2, 1),
        ("__inference_lookup", "ReadFile", 2, 1),
        ("__inference_count", "ReadVariableOp", 6, 3),
        ("__inference_count", "AssignAddVariableOp", 2, 2),
    ):
        assert (checks.named(before, part)[op], checks.named(after, part)[op]) == (old, new), (part, op)
    nested = [counts for name, counts in after.items() if "_nested_" in name]
    assert [counts["StatefulPartitionedCall"] for counts in nested] == [1] * len(nested)


@pytest.mark.parametrize("name", ["keras-save", "keras-export"])
def test_convolutions_of_a_keras_model(name: str) -> None:
    before, after = (sum(checks.ops(path(name)).values(), Counter()) for path in (saved, optimized))
    assert (before["Conv2D"], after["Conv2D"]) == (2, 1)
    assert after["ReadVariableOp"] < before["ReadVariableOp"]


@pytest.mark.parametrize("function", ["features", "nested"])
def test_one_convolution_is_executed(function: str) -> None:
    def run(path: str) -> Any:
        loaded = tf.saved_model.load(path)
        return executed.call(getattr(loaded, function), tf.constant(IMAGE))

    (before, old), (after, new) = run(saved("service")), run(optimized("service"))
    checks.assert_same(before, after)
    assert (old["Conv2D"], old["ReadVariableOp"]) >= (CONVOLUTIONS, 2 * CONVOLUTIONS)
    assert (new["Conv2D"], new["ReadVariableOp"]) == (1, 2)


@pytest.mark.parametrize("name", ["v1-reference", "v1-resource"])
def test_one_convolution_is_executed_in_a_session(name: str) -> None:
    def run(path: str) -> Any:
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            tf.compat.v1.saved_model.load(session, [models_v1.SERVE], path)
            return executed.session_run(session, "features:0", {"image:0": IMAGE})

    (before, old), (after, new) = run(saved(name)), run(optimized(name))
    checks.assert_same(before, after)
    # Grappler merges what follows the one read of a reference variable, and no reads of a resource.
    assert (old["Conv2D"], new["Conv2D"]) == (CONVOLUTIONS if name == "v1-resource" else 1, 1)


@pytest.mark.parametrize("name", TF2)
def test_fingerprint_is_of_the_new_graph(name: str, caplog: pytest.LogCaptureFixture) -> None:
    read = tf.saved_model.experimental.read_fingerprint
    old, new = read(saved(name)), read(optimized(name))
    assert new.saved_model_checksum != old.saved_model_checksum
    same = ["signature_def_hash", "checkpoint_hash"]
    if len(checks.library(checks.serving(saved(name)))) == len(checks.library(checks.serving(optimized(name)))):
        same.append("saved_object_graph_hash")  # it names functions
    for field in same:
        assert getattr(new, field) == getattr(old, field)
    fresh = fingerprint_pb2.FingerprintDef.FromString(fingerprinting.CreateFingerprintDef(optimized(name)))
    assert new == tf.saved_model.experimental.Fingerprint.from_proto(fresh)
    logger = logging.getLogger("tensorflow")
    logger.addHandler(caplog.handler)
    try:
        tf.saved_model.load(optimized(name))
    finally:
        logger.removeHandler(caplog.handler)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_without_a_fingerprint_none_is_made() -> None:
    assert "fingerprint.pb" not in checks.tree(optimized("v1-resource"))
