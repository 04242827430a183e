"""Orders between reads and writes survive any merge of congruent nodes, by a check of reachability of its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.engine.build import analyses, main_graph
from tests.engine.programs import WRITES, Shape, modules
from tests.engine.test_soundness import OPS, examples
from tfreuse.analysis.analyses import Analyses
from tfreuse.analysis.effects import Summaries
from tfreuse.analysis.ordering import lost_orders
from tfreuse.ir.graph import Graph, Module
from tfreuse.ir.order import check_graph
from tfreuse.pipeline.rewriter import Rewriter

READS = ("ReadVariableOp", "ResourceGather")
PLAIN = Shape(calls=False, kept=False, nodes=12, stateful=12)


def before(graph: Graph) -> set[tuple[str, str]]:
    """All pairs (one, other) of nodes where one must run before the other."""
    pairs: set[tuple[str, str]] = set()
    for name in graph.nodes:
        work = [name]
        while work:
            node = graph.nodes[work.pop()]
            for source in {value.node for value in node.inputs} | node.controls:
                if (source, name) not in pairs:
                    pairs.add((source, name))
                    work.append(source)
    return pairs


@examples(250)
@given(modules(PLAIN), st.data())
def test_conflicting_accesses_keep_their_order(module: Module, data: st.DataObject) -> None:
    graph = module.graphs[""]
    found = Analyses(graph, Summaries(module, OPS))
    rewriter = Rewriter(graph, "test")
    for names in found.congruence.classes:
        chosen = data.draw(st.sets(st.sampled_from(names), min_size=2))
        survivor, *duplicates = [name for name in names if name in chosen]
        for duplicate in duplicates:
            rewriter.merge(duplicate, survivor)
    for read, write in lost_orders(graph, found.effects, found.order, rewriter.forward, rewriter.forward):
        rewriter.wait(write, read)
    after = rewriter.finish()
    check_graph(after)
    kept = before(after)
    accesses = [node for node in graph.nodes.values() if node.op in READS + WRITES]
    pairs = before(graph)
    for one in accesses:
        for other in accesses:
            # Two arguments may be one variable, so every write conflicts with every access.
            if (one.name, other.name) in pairs and (one.op in WRITES or other.op in WRITES):
                here, there = (rewriter.forward.get(node.name, node.name) for node in (one, other))
                assert (here, there) in kept, (one.name, other.name)


CHAIN = """
t = VarHandleOp() {dtype: float, shape: <>, shared_name: "t"}
u = VarHandleOp() {dtype: float, shape: <>, shared_name: "u"}
x = Const() {dtype: float, value: tensor(float, [], 1.0)}
q = ReadVariableOp(t) {dtype: float}
r1 = ReadVariableOp(u) {dtype: float}
r2 = ReadVariableOp(u) {dtype: float} ^q
w1 = AssignVariableOp(t, x) {dtype: float} ^r2
w2 = AssignVariableOp(u, x) {dtype: float} ^w1
"""


def lost(text: str, forward: dict[str, str]) -> list[tuple[str, str]]:
    found = analyses(text)
    return lost_orders(main_graph(text), found.effects, found.order, forward, forward)


def test_a_lost_order_is_found_for_the_resource_concerned() -> None:
    assert lost(CHAIN, {"r2": "r1"}) == [("q", "w1")]


def test_nothing_is_lost_without_a_merge() -> None:
    assert lost(CHAIN, {}) == []


def test_nothing_is_lost_where_the_survivor_waits_as_well() -> None:
    assert lost(CHAIN.replace("r1 = ReadVariableOp(u) {dtype: float}", "r1 = ReadVariableOp(u) {dtype: float} ^q"),
                {"r2": "r1"}) == []  # fmt: skip


def test_nothing_is_lost_where_the_write_waits_by_another_way() -> None:
    assert lost(CHAIN.replace("^r2", "^r2 ^q"), {"r2": "r1"}) == []
