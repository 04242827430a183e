"""Frozen nodes in a dict: a snapshot, a rollback or the "before" of a comparison is one dict copy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from tfreuse.errors import GraphError
from tfreuse.ir.attrs import NO_ATTRS, Attrs

ARGUMENT_OP = "_Arg"
"""The op of the nodes that stand for a function's arguments (they have no node in a `FunctionDef`)."""

NO_CONTROLS: frozenset[str] = frozenset()


class Value(NamedTuple):
    """One output of a node: the node's name and the flat index of the output."""

    node: str
    port: int = 0


class Node(NamedTuple):
    """An operation. Data inputs are ordered, control inputs are a set of node names."""

    name: str
    op: str
    inputs: tuple[Value, ...] = ()
    controls: frozenset[str] = NO_CONTROLS
    attrs: Attrs = NO_ATTRS
    device: str = ""


def fresh_name(wanted: str, taken: set[str]) -> str:
    """`wanted`, or with a number behind it where that name is taken; it is added to `taken`, whose names are in lower
    case, because upper and lower case count as one for TensorFlow's own names."""
    name, number = wanted, 0
    while name.lower() in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken.add(name.lower())
    return name


class _Index(NamedTuple):
    """What one walk over the nodes of a graph finds, because a large graph is slow to walk."""

    by_op: Mapping[str, Sequence[str]]
    naming: Sequence[Node]
    controlled: Sequence[str]


@dataclass(frozen=True)
class Graph:
    """The main graph of a model (name "") or the body of one library function.

    `nodes` keeps the order in which the protocol buffer lists them.
    `arguments` are nodes whose value comes from outside: function arguments, fed nodes, captured inputs.
    `outputs` and `control_outputs` are what the caller receives, by name.
    `kept` are names that the outside can see; such a node may change, its name and outputs may not vanish.
    `frozen` nodes (save, restore, initialisation) stay, each with its name, op and attributes; what they use may come
    to be another node of equal value.
    `closed` says that the outside refers to roots only; of the main graph of most models it may fetch any node.
    `attrs` are a function's own attributes (`_noinline`, `_XlaMustCompile`, an implementation that it stands for).
    `shapes` knows static shapes that the nodes themselves do not state, where somebody does.
    """

    name: str
    nodes: Mapping[str, Node]
    arguments: tuple[str, ...] = ()
    outputs: tuple[tuple[str, Value], ...] = ()
    control_outputs: tuple[tuple[str, str], ...] = ()
    kept: frozenset[str] = frozenset()
    frozen: frozenset[str] = frozenset()
    closed: bool = False
    attrs: Attrs = NO_ATTRS
    shapes: Callable[[Value], tuple[int, ...] | None] | None = field(default=None, compare=False, repr=False)
    known_ordered: bool = field(init=False, default=False, compare=False, repr=False)

    def note_ordered(self) -> None:
        """Note that every node stands behind its inputs in `nodes`, so that they are in topological order as listed."""
        object.__setattr__(self, "known_ordered", True)

    @cached_property
    def roots(self) -> frozenset[str]:
        """Names that something outside refers to: outputs, control outputs, kept and frozen nodes, arguments."""
        named = [value.node for _, value in self.outputs] + [name for _, name in self.control_outputs]
        return frozenset(named).union(self.arguments, self.kept, self.frozen)

    @property
    def by_op(self) -> Mapping[str, Sequence[str]]:
        """The names of the nodes of each op, as listed."""
        return self._index.by_op

    @property
    def naming(self) -> Sequence[Node]:
        """The nodes whose attributes name a function or a gradient, as listed."""
        return self._index.naming

    @property
    def controlled(self) -> Sequence[str]:
        """The names of the nodes that have control inputs, as listed."""
        return self._index.controlled

    @cached_property
    def _index(self) -> _Index:
        by_op: dict[str, list[str]] = {}
        naming: list[Node] = []
        controlled: list[str] = []
        for name, node in self.nodes.items():
            _, op, _, controls, attrs, _ = node
            try:
                by_op[op].append(name)
            except KeyError:
                by_op[op] = [name]
            if controls:
                controlled.append(name)
            if not attrs.is_plain:
                naming.append(node)
        return _Index(by_op, naming, controlled)

    def evolve(
        self,
        nodes: Mapping[str, Node],
        outputs: tuple[tuple[str, Value], ...] | None = None,
        control_outputs: tuple[tuple[str, str], ...] | None = None,
    ) -> Graph:
        """The graph with other nodes (and outputs)."""
        return replace(
            self,
            nodes=nodes,
            outputs=self.outputs if outputs is None else outputs,
            control_outputs=self.control_outputs if control_outputs is None else control_outputs,
        )


@dataclass(frozen=True)
class Module:
    """All graphs of a model: the main graph and the function library.

    `opaque` names functions that are carried through untouched, with the reason (an unknown op, a
    contradiction in the body); a call of one has unknown effects.
    """

    graphs: Mapping[str, Graph]
    opaque: Mapping[str, str] = field(default_factory=dict)


def check_edges(graph: Graph) -> None:
    """Check that every edge, output and root of `graph` names an existing node.

    Raises:
        GraphError: naming the first dangling reference.
    """
    for node in graph.nodes.values():
        _require(graph, [source.node for source in node.inputs], f"an input of {node.name!r}")
        _require(graph, node.controls, f"a control input of {node.name!r}")
    check_roots(graph)


def check_roots(graph: Graph) -> None:
    """Check that every output and every other name that the outside uses is a node.

    Raises:
        GraphError: naming the first that is not.
    """
    _require(graph, graph.roots, "an output or another name that the outside uses")


def _require(graph: Graph, names: Iterable[str], where: str) -> None:
    for name in names:
        if name not in graph.nodes:
            raise GraphError(f"{where} refers to {name!r}, which is not in the graph {graph.name!r}")
