"""Topological order, ancestors, back edges, checks, the networkx views."""

from __future__ import annotations

import random
from itertools import pairwise

import networkx as nx
import pytest

from tests.engine.build import EXACT, main_graph, module
from tfreuse.errors import GraphError
from tfreuse.ir.attrs import Attrs, attr_type
from tfreuse.ir.dtypes import NUMBERS
from tfreuse.ir.graph import ARGUMENT_OP, Graph, Module, Node, Value, check_edges
from tfreuse.ir.order import ancestors, is_ordered, topological
from tfreuse.ir.view import CONTROL_PORT, call_view, callees_first, graph_view
from tfreuse.pipeline.run import run_pipeline
from tfreuse.pipeline.text import parse_pipeline
from tfreuse.testing.schemas import snapshot_ops


def is_topological(graph: Graph, order: list[str]) -> bool:
    place = {name: index for index, name in enumerate(order)}
    return all(
        place[source] < place[node.name]
        for node in graph.nodes.values()
        for source in {value.node for value in node.inputs} | node.controls
    )


def test_a_list_that_is_in_order_keeps_its_order() -> None:
    graph = main_graph("b = Op()\na = Op(b)\nc = Op() ^a")
    assert topological(graph) == ["b", "a", "c"]


def test_any_list_is_put_in_order() -> None:
    names = [f"n{index}" for index in range(60)]
    source = random.Random(1)
    nodes = {}
    for index, name in enumerate(names):
        inputs = tuple(Value(source.choice(names[:index])) for _ in range(2)) if index else ()
        controls = frozenset(source.sample(names[:index], min(index, 2)))
        nodes[name] = Node(name, "Op", inputs, controls)
    for _ in range(5):
        shuffled = {name: nodes[name] for name in source.sample(names, len(names))}
        graph = Graph("", shuffled)
        order = topological(graph)
        assert sorted(order) == sorted(names)
        assert is_topological(graph, order)
        assert topological(graph) == order


def test_ancestors_are_found_through_data_and_control_edges_and_not_past_what_is_apart() -> None:
    graph = main_graph("a = Op()\nb = Op(a)\nc = Op() ^b\nd = Op(c)\ne = Op(a)\nf = Op(d, e)")
    assert ancestors(graph, ["f"]) == set("abcdef")
    assert ancestors(graph, ["d", "e"]) == set("abcde")
    assert ancestors(graph, ["b", "f"], frozenset("be")) == set("cdf")


@pytest.mark.parametrize(
    "text",
    [
        "a = Op(a)",
        "a = Op() ^a",
        "a = Op(b)\nb = Op(a)",
        "a = Op(b)\nb = Op() ^a",
        "s = Op()\na = Op(s, c)\nb = Op(a)\nc = Op(b)\nt = Op(c)",
        "a = Merge(b)\nb = Op(a)",
    ],
)
def test_a_cycle_is_refused(text: str) -> None:
    with pytest.raises(GraphError, match="cycle"):
        topological(main_graph(text))


@pytest.mark.parametrize("kind", ["", "Ref"])
def test_the_back_edge_of_a_loop_is_no_cycle(kind: str) -> None:
    graph = main_graph(f"n = {kind}NextIteration(m)\ne = Enter()\nm = {kind}Merge(e, n)")
    assert topological(graph) == ["e", "m", "n"]
    assert not is_ordered(graph.nodes)
    assert is_ordered({name: graph.nodes[name] for name in ("e", "m", "n")})


@pytest.mark.parametrize(
    "text",
    ["a = Op(b)", "a = Op() ^b", "a = Op()\noutput y = b", "a = Op()\ncontrol y = b", "a = Op()\nkept b"],
)
def test_a_dangling_reference_is_refused(text: str) -> None:
    with pytest.raises(GraphError, match="'b'"):
        check_edges(main_graph(text))


def test_roots_are_what_the_outside_refers_to() -> None:
    graph = main_graph("a = A()\nb = B()\nc = C()\nd = D()\ne = E()\nf = F()\n"
                       "argument a\noutput y = b:1\ncontrol z = c\nkept d\nfrozen e")  # fmt: skip
    assert graph.roots == {"a", "b", "c", "d", "e"}


def test_the_view_keeps_parallel_edges() -> None:
    view = graph_view(main_graph("x = Op()\ny = Mul(x, x:1) ^x"))
    edges = sorted((data["port"], data["slot"]) for _, _, data in view.edges(data=True))
    assert edges == [(CONTROL_PORT, CONTROL_PORT), (0, 0), (1, 1)]
    assert view.nodes["y"]["node"].op == "Mul"
    assert nx.is_frozen(view)


def test_the_view_of_a_part_has_the_edges_inside_it() -> None:
    view = graph_view(main_graph("x = Op()\ny = Op(x)\nz = Op(y) ^x"), only=["y", "z"])
    assert list(view.edges()) == [("y", "z")]


CALLS = """
graph ""
  a = StatefulPartitionedCall() {f: @"f"{}}
graph "f"
  b = g()
  c = StatefulPartitionedCall() {f: @"elsewhere"{}}
graph "g"
  n = NoOp()
graph "h"
  i = Case() {branches: [func: @"h"{}, @"g"{}]}
graph "k"
  l = l()
graph "l"
  k = k()
"""


def test_the_view_of_calls() -> None:
    edges = {(caller, callee) for caller, callee, _ in call_view(module(CALLS)).edges(keys=True)}
    assert edges == {("", "f"), ("f", "g"), ("h", "h"), ("h", "g"), ("k", "l"), ("l", "k")}


def test_callees_come_before_callers_and_recursion_is_one_group() -> None:
    groups = callees_first(module(CALLS))
    assert sorted(map(sorted, groups)) == [[""], ["f"], ["g"], ["h"], ["k", "l"]]
    flat = [name for group in groups for name in group]
    assert flat.index("g") < flat.index("f") < flat.index("")
    assert flat.index("g") < flat.index("h")


def chain(length: int, prefix: str) -> list[Node]:
    names = ["x", *(f"{prefix}{number}" for number in range(length))]
    attrs = Attrs({"T": attr_type(NUMBERS["float"])})
    return [Node(name, "Neg", (Value(source),), attrs=attrs) for source, name in pairwise(names)]


def graph_of(nodes: list[Node], output: str) -> Graph:
    every = [Node("x", ARGUMENT_OP), *nodes]
    return Graph("", {node.name: node for node in every}, ("x",), outputs=(("y", Value(output)),))


def test_a_long_chain_needs_no_recursion() -> None:
    length = 20_000
    last = (Value(f"a{length - 1}"), Value(f"b{length - 1}"))
    graph = graph_of([*chain(length, "a"), *chain(length, "b"), Node("y", "AddN", last)], "y")
    result = run_pipeline(Module({"": graph}), snapshot_ops(), parse_pipeline(EXACT), raise_failures=True)
    after = result.after.graphs[""]
    assert len(after.nodes) == length + 2
    assert after.nodes["y"].inputs == (last[0], last[0])


def test_a_long_chain_listed_backwards() -> None:
    nodes = chain(5_000, "a")
    graph = graph_of(nodes[::-1], nodes[-1].name)
    assert is_topological(graph, topological(graph))
