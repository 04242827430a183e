"""Whether two functions are equal: a claim that says which node is the like of which is checked edge by edge.

A claim names for a function another one, and for its nodes their likes there. It holds if the likes have the same op,
device, attributes, operands and control inputs, node by node, if arguments and outputs are likes in their order, and
if what is left out on either side only computes and feeds nothing. Callees must be equal by claims that hold as well;
all claims stand or fall together (the greatest set that is consistent), which is what equality of recursive functions
means. Nothing is searched for, and names are the only thing that the claims are asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from tfreuse.ir.attrs import Attr, Attrs, Func
from tfreuse.ir.graph import Graph, Module, Node
from tfreuse.ops.registry import Ops
from tfreuse.validate.touches import PURE, Touches

_SILENT = frozenset({"_output_shapes", "_class", "_has_manual_control_dependencies"})
"""Attributes that say nothing about what a node computes."""
_SILENT_OF_FUNCTIONS = frozenset({"_input_shapes", "_output_shapes", "_construction_context"})
"""The same of a function: static shapes of its arguments, what traced it."""


class Claim(Protocol):
    """That a function is equal to `first`, its nodes to those that `nodes` leads to."""

    @property
    def first(self) -> str:
        """The other function."""

    @property
    def nodes(self) -> Mapping[str, str]:
        """For each node of the function its like in the other."""


class Bodies:
    """The claims that hold of the functions of `module`."""

    def __init__(self, module: Module, ops: Ops, touches: Touches, claims: Mapping[str, Claim]) -> None:
        self._graphs = module.graphs
        self._ops = ops
        self._touches = touches
        self._held = {name: claim for name, claim in claims.items() if claim.first not in claims}
        while refuted := [name for name, claim in self._held.items() if not self._holds(name, claim)]:
            for name in refuted:
                del self._held[name]

    def first(self, function: str) -> str:
        """The function that `function` is proved to be equal to; itself where there is none."""
        claim = self._held.get(function)
        return function if claim is None else claim.first

    def renamed(self, attrs: Attrs) -> Attrs:
        """`attrs` with every function in them named by the one that it is proved to be equal to."""
        if not self._held or not attrs.functions:
            return attrs
        changes: dict[str, Attr | None] = {}
        for name, (kind, value) in attrs.items():
            if kind == "func":
                changes[name] = Attr(kind, self._called(value))
            elif kind == "list" and value[0] == "func":
                changes[name] = Attr(kind, ("func", tuple([self._called(func) for func in value[1]])))
        return attrs.updated(changes)

    def _called(self, func: Func) -> Func:
        return Func(self.first(func.name), self.renamed(func.attrs))

    def _holds(self, name: str, claim: Claim) -> bool:
        one, other = self._graphs.get(name), self._graphs.get(claim.first)
        if one is None or other is None or len(set(claim.nodes.values())) != len(claim.nodes):
            return False
        like = claim.nodes

        return (
            [like.get(argument) for argument in one.arguments] == list(other.arguments)
            and [(like.get(node), port) for _, (node, port) in one.outputs]
            == [tuple(value) for _, value in other.outputs]
            and {like.get(node) for _, node in one.control_outputs} == {node for _, node in other.control_outputs}
            and self._of_function(one) == self._of_function(other)
            and self._only_computes(one, like.keys())
            and self._only_computes(other, set(like.values()))
            and all(
                node in one.nodes and its in other.nodes and self._are_alike(one.nodes[node], other.nodes[its], like)
                for node, its in like.items()
            )
        )

    def _are_alike(self, one: Node, other: Node, like: Mapping[str, str]) -> bool:
        return (
            self.first(one.op) == self.first(other.op)
            and one.device == other.device
            and [(like.get(source), port) for source, port in one.inputs] == [tuple(value) for value in other.inputs]
            and {like.get(control) for control in one.controls} == other.controls
            and (one.attrs is other.attrs or self._meaning(one) == self._meaning(other))
            and (one.name == other.name or not self._is_known_by_name(one))
        )

    def _is_known_by_name(self, node: Node) -> bool:
        """Whether a variable, a table or a queue is called after its node, so that another name is another one."""
        return self._meaning(node).get("shared_name") == Attr("s", b"")

    def _meaning(self, node: Node) -> dict[str, Attr]:
        filled = {**self._ops.defaults(node.op), **self.renamed(node.attrs)}
        return {name: attr for name, attr in filled.items() if name not in _SILENT}

    def _of_function(self, graph: Graph) -> dict[str, Attr]:
        return {name: attr for name, attr in self.renamed(graph.attrs).items() if name not in _SILENT_OF_FUNCTIONS}

    def _only_computes(self, graph: Graph, aside: Collection[str]) -> bool:
        """Whether all nodes that are not in `aside` are functions of their operands; nothing in `aside` uses them."""
        return all(self._touches.kind(graph, node) == PURE for name, node in graph.nodes.items() if name not in aside)
