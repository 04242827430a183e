"""The proof of shared windows: it accepts what the pass does, and refuses every small change of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.constants import int32_constant, int32_tensor, whole_numbers
from tfreuse.ir.graph import Graph, Node, Value
from tfreuse.pipeline.run import GraphResult, Result, run_pipeline
from tfreuse.pipeline.text import parse_pipeline
from tfreuse.testing.golden import read_case
from tfreuse.testing.schemas import snapshot_ops
from tfreuse.validate.proved import check_result, witness_of
from tfreuse.validate.touches import Touches
from tfreuse.validate.translation import prove
from tfreuse.validate.witness import Refusal

CASES = Path(__file__).parents[1] / "engine" / "cases" / "overlap"
SHARED = sorted(path.stem for path in CASES.glob("*.txt") if "overlap-shared" in path.read_text("utf-8"))

UNIFORM = Attrs({"T": Attr("type", 3), "dtype": Attr("type", 1)})


def rewritten(name: str) -> Result:
    case = read_case(CASES / f"{name}.txt")
    return run_pipeline(case.before, snapshot_ops(), parse_pipeline(case.pipeline), raise_failures=True)


def judged(result: Result, after: Graph) -> Refusal | None:
    found = result.graphs[""]
    changed = GraphResult(found.before, after, found.journal, found.equal)
    return prove(found.before, after, witness_of(changed), Touches(result.before, result.ops), result.ops)


def with_node(graph: Graph, node: Node) -> Graph:
    return graph.evolve({**graph.nodes, node.name: node})


def wrong_numbers(result: Result) -> Iterator[tuple[str, Graph]]:
    """Every new index and size, one more and one less."""
    found = result.graphs[""]
    for name, node in found.after.nodes.items():
        if name in found.before.nodes or node.op != "Const":
            continue
        tensor = node.attrs.value("value")
        numbers = whole_numbers(tensor)
        assert numbers is not None
        for place, number in enumerate(numbers):
            for wrong in (number - 1, number + 1):
                changed = (*numbers[:place], wrong, *numbers[place + 1 :])
                value = Attr("tensor", int32_tensor(tensor.shape, changed))
                yield (
                    f"{name}[{place}] = {wrong}",
                    with_node(found.after, node._replace(attrs=node.attrs.updated({"value": value}))),
                )


def wrong_nodes(result: Result) -> Iterator[tuple[str, Graph]]:
    """New nodes with another attribute, operand or op, and cuts that are exchanged."""
    found = result.graphs[""]
    after = found.after
    new = [node for name, node in after.nodes.items() if name not in found.before.nodes and node.op != "Const"]
    for node in new:
        if node.op == "Conv2D":
            strides = ("i", (1, 2, 1, 1)) if node.attrs.value("strides")[1][1] == 1 else ("i", (1, 1, 1, 1))
            yield (
                "stride",
                with_node(after, node._replace(attrs=node.attrs.updated({"strides": Attr("list", strides)}))),
            )
            padding = b"VALID" if node.attrs.value("padding") == b"SAME" else b"SAME"
            yield "padding", with_node(after, node._replace(attrs=node.attrs.updated({"padding": Attr("s", padding)})))
            yield "operand", with_node(after, node._replace(inputs=(node.inputs[0], node.inputs[0])))
        if node.op == "Relu":
            yield "op", with_node(after, node._replace(op="Tanh"))
        if node.op in ("Conv2D", "Relu"):  # what only chooses gives the same bits anywhere
            yield "device", with_node(after, node._replace(device="/device:CPU:1"))
        yield "control", with_node(after, node._replace(controls=frozenset(after.arguments)))
        if "T" in node.attrs:
            yield "type", with_node(after, node._replace(attrs=node.attrs.updated({"T": Attr("type", 2)})))
    rearranged = [node for node in new if node.op in ("SpaceToBatchND", "BatchToSpaceND")]
    for rate in (1, 3) if rearranged else ():
        changed = with_node(after, int32_constant("another_rate", (1,), (rate,)))
        for node in rearranged:
            changed = with_node(changed, node._replace(inputs=(node.inputs[0], Value("another_rate"), node.inputs[2])))
        yield f"rate {rate}", changed
    cuts = [node for node in new if node.name.rpartition("/")[2].startswith("window") and node.op == "Slice"]
    used = {value.node for node in after.nodes.values() for value in node.inputs} | {v.node for _, v in after.outputs}
    for one, other in pairwise(cuts):
        if one.inputs != other.inputs and one.inputs[0] == other.inputs[0] and one.name in used:
            yield "exchanged", with_node(after, one._replace(inputs=other.inputs))


@pytest.mark.parametrize("name", SHARED)
def test_what_the_pass_does_is_proved(name: str) -> None:
    result = rewritten(name)
    assert judged(result, result.graphs[""].after) is None
    check_result(result, raise_failures=True)


@pytest.mark.parametrize("name", SHARED)
def test_every_wrong_number_is_refused(name: str) -> None:
    result = rewritten(name)
    count = 0
    before = result.graphs[""].before.nodes
    larger = 0
    for what, after in wrong_numbers(result):
        count += 1
        if judged(result, after) is not None:
            continue
        # The one thing that may be larger is the union: then more is computed than is needed, and the same is cut out.
        size = what.partition("[")[0]
        (window,) = [n for n in after.nodes.values() if n.op == "Slice" and n.inputs[2].node == size]
        old = result.graphs[""].after.nodes[size].attrs.value("value")
        assert window.inputs[0].node in before, what
        assert sum(whole_numbers(after.nodes[size].attrs.value("value")) or ()) == sum(whole_numbers(old) or ()) + 1
        larger += 1
    print(f"{name}: {count} wrong numbers, all refused but {larger} unions that are larger than need be")
    assert count >= 8
    assert larger <= 3


@pytest.mark.parametrize("name", SHARED)
def test_every_wrong_node_is_refused(name: str) -> None:
    result = rewritten(name)
    found = list(wrong_nodes(result))
    assert len(found) > 3
    for what, after in found:
        assert judged(result, after) is not None, what


def test_a_node_that_is_only_added_is_no_harm() -> None:
    result = rewritten("clips")
    after = result.graphs[""].after
    assert (
        judged(result, with_node(after, Node("idle", "Relu", (Value("x"),), attrs=Attrs({"T": Attr("type", 1)}))))
        is None
    )
    counter = Node("ask", "RandomUniform", (Value("c0/size"),), attrs=UNIFORM)
    refusal = judged(result, with_node(after, counter))
    assert refusal is not None and "no function of its operands" in refusal.reason


def test_a_claim_without_the_lemma_is_refused() -> None:
    result = rewritten("clips")
    found = result.graphs[""]
    journal = [edit._replace(lemma="") for edit in found.journal]
    changed = GraphResult(found.before, found.after, journal, found.equal)
    refusal = prove(found.before, found.after, witness_of(changed), Touches(result.before, result.ops), result.ops)
    assert refusal is not None
