"""Benchmarks: how fast merged programs run, and how the engine itself scales.

`python -m tools.bench.run` times programs with duplicate work four ways, in turns, in one process a pattern:

- *plain*: `tf.function`;
- *tfreuse*: `tfreuse.dedupe`, or a SavedModel written by `tfreuse.optimize_saved_model`;
- *ideal*: the hand-written twin, what a careful person would write, under `tf.function`;
- *xla*: the plain program under `tf.function(jit_compile=True)`.

`python -m tools.bench.scale` times the whole pipeline (parse, optimise, serialise) on synthetic graphs of
growing size, beside Grappler's own common subgraph elimination.

`python -m tools.bench.memory` holds the report's estimates of peak memory against what TensorFlow's allocators
recorded.

Machines differ and are shared, so the figures to read are ratios of times taken in turns in one run. Absolute
times are printed for orientation only. The convolution and read counts come from the graphs that TensorFlow
executed, after Grappler, and are exact.

To add a pattern: write `def name(batch: int) -> Variants` in a module of patterns, list it in `patterns.py`.
"""
