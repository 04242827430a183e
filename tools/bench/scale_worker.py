"""One tool over one graph, in a process of its own so that peak memory is the tool's.

Started by `scale.py`: a request on stdin, `{"tool": one of TOOLS, "graph": path, "output": path}`.
Importing TensorFlow and the tool is not timed; `import_mebibytes` is the peak memory once that is done.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import tensorflow as tf

from tools.bench.scale_graph import INPUT, OUTPUT, build

Optimiser = Callable[[Any], Any]


def _tfreuse(proof: bool) -> Optimiser:
    import tfreuse

    def optimise(graph: Any) -> Any:
        return tfreuse.optimize_graph_def(graph, outputs=[f"{OUTPUT}:0"], inputs=[f"{INPUT}:0"], proof=proof)[0]

    optimise(build(1).graph)  # lazy imports
    return optimise


def _grappler() -> Optimiser:
    """Grappler with `common_subgraph_elimination` alone, once over the graph."""
    from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2
    from tensorflow.python.grappler import tf_optimizer

    config = config_pb2.ConfigProto()
    options = config.graph_options.rewrite_options
    options.optimizers.append("common_subgraph_elimination")
    options.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    options.min_graph_nodes = -1

    def optimise(graph: Any) -> Any:
        meta = meta_graph_pb2.MetaGraphDef()
        meta.graph_def.CopyFrom(graph)
        meta.collection_def["train_op"].node_list.value.append(OUTPUT)
        return tf_optimizer.OptimizeGraph(config, meta, verbose=False)

    return optimise


TOOLS: dict[str, Callable[[], Optimiser]] = {
    "tfreuse": lambda: _tfreuse(proof=False),
    "with proof": lambda: _tfreuse(proof=True),
    "grappler": _grappler,
}


def _peak_mebibytes() -> float:
    """Peak resident memory of this process so far (Linux counts in KiB, macOS in bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def measure(tool: str, path: Path) -> dict[str, Any]:
    """Seconds of each phase from bytes to bytes, and of all that the system's own, peak memory, and node counts."""
    optimise = TOOLS[tool]()
    data, imported = path.read_bytes(), _peak_mebibytes()
    graph, clock = tf.compat.v1.GraphDef(), time.perf_counter
    started = resource.getrusage(resource.RUSAGE_SELF)
    times = [clock()]
    graph.ParseFromString(data)
    times.append(clock())
    optimised = optimise(graph)
    times.append(clock())
    written = optimised.SerializeToString()
    times.append(clock())
    ended = resource.getrusage(resource.RUSAGE_SELF)
    parse, optimisation, serialisation = (after - before for before, after in pairwise(times))
    return {
        "seconds": {
            "parse": parse,
            "optimise": optimisation,
            "serialise": serialisation,
            "total": times[-1] - times[0],
            "system": ended.ru_stime - started.ru_stime,
        },
        "peak_mebibytes": _peak_mebibytes(),
        "import_mebibytes": imported,
        "nodes_before": len(graph.node),
        "nodes_after": len(optimised.node),
        "bytes_before": len(data),
        "bytes_after": len(written),
    }


def main() -> None:
    request = json.load(sys.stdin)
    Path(request["output"]).write_text(json.dumps(measure(request["tool"], Path(request["graph"]))))


if __name__ == "__main__":
    main()
