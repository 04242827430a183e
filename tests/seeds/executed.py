"""What TensorFlow ran, from run metadata, and what a report says, as counters of op types.

Fused and oneDNN kernels count as the op that was written: `_FusedConv2D` and `_MklNativeConv2D` are `Conv2D`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

import tfreuse

KERNEL = re.compile(r"_(?:MklNative|Mkl)?(?:Fused)?(Conv2D\w*|MatMul)")


def written(op: str) -> str:
    """The op a kernel stands for: `_FusedMatMul` -> `MatMul`."""
    match = KERNEL.fullmatch(op)
    return match[1] if match else op


def count(nodes: Iterable[Any]) -> Counter[str]:
    return Counter(written(node.op) for node in nodes)


def call(fn: Callable[..., Any], *args: Any) -> tuple[Any, Counter[str]]:
    """Run `fn` and count the ops of the graphs that TensorFlow executed, after Grappler.

    Graphs are recorded when a function is instantiated, so the kernel cache is dropped first; a function
    that `fn` calls twice is counted once. Once recording was on, TensorFlow goes on collecting while it is
    off, so what has piled up is dropped too.
    """
    context.enable_run_metadata()
    try:
        context.export_run_metadata()
        context.context().clear_kernel_cache()
        result = fn(*args)
        metadata = context.export_run_metadata()
    finally:
        context.disable_run_metadata()
    total: Counter[str] = Counter()
    for graphs in metadata.function_graphs:
        total += count(graphs.post_optimization_graph.node)
    assert total, "nothing was recorded"
    return result, total


def compare(fn: Callable[..., Any], *args: Any) -> tuple[Counter[str], Counter[str], Any]:
    """Run `fn` plain and shared, with equal outputs: the executed ops of both, and the report."""
    plain, before = call(tf.function(fn), *args)
    shared_fn = tfreuse.dedupe(fn)
    shared, after = call(shared_fn, *args)
    assert_same(plain, shared)
    return before, after, shared_fn.report


def session_run(session: Any, fetches: Any, feed: dict[Any, Any]) -> tuple[Any, Counter[str]]:
    """`session.run` and the ops of the partitions that it executed."""
    v1 = tf.compat.v1
    metadata = v1.RunMetadata()
    options = v1.RunOptions(output_partition_graphs=True)
    result = session.run(fetches, feed, options=options, run_metadata=metadata)
    return result, count(node for graph in metadata.partition_graphs for node in graph.node)


def functions(report: Any, op: str) -> list[dict[str, Any]]:
    """The functions of a report that held `op` before."""
    return [entry for entry in report.to_dict()["functions"] if entry["ops"]["before"].get(op)]


def reported(report: Any, op: str) -> tuple[int, int]:
    """How many `op` a report counts before and after, over all its functions."""
    entries = report.to_dict()["functions"]
    return tuple(sum(entry["ops"][when].get(op, 0) for entry in entries) for when in ("before", "after"))


def regions(report: Any, op: str) -> list[dict[str, Any]]:
    """The merged regions that hold `op`."""
    return [r for entry in report.to_dict()["functions"] for r in entry["regions"] if r["ops"].get(op)]


def missed(report: Any, remark: str) -> list[dict[str, Any]]:
    """What was not merged for the reason with the id `remark`."""
    return [m for entry in report.to_dict()["functions"] for m in entry["missed"] if m["id"] == remark]


def assert_same(left: Any, right: Any) -> None:
    """Bitwise equal, structure by structure (so that 0.0 is not -0.0 and a NaN is itself)."""
    tf.nest.assert_same_structure(left, right, expand_composites=True)
    pairs = zip(tf.nest.flatten(left), tf.nest.flatten(right), strict=True)
    for one, other in ((np.asarray(a), np.asarray(b)) for a, b in pairs):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()


def assert_close(left: Sequence[Any], right: Sequence[Any], relative: float = 1e-5) -> None:
    """Equal up to rounding, relative to the largest element of each tensor."""
    for one, other in ((np.asarray(a), np.asarray(b)) for a, b in zip(left, right, strict=True)):
        np.testing.assert_allclose(one, other, rtol=0, atol=relative * float(np.abs(other).max()))


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """A float32 array that is the same in each run."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
