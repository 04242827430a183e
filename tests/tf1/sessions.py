"""Runs graphs in sessions, step by step, as they are written."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from tests.offline.models_v1 import switch_and_merge
from tests.tf1.programs import PROGRAMS, Built

v1 = tf.compat.v1


@dataclass(frozen=True)
class Traced:
    """A program's graph, by names: `fed` with values, `outputs` to fetch, what initialises and trains."""

    graph_def: Any
    built: Built
    fed: dict[str, np.ndarray]
    outputs: tuple[str, ...]
    init: str
    train: str

    @property
    def roots(self) -> list[str]:
        """All that a user of the graph asks for."""
        return [*self.outputs, self.init, *([self.train] if self.train else [])]


@cache
def traced(name: str) -> Traced:
    """The graph of a program of `PROGRAMS`."""
    with switch_and_merge(), tf.Graph().as_default() as graph:
        built = PROGRAMS[name]()
        init = v1.global_variables_initializer().name
    train = "" if built.train is None else built.train.name
    fed = {tensor.name: value for tensor, value in built.fed.items()}
    return Traced(graph.as_graph_def(), built, fed, tuple(built.names), init, train)


def config() -> Any:
    """Without TensorFlow's own optimizers, which may round a shared graph differently, and with one thread."""
    found = v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    found.graph_options.rewrite_options.disable_meta_optimizer = True
    found.graph_options.optimizer_options.opt_level = v1.OptimizerOptions.L0
    return found


def ops(graph_def: Any) -> Counter[str]:
    """How many nodes of each op the graph has."""
    return Counter(node.op for node in graph_def.node)


def steps(program: Traced, graph_def: Any, rounds: int = 3) -> list[Any]:
    """The outputs of each round and, after its step of training, the variables."""
    found = []
    with tf.Graph().as_default() as graph, v1.Session(config=config()) as session:
        tf.graph_util.import_graph_def(graph_def, name="")
        session.run(program.init)
        for _ in range(rounds):
            found.append(session.run(list(program.outputs), program.fed))
            if program.train:
                session.run(program.train, program.fed)
            found.append(session.run(variables(graph)))
    return found


def variables(graph: Any) -> dict[str, Any]:
    """A tensor of the value of each variable of a graph, by name."""
    found = {}
    for op in list(graph.get_operations()):
        if op.type == "VarHandleOp":
            with graph.as_default():
                found[op.name] = tf.raw_ops.ReadVariableOp(resource=op.outputs[0], dtype=op.get_attr("dtype"))
        elif op.type == "VariableV2":
            found[op.name] = op.outputs[0]
    return found
