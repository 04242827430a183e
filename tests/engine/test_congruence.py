"""Value numbers do not depend on the order in which nodes are listed; what they see of control inputs."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.build import analyses, module
from tests.engine.programs import Shape, modules
from tests.engine.test_soundness import OPS, examples
from tfreuse.analysis import memory
from tfreuse.analysis.analyses import Analyses
from tfreuse.analysis.effects import Summaries
from tfreuse.ir.graph import Graph, Module
from tfreuse.ir.text import print_module
from tfreuse.pipeline.run import run_pipeline
from tfreuse.pipeline.text import parse_pipeline


def classes(graph: Graph, whole: Module) -> set[frozenset[str]]:
    found = list(Analyses(graph, Summaries(whole, OPS)).congruence.classes)
    return {frozenset(names) for names in found}


@examples(100)
@given(modules(Shape(handles=True)), st.integers(0, 1000))
def test_classes_do_not_depend_on_list_order(whole: Module, seed: int) -> None:
    graph = whole.graphs[""]
    shuffled = random.Random(seed).sample(list(graph.nodes), len(graph.nodes))
    other = graph.evolve({name: graph.nodes[name] for name in shuffled})
    assert classes(graph, whole) == classes(other, whole)


@examples(100)
@given(modules(Shape(kept=False)))
def test_as_many_nodes_are_left_in_any_order(whole: Module) -> None:
    def counts(found: Module) -> Counter[str]:
        after = run_pipeline(found, OPS, parse_pipeline("dedupe-reads,cse,dedupe-constants")).after
        return Counter(node.op for node in after.graphs[""].nodes.values())

    graph = whole.graphs[""]
    backwards = graph.evolve({name: graph.nodes[name] for name in reversed(list(graph.nodes))})
    assert counts(whole) == counts(Module({**whole.graphs, "": backwards}))


TEXT = """
x = _Arg()
s = _Arg()
a = Exp(x) {T: float}
b = Neg(a) {T: float}
p = PrintV2(s)
c = Exp(x) {T: float} ^p
d = Neg(c) {T: float}
e = Exp(x) {T: float}
f = Neg(e) {T: float}
argument x
argument s
"""


def test_classes_list_their_members_in_topological_order() -> None:
    found = analyses(TEXT)
    assert list(found.congruence.classes) == [["a", "e"], ["b", "f"]]
    number = found.congruence.number
    assert number["a"] == number["e"]
    assert number["b"] == number["f"] != number["d"]


def test_what_went_is_no_member_any_more() -> None:
    assert list(analyses(TEXT).congruence.without({"e"}).classes) == [["b", "f"]]


def test_ports_of_nodes_with_many_outputs_stay_apart() -> None:
    text = "x = _Arg()\nd = _Arg()\ns = Split(d, x) {T: float, num_split: 300}\n"
    text += "".join(f"n{port} = Neg(s:{port}) {{T: float}}\n" for port in range(300))
    assert list(analyses(text).congruence.classes) == []


def test_the_effects_before_a_node_are_told_by_name() -> None:
    text = "s = _Arg()\nv = _Arg()\np = PrintV2(s)\nq = PrintV2(s) ^p\nr = ReadVariableOp(v) ^q\nn = NoOp() ^r"
    found = analyses(text).memory
    assert found.effects_of(found.of("r").effects) == ["p", "q"]
    assert found.effects_of(found.of("n").effects) == ["p", "q"]
    assert found.of("p") == memory.NO_STATE


def test_with_too_many_effects_control_inputs_are_compared_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "s = _Arg()\nx = _Arg()\np = PrintV2(s)\nq = PrintV2(s) ^p\n"
    text += "a = Neg(x) {T: float} ^p ^q\nb = Neg(x) {T: float} ^q\nc = Neg(x) {T: float} ^q"
    assert list(analyses(text).congruence.classes) == [["a", "b", "c"]]
    monkeypatch.setattr(memory, "MAX_EFFECTS", 1)
    assert list(analyses(text).congruence.classes) == [["b", "c"]]


def test_analyses_of_an_unchanged_graph_are_the_same() -> None:
    found = analyses(TEXT)
    assert found.after(found.graph, frozenset(), set()) is found
    assert found.congruence is found.congruence


def test_the_text_of_a_result_is_the_same_in_every_run() -> None:
    whole = module(TEXT)
    texts = {print_module(run_pipeline(whole, OPS, parse_pipeline("cse")).after) for _ in range(5)}
    assert len(texts) == 1
