"""Random wrong rewrites of random programs: whatever the proof accepts shows nothing that could not be seen before.

Set TFREUSE_FUZZ to a number of examples to search for longer, with other examples each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.build import module as build
from tests.engine.interpreter import Term, TooManySchedules, expand, outcomes
from tests.engine.programs import Shape, modules
from tests.engine.test_soundness import DISTINCT, MEMORY, OPS, examples
from tests.validate.mutations import rewrites
from tfreuse.ir.graph import Graph, Module
from tfreuse.ir.text import print_module
from tfreuse.validate.touches import Touches
from tfreuse.validate.translation import prove
from tfreuse.validate.witness import Witness

ONE = {"a": "a", "b": "a"}
"""One variable in both arguments."""
SHAPES = {
    "ordered": Shape(ordered=True),
    "racing": Shape(),
    "handles": Shape(ordered=True, handles=True),
    "races of named variables": Shape(handles=True),
    "memory": Shape(calls=False, kept=False, ops=MEMORY),
    "small": Shape(calls=False, nodes=6, stateful=5),
}
COUNTS: Counter[str] = Counter()


@pytest.fixture(scope="module", autouse=True)
def counts() -> Iterator[None]:
    """Says what the search did (`pytest -s`)."""
    yield
    print("\n" + ", ".join(f"{name}: {count}" for name, count in sorted(COUNTS.items())))


def outcome_sets(before: Module, after: Module, resources: dict[str, str]) -> tuple[set[Term], set[Term]] | None:
    terms: dict[Term, int] = {}
    try:
        return outcomes(expand(before, "", resources), terms), outcomes(expand(after, "", resources), terms)
    except TooManySchedules:
        return None


def check(found: tuple[Module, Graph, Witness, Counter[str]]) -> None:
    module, after, witness, done = found
    before = module.graphs[after.name]
    touches = Touches(module, OPS)
    refusal = prove(before, after, witness, touches, OPS)
    COUNTS["refused" if refusal else "accepted"] += 1
    if refusal is not None:
        return
    if after != before:
        COUNTS["accepted and changed"] += 1
    rewritten = Module({**module.graphs, after.name: after}, module.opaque)
    for resources in (DISTINCT, ONE):
        if resources is ONE and expand(module, "", ONE).has_race():
            continue  # two arguments count as two where something races
        sets = outcome_sets(module, rewritten, resources)
        COUNTS["compared" if sets else "too many schedules"] += 1
        if sets is not None:
            told = f"{done} {witness}\n--- before\n{print_module(module)}\n--- after\n{print_module(rewritten)}"
            assert sets[1] <= sets[0], told


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_accepted_shows_nothing_new(shape: str) -> None:
    @examples(150)
    @given(rewrites(modules(SHAPES[shape])))
    def search(found: tuple[Module, Graph, Witness, Counter[str]]) -> None:
        check(found)

    search()


@pytest.mark.parametrize("shape", ["ordered", "memory"])
def test_the_search_reaches_both_verdicts(shape: str) -> None:
    verdicts: Counter[bool] = Counter()

    @examples(60)
    @given(st.data())
    def search(data: st.DataObject) -> None:
        module, after, witness, _ = data.draw(rewrites(modules(SHAPES[shape])))
        before = module.graphs[after.name]
        if after != before:
            verdicts[prove(before, after, witness, Touches(module, OPS), OPS) is None] += 1

    search()
    assert verdicts[True] >= 3 and verdicts[False] >= 10


HANDLES = """
a = VarHandleOp() {dtype: float, shape: <>, shared_name: "a"}
b = VarHandleOp() {dtype: float, shape: <>, shared_name: "b"}
x = _Arg()
argument x
"""
CALLED = f"""
graph ""{HANDLES}
c = StatefulPartitionedCall(x) {{Tin: [type: float], Tout: [type: float], f: @"f"{{}}}}
s = ReadVariableOp(b) {{dtype: float}}
w = AssignVariableOp(a, x) {{dtype: float}} ^s
output c = c
output s = s
control c = c
control w = w
graph "f"{HANDLES}
r = ReadVariableOp(a) {{dtype: float}}
e = AssignVariableOp(b, x) {{dtype: float}} ^r
output r = r
control r = r
control e = e
"""


@pytest.mark.xfail(strict=True, reason="each body is proved by itself: nothing in it tells what races with its caller")
def test_a_body_that_races_with_both_ends_of_a_lost_edge() -> None:
    """In the caller w follows s, so r and s cannot both see what the other side wrote, until e may run before r."""
    module = build(CALLED)
    before = module.graphs["f"]
    nodes = {**before.nodes, "e": before.nodes["e"]._replace(controls=frozenset())}
    check((module, before.evolve(nodes), Witness({}, {}), Counter()))
