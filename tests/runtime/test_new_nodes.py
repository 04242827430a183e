"""Nodes that a pass adds reach every door: live graphs, graphs in hand and library functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

import tfreuse
from tfreuse.ir.graph import Node
from tfreuse.pipeline.passes import Context, Pass
from tfreuse.pipeline.rewriter import Rewriter

KERNEL = np.array([[0.5, -0.0, 2.0], [1.0, 3.0, 3.0]], np.float32)


@dataclass(frozen=True)
class Renew(Pass):
    """Puts a new node in the place of every MatMul and constant, with all that the old one says."""

    def candidates(self, context: Context) -> Iterable[str]:
        ops = ("MatMul", "Const", "ReadVariableOp")
        return [node.name for node in context.graph.nodes.values() if node.op in ops]

    def apply(self, context: Context, candidate: str, rewriter: Rewriter) -> None:
        node = context.graph.nodes[candidate]
        inputs = tuple(value._replace(node=rewriter.forward.get(value.node, value.node)) for value in node.inputs)
        rewriter.add(Node(f"new/{node.name}", node.op, inputs, node.controls, node.attrs, node.device), candidate)
        rewriter.merge(candidate, f"new/{node.name}")


def program(x: tf.Tensor) -> tf.Tensor:
    return tf.exp(x @ tf.constant(KERNEL.T)) + tf.zeros([2, 2])


def test_a_live_graph_computes_with_the_new_operations() -> None:
    weights = tf.Variable(KERNEL.T)

    def step(x: tf.Tensor) -> tf.Tensor:
        return program(x) + x @ weights

    plain, rewired = tf.function(step), tfreuse.dedupe(step, pipeline=(Renew(),), proof=False, on_error="raise")
    x = tf.constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        expected, found = plain(x), rewired(x)
    assert np.array_equal(expected, found)
    for source in (x, weights):
        assert np.array_equal(tape.gradient(expected, source), tape.gradient(found, source))
    graph = rewired.get_concrete_function(x).graph
    new = [op for op in graph.get_operations() if op.name.startswith("new/")]
    assert {op.type for op in new} == {"MatMul", "Const", "ReadVariableOp"}
    old = [op for op in graph.get_operations() if op.type == "MatMul" and op not in new]
    assert old and not any(tensor.consumers() for op in old for tensor in op.outputs)
    assert rewired.report.to_dict()["totals"]["merged"] == len(new)


def test_a_graph_and_its_functions_are_written_with_the_new_nodes() -> None:
    concrete = tf.function(lambda x: tf.function(program)(x) * tf.constant(2.0)).get_concrete_function(
        tf.TensorSpec([2, 3])
    )
    graph_def = concrete.graph.as_graph_def()
    fed, fetched = concrete.inputs[0].name, concrete.outputs[0].name
    rewritten, report = tfreuse.optimize_graph_def(
        graph_def, outputs=[fetched], inputs=[fed], pipeline=(Renew(),), proof=False
    )
    x = np.arange(6, dtype=np.float32).reshape(2, 3)

    def run(found: Any) -> Any:
        with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
            tf.import_graph_def(found, name="")
            return session.run(fetched, {fed: x})

    assert np.array_equal(run(graph_def), run(rewritten))
    bodies = [rewritten.node, *(f.node_def for f in rewritten.library.function)]
    assert all(node.name.startswith("new/") for body in bodies for node in body if node.op in ("MatMul", "Const"))
    assert sum(node.op == "MatMul" for body in bodies for node in body) == 1
    for body in bodies:  # inputs stand in front of their users
        seen: set[str] = set()
        names = {node.name for node in body}
        for node in body:
            used = {text.lstrip("^").split(":")[0] for text in node.input} & names
            assert used <= seen
            seen.add(node.name)
    assert report.to_dict()["totals"]["merged"] >= 3
