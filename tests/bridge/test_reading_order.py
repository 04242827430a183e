"""What the reader says of the order of nodes spares a check, so it must never be said of a list that has none."""

from __future__ import annotations

import pytest
import tensorflow as tf
from google.protobuf import text_format

from tfreuse.bridge.module import MAIN, ops_of, read_module
from tfreuse.errors import GraphError
from tfreuse.ir.graph import Graph
from tfreuse.ir.order import topological

FLOAT = 'attr { key: "T" value { type: DT_FLOAT } }'
X = 'node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } }'


def node(name: str, op: str, *inputs: str) -> str:
    return f'node {{ name: "{name}" op: "{op}" {" ".join(f"input: {i!r}" for i in inputs)} {FLOAT} }}'


def read(*nodes: str) -> Graph:
    graph_def = tf.compat.v1.GraphDef()
    text_format.Parse("\n".join(nodes), graph_def)
    return read_module(graph_def, ops_of(graph_def), strict=True).graphs[MAIN]


def test_a_list_in_order_is_known_to_be() -> None:
    graph = read(X, node("y", "Relu", "x"), node("z", "Add", "y:0", "x", "^x"))
    assert graph.known_ordered
    assert topological(graph) == ["x", "y", "z"]


@pytest.mark.parametrize(
    "late",
    [
        (node("y", "Relu", "x"), X),
        (node("y", "Relu", "x:0"), X),
        (X, node("y", "Relu", "x", "^w"), node("w", "Relu", "x")),
        (X, node("y", "Add", "w", "x"), node("z", "Relu", "w"), node("w", "Relu", "x")),
    ],
    ids=["bare name", "name and port", "control input", "twice"],
)
def test_a_list_out_of_order_is_put_in_order(late: tuple[str, ...]) -> None:
    graph = read(*late)
    assert not graph.known_ordered
    order = topological(graph)
    for name, found in graph.nodes.items():
        sources = {value.node for value in found.inputs} | found.controls
        assert all(order.index(source) < order.index(name) for source in sources)


@pytest.mark.parametrize("text", ["y", "y:0", "^y"])
def test_a_node_that_uses_itself_is_a_cycle(text: str) -> None:
    with pytest.raises(GraphError, match="cycle"):
        read(X, node("y", "AddN", "x", text) if text == "^y" else node("y", "Add", "x", text))


def test_a_source_that_is_not_there_is_found() -> None:
    with pytest.raises(GraphError, match="'ghost'"):
        read(X, node("y", "Add", "x", "ghost:0"))
