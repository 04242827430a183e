"""Peak memory of one run, from what TensorFlow's allocators recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf


def peak_bytes(function: Any, arguments: Sequence[np.ndarray], threads: int = 0, grappler: bool = False) -> int:
    """The most bytes that the tensors and temporaries of one run of a concrete function took at once.

    `function` has no captures. Its graph runs in a session of its own on `threads` threads (0: as TensorFlow chooses),
    as it was traced (without Grappler, unless that is asked for). Arguments are not counted. The number of threads is
    that of the process's first session: whoever compares measures in processes of their own.
    """
    v1 = tf.compat.v1
    config = v1.ConfigProto(inter_op_parallelism_threads=threads, intra_op_parallelism_threads=1)
    if not grappler:
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        config.graph_options.optimizer_options.opt_level = v1.OptimizerOptions.L0
    options, metadata = v1.RunOptions(trace_level=v1.RunOptions.FULL_TRACE), v1.RunMetadata()
    with v1.Graph().as_default() as graph:
        fed = [v1.placeholder(argument.dtype, argument.shape) for argument in arguments]
        names = [tensor.op.name for tensor in function.inputs]
        wanted = [tensor.name for tensor in function.outputs]
        wired = dict(zip(names, fed, strict=True))
        fetched = tf.graph_util.import_graph_def(function.graph.as_graph_def(), wired, wanted, name="")
        with v1.Session(graph=graph, config=config) as session:
            feed = dict(zip(fed, arguments, strict=True))
            session.run(fetched, feed)  # kernels are made and constants kept by the first run
            session.run(fetched, feed, options=options, run_metadata=metadata)
    live = peak = 0
    records = (
        (record.alloc_micros, record.alloc_bytes)
        for device in metadata.step_stats.dev_stats
        for node in device.node_stats
        for memory in node.memory
        for record in memory.allocation_records
    )
    for _, change in sorted(records):
        live += change
        peak = max(peak, live)
    return peak
