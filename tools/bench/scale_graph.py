"""Writes a synthetic GraphDef of a wanted size, wide and deep, about 38 % of it mergeable duplicates.

The graph is a square of lanes and blocks. A block takes its lane's value and computes, with its own weights,

    relu(conv(x, read) * scale), twice  ->  add  ->  multiply by x

which is 13 nodes, 5 of them duplicates (read, constant, convolution, product, relu). In the second copy the
product's operands are swapped. Every sixteenth block writes its variable after the two reads and then reads
it twice again, ordered by control edges: those two reads merge with each other, never with the first two. The
values written are equal constants, which merge across the whole graph; the scales differ from block to block.

Started by `scale.py`: a request on stdin, `{"nodes": N, "graph": path, "output": path}`.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf

OUTPUT = "output"
INPUT = "input"
CHANNELS = 4
WRITE_EVERY = 16
BLOCK = 13 + 7 / WRITE_EVERY
"""Nodes in a block, on average."""


def _templates() -> dict[str, Any]:
    """One node of each kind, with the attributes that TensorFlow itself writes."""
    v1 = tf.compat.v1
    with v1.Graph().as_default() as graph:
        shape = [1, 1, CHANNELS, CHANNELS]
        x = v1.placeholder(tf.float32, [1, 8, 8, CHANNELS], name=INPUT)
        handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=shape, shared_name="v", name="variable")
        weights = tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32, name="read")
        y = tf.raw_ops.Conv2D(input=x, filter=weights, strides=[1, 1, 1, 1], padding="SAME", name="conv")
        tf.constant(0.5, name="scale")
        tf.constant(0.25, shape=shape, name="value")
        tf.raw_ops.AssignVariableOp(resource=handle, value=weights, name="assign")
        tf.raw_ops.AddV2(x=y, y=y, name="add")
        tf.raw_ops.Mul(x=y, y=y, name="mul")
        tf.raw_ops.Relu(features=y, name="relu")
        tf.raw_ops.Identity(input=y, name="identity")
    templates = {node.name: node for node in graph.as_graph_def().node}
    for node in templates.values():
        del node.input[:]
    return templates


@dataclass
class Builder:
    """A growing GraphDef; `duplicates` counts the nodes that a perfect merge removes."""

    graph: Any = field(default_factory=tf.compat.v1.GraphDef)
    templates: dict[str, Any] = field(default_factory=_templates)
    duplicates: int = 0
    blocks: int = 0
    writes: int = 0

    def add(self, kind: str, name: str, *inputs: str) -> str:
        node = self.graph.node.add()
        node.CopyFrom(self.templates[kind])
        node.name = name
        node.input.extend(inputs)
        return name

    def block(self, prefix: str, x: str, *, writes: bool) -> str:
        """A block on value `x`; its result's name."""
        handle = self.add("variable", f"{prefix}/variable")
        self.graph.node[-1].attr["shared_name"].s = prefix.encode()
        reads = [self.add("read", f"{prefix}/read_{copy}", handle) for copy in (0, 1)]
        first = self._branch(f"{prefix}/0", x, reads[0], swapped=False)
        second = self._branch(f"{prefix}/1", x, reads[1], swapped=True)
        result = self.add("mul", f"{prefix}/product", self.add("add", f"{prefix}/sum", first, second), x)
        self.blocks += 1
        self.duplicates += 5
        if writes:
            value = self.add("value", f"{prefix}/value")
            assign = self.add("assign", f"{prefix}/assign", handle, value, *(f"^{read}" for read in reads))
            again = [self.add("read", f"{prefix}/reread_{copy}", handle, f"^{assign}") for copy in (0, 1)]
            weights = self.add("mul", f"{prefix}/squared", *again)
            result = self.add("conv", f"{prefix}/reconv", result, weights)
            result = self.add("identity", f"{prefix}/result", result)
            self.duplicates += 2 if self.writes else 1
            self.writes += 1
        return result

    def _branch(self, prefix: str, x: str, read: str, *, swapped: bool) -> str:
        factors = [self.add("conv", f"{prefix}/conv", x, read), self.add("scale", f"{prefix}/scale")]
        self.graph.node[-1].attr["value"].tensor.float_val[0] = 0.5 + self.blocks * 2.0**-20
        product = self.add("mul", f"{prefix}/mul", *(reversed(factors) if swapped else factors))
        return self.add("relu", f"{prefix}/relu", product)


def build(nodes: int) -> Builder:
    """A graph of about `nodes` nodes (within 2 % from 1000 on), from tensor `input:0` to `output:0`."""
    builder = Builder()
    builder.add("input", INPUT)
    blocks = max(1, round(nodes / BLOCK))
    lanes = max(1, round(math.sqrt(blocks)))
    ends = []
    for lane in range(lanes):
        x = INPUT
        for step in range(blocks // lanes + (lane < blocks % lanes)):
            x = builder.block(f"lane_{lane}/block_{step}", x, writes=(lane + step) % WRITE_EVERY == 0)
        ends.append(x)
    total = ends[0]
    for lane, end in enumerate(ends[1:]):
        total = builder.add("add", f"total_{lane}", total, end)
    builder.add("identity", OUTPUT, total)
    builder.graph.versions.producer = tf.version.GRAPH_DEF_VERSION
    return builder


def main() -> None:
    request = json.load(sys.stdin)
    builder = build(request["nodes"])
    data = builder.graph.SerializeToString()
    Path(request["graph"]).write_bytes(data)
    answer = {"nodes": len(builder.graph.node), "bytes": len(data), "duplicates": builder.duplicates}
    Path(request["output"]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
