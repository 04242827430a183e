"""The rewriter refuses edits that contradict each other, and its journal says what it did."""

from __future__ import annotations

import pytest

from tests.engine.build import main_graph
from tfreuse.errors import GraphError
from tfreuse.ir.dtypes import NUMBERS
from tfreuse.ir.graph import Node, Value
from tfreuse.pipeline.rewriter import Edit, Rewriter

FLOAT = NUMBERS["float"]
GRAPH = """
x = _Arg()
a = Exp(x) {T: float}
b = Exp(x) {T: float}
c = Exp(x) {T: float}
y = Sub(a, b) {T: float} ^c
argument x
output y = y
kept c
frozen a
"""


def rewriter(text: str = GRAPH) -> Rewriter:
    return Rewriter(main_graph(text), "test")


def test_a_merge_redirects_and_is_journalled() -> None:
    edits = rewriter()
    edits.merge("b", "a")
    after = edits.finish()
    assert "b" not in after.nodes
    assert after.nodes["y"].inputs == (Value("a"), Value("a"))
    assert edits.journal == [Edit("merge", "b", "a", "test")]


def test_without_edits_the_graph_itself_comes_back() -> None:
    edits = rewriter()
    assert edits.finish() is edits.graph


@pytest.mark.parametrize(
    ("duplicate", "survivor"),
    [("b", "b"), ("a", "b"), ("x", "a"), ("c", "a")],
    ids=["itself", "frozen", "an argument", "public"],
)
def test_what_must_stay_is_not_merged(duplicate: str, survivor: str) -> None:
    with pytest.raises(GraphError, match="cannot merge"):
        rewriter().merge(duplicate, survivor)


def test_nothing_is_merged_twice_or_into_what_is_gone() -> None:
    edits = rewriter()
    edits.merge("b", "a")
    with pytest.raises(GraphError, match="merged already"):
        edits.merge("b", "a")
    with pytest.raises(GraphError, match="merged already"):
        edits.merge("c", "b", FLOAT)


def test_an_alias_keeps_the_name() -> None:
    edits = rewriter()
    edits.merge("c", "b", FLOAT)
    after = edits.finish()
    assert after.nodes["c"].op == "Identity"
    assert after.nodes["c"].inputs == (Value("b"),)
    assert after.nodes["c"].attrs.value("T") == FLOAT
    assert edits.journal == [Edit("alias", "c", "b", "test")]


def test_what_the_outside_refers_to_is_not_removed() -> None:
    for name in ("x", "a", "c", "y"):
        with pytest.raises(GraphError, match="cannot remove"):
            rewriter().remove(name)
    edits = rewriter()
    edits.remove("b")
    assert "b" not in edits.finish().nodes


def test_an_edge_is_added_once() -> None:
    edits = rewriter()
    assert edits.wait("y", "a")
    assert not edits.wait("y", "a")
    assert edits.finish().nodes["y"].controls == {"a", "c"}
    assert edits.journal == [Edit("order", "y", "a", "test")]


def test_edits_stack() -> None:
    first = rewriter()
    first.merge("b", "a")
    second = Rewriter(first.graph, "second", first)
    second.merge("c", "a", FLOAT)
    assert second.forward == {"b": "a", "c": "a"}
    assert [edit.by for edit in second.journal] == ["second"]
    assert set(second.finish().nodes) == {"x", "a", "c", "y"}
    assert set(first.finish().nodes) == {"x", "a", "c", "y"}
    assert first.finish().nodes["c"].op == "Exp"


def test_control_outputs_name_a_node_once() -> None:
    edits = rewriter("a = NoOp()\nb = NoOp()\nc = NoOp()\ncontrol p = a\ncontrol q = b\ncontrol r = c")
    edits.merge("b", "a")
    assert edits.finish().control_outputs == (("p", "a"), ("r", "c"))


def test_a_control_edge_stays_where_it_comes_to_stand_beside_a_data_edge() -> None:
    edits = rewriter("a = Exp()\nb = Exp()\ny = Neg(a) ^b\nz = Neg(a) ^a")
    edits.merge("b", "a")
    after = edits.finish()
    assert after.nodes["y"].controls == {"a"}
    assert after.nodes["z"].controls == {"a"}


def test_a_new_node_stands_in_front_of_the_named_one_and_takes_over() -> None:
    edits = rewriter()
    edits.add(Node("n", "Exp", (Value("x"),), attrs=edits.graph.nodes["b"].attrs), "b")
    edits.add(Node("m", "Neg", (Value("n"),), frozenset({"b"})), "y")
    edits.merge("b", "n")
    after = edits.finish()
    assert list(after.nodes) == ["x", "a", "n", "c", "m", "y"]
    assert after.nodes["y"].inputs == (Value("a"), Value("n"))
    assert after.nodes["m"].controls == {"n"}
    assert [(edit.kind, edit.node) for edit in edits.journal] == [("add", "n"), ("add", "m"), ("merge", "b")]
    assert "n" not in edits.graph.nodes


def test_new_nodes_stack_and_are_abandoned() -> None:
    first = rewriter()
    first.add(Node("n", "Exp", (Value("x"),)), "y")
    second = Rewriter(first.graph, "second", first)
    second.add(Node("m", "Neg", (Value("n"),)), "y")
    assert set(second.finish().nodes) - set(first.finish().nodes) == {"m"}
    second.abandon()
    assert set(second.finish().nodes) == set(first.finish().nodes)


@pytest.mark.parametrize(
    ("node", "before", "message"),
    [
        (Node("a", "Exp"), "y", "such a node already"),
        (Node("n", "Exp"), "z", "no such node"),
        (Node("n", "Exp", (Value("z"),)), "y", "no such node"),
        (Node("n", "Exp", controls=frozenset({"z"})), "y", "no such node"),
    ],
    ids=["a taken name", "no place", "no operand", "no control input"],
)
def test_a_new_node_that_does_not_fit_is_refused(node: Node, before: str, message: str) -> None:
    with pytest.raises(GraphError, match=f"cannot .*{message}"):
        rewriter().add(node, before)
