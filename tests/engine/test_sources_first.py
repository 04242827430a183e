"""Listing a graph's nodes behind what they need, with as little change as can be."""

from __future__ import annotations

import pytest

from tests.engine.build import main_graph
from tfreuse.errors import GraphError
from tfreuse.ir.order import is_ordered, sources_first


def test_an_ordered_graph_stays_as_it_is() -> None:
    graph = main_graph("a = _Arg() {T: float}\nb = Exp(a) {T: float}\nc = Neg(a) {T: float}")
    assert sources_first(graph) is graph


def test_sources_come_right_before_their_first_user() -> None:
    graph = main_graph(
        "a = _Arg() {T: float}\nb = Exp(a) {T: float}\nc = Neg(e) {T: float} ^f\nd = Sin(a) {T: float}\n"
        "e = Cos(f) {T: float}\nf = Exp(a) {T: float}"
    )
    listed = sources_first(graph)
    assert list(listed.nodes) == ["a", "b", "f", "e", "c", "d"]
    assert is_ordered(listed.nodes) and listed.nodes == graph.nodes


def test_a_cycle_is_told() -> None:
    with pytest.raises(GraphError, match="cycle"):
        sources_first(main_graph("a = Exp(b) {T: float}\nb = Neg(a) {T: float}"))
