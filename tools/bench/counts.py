"""What TensorFlow really ran: op counts in the graphs after Grappler, from run metadata."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tensorflow.python.eager import context

READS = frozenset({"ReadVariableOp", "_ReadVariablesOp", "ResourceGather", "ResourceGatherNd"})


@dataclass(frozen=True)
class Counts:
    """Ops in the executed graphs. The body of a loop counts once, both branches of a condition count."""

    convolutions: int
    """Forward convolutions: any type with Conv2D in its name, `_FusedConv2D` too, but no backprop."""
    backprops: int
    """Conv2DBackpropFilter and Conv2DBackpropInput."""
    reads: int
    """Reads of resource variables."""
    nodes: int


def count_first_call(call: Callable[[], Any]) -> tuple[Any, Counts]:
    """Result and counts of `call()`, which must not have run before.

    TensorFlow hands the graphs over once, when it instantiates a function: later calls would count nothing.
    """
    eager = context.context()
    eager.enable_run_metadata()
    try:
        eager.export_run_metadata()  # graphs of earlier functions, still queued
        result = call()
        metadata = eager.export_run_metadata()
    finally:
        eager.disable_run_metadata()
    types = [node.op for graph in metadata.function_graphs for node in graph.post_optimization_graph.node]
    convolutions = [op for op in types if "Conv2D" in op]
    backprops = sum("Backprop" in op for op in convolutions)
    reads = sum(op in READS for op in types)
    return result, Counts(len(convolutions) - backprops, backprops, reads, len(types))
