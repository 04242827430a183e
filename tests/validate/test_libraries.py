"""Wrong rewrites of a library, each wrong in one place: the proof refuses all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.engine.build import module
from tfreuse.analysis.fingerprint import Alike, Fingerprints
from tfreuse.errors import ProofError
from tfreuse.ir.attrs import Attr
from tfreuse.ir.graph import Module, Value
from tfreuse.passes.merge_functions import MergeFunctions
from tfreuse.pipeline.library import Library, LibraryContext, LibraryEdits, LibraryPass, carried_out
from tfreuse.testing.schemas import snapshot_ops
from tfreuse.validate.libraries import prove_library
from tfreuse.validate.proved import run_proved
from tfreuse.validate.witness import Refusal

OPS = snapshot_ops()
NOTHING = Library()
TEXT = """
graph ""
  x = _Arg() {T: float}
  a = PartitionedCall(x) {Tin: [type: float], Tout: [type: float], f: @"f"{}}
  b = PartitionedCall(a) {Tin: [type: float], Tout: [type: float], f: @"g"{}}
  y = StatefulPartitionedCall(b) {Tin: [type: float], Tout: [type: float], f: @"draw"{}}
  z = StatefulPartitionedCall(y) {Tin: [type: float], Tout: [type: float], f: @"draw_1"{}}
  u = PartitionedCall(z) {Tin: [type: float], Tout: [type: float], f: @"other"{}}
  argument x
  output u = u
graph "f"
  x = _Arg() {T: float}
  e = Exp(x) {T: float, _output_shapes: [shape: <2>]}
  argument x
  output e = e
graph "g"
  x = _Arg() {T: float}
  y = Exp(x) {T: float, _output_shapes: [shape: <2>]}
  argument x
  output y = y
graph "other"
  x = _Arg() {T: float}
  y = Log(x) {T: float}
  argument x
  output y = y
graph "draw"
  s = _Arg() {T: float}
  y = RandomStandardNormal(s) {T: int32, dtype: float}
  argument s
  output y = y
graph "draw_1"
  s = _Arg() {T: float}
  y = RandomStandardNormal(s) {T: int32, dtype: float}
  argument s
  output y = y
graph "lost"
  x = _Arg() {T: float}
  argument x
  output x = x
