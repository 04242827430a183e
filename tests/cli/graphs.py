"""Graphs and damaged models for the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from tests.offline import checks


def repeated(prefix: str = "") -> Any:
    """A `GraphDef` in which `y` adds two equal sines of the placeholder `x`; `prefix` begins the sines' names."""
    graph = tf.compat.v1.GraphDef()
    x = graph.node.add(name="x", op="Placeholder")
    x.attr["dtype"].type = tf.float32.as_datatype_enum
    for name in ("a", "b"):
        graph.node.add(name=f"{prefix}{name}", op="Sin", input=["x"]).attr["T"].type = 1
    graph.node.add(name="y", op="AddV2", input=[f"{prefix}a", f"{prefix}b"]).attr["T"].type = 1
    return graph


def rewritten(model: Path, change: Callable[[Any], None]) -> Path:
    """The model with its first graph changed."""
    proto = checks.read(str(model))
    change(proto.meta_graphs[0])
    (model / "saved_model.pb").write_bytes(proto.SerializeToString())
    return model
