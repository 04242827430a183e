"""The proof of a library's rewrite: functions that stand for others are equal to them, and nothing else changed.

Bodies may change in the names of the functions that they call, and lose recorded static shapes. A function that stands
for another has an equal body (`tfreuse.validate.bodies`, by a claim that is checked), is declared alike, and is to the
outside what the other is; neither has kernels that keep something from run to run, which two functions would each have
to themselves. A function that went and is not stood for is named by nothing that is left.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Protocol

from tfreuse.ir.attrs import GRADIENT, Attr
from tfreuse.ir.graph import Graph, Module, Node
from tfreuse.ops.registry import Ops
from tfreuse.validate.bodies import Bodies, Claim
from tfreuse.validate.touches import Touches
from tfreuse.validate.witness import Refusal

_SHAPES = "_output_shapes"
_NOT_KEPT = frozenset({"argument", "handle", "ambient io", "ambient clock", "ambient abort"})
"""State that no kernel holds: operands, what has a name of its own, and what the whole process shares."""


class Known(Protocol):
    """What is known of functions beside their bodies (`pipeline.library.Library`)."""

    @property
    def declared(self) -> Mapping[str, Hashable]:
        """Types, handles and shapes of arguments and results, attributes."""

    @property
    def public(self) -> Mapping[str, Hashable]:
        """What the outside knows of functions that it has by name."""

    @property
    def pinned(self) -> frozenset[str]:
        """Functions that stay."""


def prove_library(
    before: Module, after: Module, stands_for: Mapping[str, str], claims: Mapping[str, Claim], known: Known, ops: Ops
) -> Refusal | None:
    """None if `after` is proved to do what `before` does, else a disagreement; its `node` is a function's name.

    `stands_for` and `claims` are what the rewrite says; nothing of it is believed.
    """
    return next(_Proof(before, after, stands_for, claims, known, ops).refusals(), None)


class _Proof:
    def __init__(
        self,
        before: Module,
        after: Module,
        stands_for: Mapping[str, str],
        claims: Mapping[str, Claim],
        known: Known,
        ops: Ops,
    ) -> None:
        self._before, self._after, self._stands_for, self._known, self._ops = before, after, stands_for, known, ops
        self._touches = Touches(before, ops)
        self._bodies = Bodies(before, ops, self._touches, claims)
        self._claims = claims
        self._keeps: dict[str, str] = {}

    def refusals(self) -> Iterator[Refusal]:
        """What is wrong; the proof stands if nothing is."""
        before, after = self._before.graphs, self._after.graphs
        for name in sorted(after.keys() - before.keys()):
            yield Refusal(name, "a function that was not there before")
        if dict(self._before.opaque) != dict(self._after.opaque):
            yield Refusal("", "functions that cannot be read changed")
        for name, other in self._stands_for.items():
            reason = self._differs(name, other)
            if reason:
                yield Refusal(name, f"{other} does not stand for it: {reason}")
        for name, graph in after.items():
            if name in before and graph is not before[name]:
                yield from self._body(before[name], graph)
        yield from self._named()

    def _differs(self, name: str, other: str) -> str:
        """Why `other` may not stand for `name`, or nothing."""
        known = self._known
        if name in self._after.graphs or other not in self._after.graphs:
            return "it is still there, or the other is not"
        if {name, other} & known.pinned or self._bodies.first(name) != self._bodies.first(other):
            return "their bodies differ, or one of them is pinned"
        if known.declared.get(name) != known.declared.get(other):
            return "they are declared otherwise"
        if name in known.public and known.public[name] != known.public.get(other):
            return "the outside knows another function by its name"
        if not self._same_shapes(name, other):
            return "their static shapes differ"
        return self._kept(name) or self._kept(other)

    def _same_shapes(self, name: str, other: str) -> bool:
        """Whether no node of `other` that is left claims another static shape than its like in `name`."""
        there = self._after.graphs[other].nodes
        shapes = {like: there[node].attrs.get(_SHAPES) for node, like in self._likes(other) if node in there}
        return all(
            shapes.get(like) in (None, self._before.graphs[name].nodes[node].attrs.get(_SHAPES))
            for node, like in self._likes(name)
        )

    def _likes(self, name: str) -> Iterable[tuple[str, str]]:
        """The nodes of a function, each with its like in the one that all are compared with."""
        claim = self._claims.get(name)
        return claim.nodes.items() if claim is not None else ((node, node) for node in self._before.graphs[name].nodes)

    def _kept(self, name: str) -> str:
        """What kernels of the function, or of those that it calls, keep from run to run."""
        found = self._keeps.get(name)
        if found is None:
            self._keeps[name] = f"{name} calls itself"
            found = self._keeps[name] = next(self._keeping(name), "")
        return found

    def _keeping(self, name: str) -> Iterator[str]:
        graph = self._before.graphs.get(name)
        if graph is None:
            yield f"nothing is known of {name}"
            return
        for node in graph.nodes.values():
            called = [func.name for func in node.attrs.functions]
            if node.op in self._before.graphs or node.op in self._before.opaque:
                called.append(node.op)
            yield from (self._kept(callee) for callee in called if self._kept(callee))
            if GRADIENT in node.attrs:
                yield f"the gradient of {node.name} is the user's"
            if called or node.name in graph.arguments:
                continue
            touched = {touch.resource for touch in self._touches.of(graph, node)}
            kinds = {resource if resource.startswith("ambient") else resource.split(" ")[0] for resource in touched}
            if self._ops.facts(node.op).kind == "allocates" or kinds - _NOT_KEPT:
                yield f"{node.name} keeps something from run to run"

    def _body(self, before: Graph, after: Graph) -> Iterator[Refusal]:
        """What changed in a body beside the names of functions and static shapes that are dropped."""
        if (before.evolve({}), list(before.nodes)) != (after.evolve({}), list(after.nodes)):
            yield Refusal(before.name, "its arguments, outputs or the list of its nodes changed")
            return
        for name, old in before.nodes.items():
            new = after.nodes[name]
            if new is not old and new != self._renamed(old, new):
                yield Refusal(before.name, f"node {name} changed")

    def _renamed(self, node: Node, new: Node) -> Node:
        changes: dict[str, Attr | None] = {}
        if _SHAPES in node.attrs and _SHAPES not in new.attrs:
            changes[_SHAPES] = None
        for name, (kind, value) in node.attrs.items():
            called = [value] if kind == "func" else value[1] if kind == "list" and value[0] == "func" else []
            if called:
                funcs = tuple([func._replace(name=self._stands_for.get(func.name, func.name)) for func in called])
                changes[name] = Attr(kind, funcs[0] if kind == "func" else ("func", funcs))
        return node._replace(attrs=node.attrs.updated(changes))

    def _named(self) -> Iterator[Refusal]:
        """Whatever is named is there, if it was there before."""
        there = self._after.graphs.keys() | self._after.opaque.keys()
        gone = self._before.graphs.keys() - there
        for name in sorted(gone & ((self._known.public.keys() - self._stands_for.keys()) | self._known.pinned | {""})):
            yield Refusal(name, "the outside knows it by name, and it is gone")
        for graph in self._after.graphs.values():
            for node in graph.nodes.values():
                for name in (node.op, *(func.name for func in node.attrs.functions)):
                    if name in gone:
                        yield Refusal(graph.name, f"node {node.name} names {name}, which is gone")
