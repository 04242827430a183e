"""Frozen TF1 graphs that others made: optimised, they give the bits that they gave before."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.framework import graph_pb2

import tfreuse
from tests.offline import checks, corpus
from tests.offline.models import normal

pytestmark = corpus.NEEDED
GRAPHS = corpus.frozen_graphs()
FED = {"X": normal(3, 784, seed=1), "keep_prob": 1.0}


def read(name: str) -> Any:
    """A graph of the corpus."""
    return graph_pb2.GraphDef.FromString((corpus.ROOT / name).read_bytes())


def run(graph_def: Any) -> Any:
    """The output for fixed inputs, computed as the graph is written."""
    config = tf.compat.v1.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(config=config) as session:
        tf.graph_util.import_graph_def(graph_def, name="")
        names = {operation.name for operation in graph.get_operations()}
        return session.run("output:0", {f"{name}:0": value for name, value in FED.items() if name in names})


@pytest.mark.parametrize("name", GRAPHS)
def test_same_bits(name: str) -> None:
    before = read(name)
    after, report = tfreuse.optimize_graph_def(before, outputs=["output"])
    assert before == read(name)
    assert report.failures == []
    checks.assert_same(run(before), run(after))


@pytest.mark.parametrize("name", GRAPHS)
def test_a_second_run_changes_nothing(name: str) -> None:
    once, _ = tfreuse.optimize_graph_def(read(name), outputs=["output"])
    twice, report = tfreuse.optimize_graph_def(once, outputs=["output"])
    assert report.merged == 0
    assert twice == once


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_unrolled_cells_share_their_constants(cell: str) -> None:
    before = read(f"tf2onnx/{cell}/frozen.pb")
    after, report = tfreuse.optimize_graph_def(before, outputs=["output"])
    assert set(report.to_dict()["totals"]["merged_ops"]) >= {"Const"}
    assert len(after.node) < 0.9 * len(before.node)