"""


def judged(
    merged: dict[str, str],
    removed: tuple[str, ...] = (),
    known: Library = NOTHING,
    spoil: Callable[[Module], Module] = lambda module: module,
    text: str = TEXT,
) -> Refusal | None:
    before = module(text)
    edits = LibraryEdits(before, Library())
    edits.merged, edits.removed = merged, set(removed)
    same = Fingerprints(before, OPS)
    claims = {name: same.alike(name) for first, *others in same.classes() for name in others}
    return prove_library(before, spoil(carried_out(before, edits)), merged, claims, known, OPS)


def with_node(found: Module, graph: str, name: str, **changes: object) -> Module:
    body = found.graphs[graph]
    node = body.nodes[name]._replace(**changes)  # type: ignore[arg-type]  # each test names fields of a node
    return replace(found, graphs={**found.graphs, graph: body.evolve({**body.nodes, name: node})})


def test_what_is_right_is_proved() -> None:
    assert judged({"g": "f"}, ("lost",)) is None
    assert judged({"f": "g"}, ("lost",)) is None
    assert judged({"g": "f"}, known=Library(public={"f": 1, "g": 1}, declared={"f": 2, "g": 2})) is None


@pytest.mark.parametrize(
    ("merged", "removed", "known"),
    [
        ({"other": "f"}, (), Library()),
        ({"draw_1": "draw"}, (), Library()),
        ({"g": "nobody"}, (), Library()),
        ({"g": "f"}, (), Library(pinned=frozenset("g"))),
        ({"g": "f"}, (), Library(pinned=frozenset("f"))),
        ({"g": "f"}, (), Library(public={"g": 1})),
        ({"g": "f"}, (), Library(public={"f": 1, "g": 2})),
        ({"g": "f"}, (), Library(declared={"f": 1, "g": 2})),
        ({}, ("g",), Library()),
        ({}, ("lost",), Library(public={"lost": 1})),
        ({}, ("lost",), Library(pinned=frozenset({"lost"}))),
        ({}, ("",), Library()),
    ],
)
def test_who_may_stand_for_whom(merged: dict[str, str], removed: tuple[str, ...], known: Library) -> None:
    assert judged(merged, removed, known) is not None


def test_static_shapes() -> None:
    """A claim that was true of one function's results need not be true of the other's."""
    text = TEXT.replace("e = Exp(x) {T: float, _output_shapes: [shape: <2>]}", "e = Exp(x) {T: float}")
    assert judged({"f": "g"}, text=text) is not None
    assert judged({"g": "f"}, text=text) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: with_node(found, "", "b", inputs=(Value("x"),)),
        lambda found: with_node(found, "", "b", attrs=found.graphs[""].nodes["u"].attrs),
        lambda found: with_node(found, "f", "e", op="Log"),
        lambda found: with_node(found, "f", "e", attrs=found.graphs["f"].nodes["e"].attrs.updated({"T": None})),
        lambda found: with_node(
            found,
            "f",
            "e",
            attrs=found.graphs["f"].nodes["e"].attrs.updated({"_output_shapes": Attr("list", ("", ()))}),
        ),
        lambda found: replace(found, graphs={**found.graphs, "new": found.graphs["f"]}),
        lambda found: replace(found, opaque={"dark": "an op"}),
        lambda found: replace(
            found, graphs={**found.graphs, "f": replace(found.graphs["f"], outputs=(("e", Value("x")),))}
        ),
    ],
    ids=[
        "an operand",
        "another callee",
        "an op",
        "an attribute",
        "a shape",
        "a new function",
        "a dark one",
        "an output",
    ],
)
def test_bodies_change_in_names_alone(spoil: Callable[[Module], Module]) -> None:
    assert judged({"g": "f"}) is None
    assert judged({"g": "f"}, spoil=spoil) is not None


def test_a_claim_that_lies_is_refused() -> None:
    before = module(TEXT)
    edits = LibraryEdits(before, Library())
    edits.merged = {"other": "f"}
    lie = {"other": Alike("f", {"x": "x", "y": "e"})}
    assert prove_library(before, carried_out(before, edits), edits.merged, lie, Library(), OPS) is not None


class Greedy(LibraryPass):
    """Lets `f` stand for `other`."""

    def rewrite(self, context: LibraryContext, edits: LibraryEdits) -> None:
        edits.merge("other", "f")


class Broken(LibraryPass):
    """Raises after its first edit."""

    def rewrite(self, context: LibraryContext, edits: LibraryEdits) -> None:
        edits.merge("g", "f")
        raise ZeroDivisionError("broken")


def test_what_is_not_proved_is_rolled_back() -> None:
    found = module(TEXT)
    result = run_proved(found, OPS, (Greedy(), MergeFunctions()), library=Library())
    assert result.after.graphs.keys() == found.graphs.keys()
    assert [remark.id for remark in result.remarks.items if remark.kind == "failure"] == ["proof-refused"]
    assert result.library.merged == {}
    with pytest.raises(ProofError):
        run_proved(found, OPS, (Greedy(),), library=Library(), raise_failures=True)


def test_a_pass_that_raises_leaves_no_trace() -> None:
    found = module(TEXT)
    result = run_proved(found, OPS, (Broken(),), library=Library())
    assert result.after.graphs == found.graphs
    assert [remark.id for remark in result.remarks.items] == ["pass-failed"]
    both = run_proved(found, OPS, (Broken(), MergeFunctions()), library=Library())
    assert both.library.merged == {"g": "f"}
    with pytest.raises(ZeroDivisionError):
        run_proved(found, OPS, (Broken(),), library=Library(), raise_failures=True)


def test_without_a_library_nothing_happens_to_it() -> None:
    found = module(TEXT)
    assert run_proved(found, OPS, (MergeFunctions(),)).after.graphs == found.graphs
