"""Which functions of a module have equal bodies, whatever they and their nodes are called.

`cond_true_12` and `cond_true_30`, two traces of one Python function, differ in names alone. Functions are put in
classes bottom-up over the call graph: a body's structure is what it is made of with every name replaced, of nodes by
their places in an order that comes from the structure itself, of functions by the class of what they name. Structures
are compared whole; the hash finds, and the comparison proves.

Equal: argument types and their order; op, device and attributes (defaults filled in) of every node, its operands in
their order, its control inputs, the group that it is colocated with; outputs in their order; which nodes callers wait
for; the function's own attributes. Not looked at: names, the order in which nodes are listed, static shapes, and dead
nodes that only compute. Two nodes in one body are never taken for one (two draws are two), so equal bodies are
isomorphic. Operands of commutative ops are not sorted; two bodies with different duplicates in them are not equal.

Recursive functions are equal where the graphs of calls that begin at them are, edge by edge.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import NamedTuple

from tfreuse.ir.attrs import Attr, Attrs, Func
from tfreuse.ir.graph import Graph, Module, Node
from tfreuse.ir.order import topological
from tfreuse.ir.view import callees_first
from tfreuse.ops.registry import Ops

INSIGNIFICANT = frozenset({"_output_shapes", "_has_manual_control_dependencies"})
"""Attributes that say nothing about what a node computes; every other private attribute counts."""

_OF_FUNCTIONS = INSIGNIFICANT | {"_input_shapes", "_construction_context"}
"""The same of a function: the static shapes of its arguments, and what traced it."""

_NO_NAME = "\0"
"""What a class of functions is called begins with this, as no function's name does."""


class Alike(NamedTuple):
    """A function that is equal to another: `first`, and for each of its own nodes the one that is its like there."""

    first: str
    nodes: Mapping[str, str]


class Fingerprints:
    """The classes of the functions of `module`; each is known by the first of its functions that the module lists."""

    def __init__(self, module: Module, ops: Ops) -> None:
        self._ops = ops
        self._graphs = module.graphs
        self._numbers: dict[Hashable, int] = {}
        self._meanings: dict[tuple[str, str, int], int] = {}
        self._orders: dict[str, list[str]] = {}
        names: dict[str, str] = {}
        for group in callees_first(module):
            members = [name for name in group if name in module.graphs and name]
            recursive = len(group) > 1 or any(name in _callees(module.graphs[name]) for name in members)
            found: dict[str, str] = {}
            for name in members:
                order, structure = self._recursive(name, group, names) if recursive else self._body(name, names)
                self._orders[name] = order
                found[name] = f"{_NO_NAME}{self._number(structure)}"
            names.update(found)
        self._numbers.clear()
        firsts: dict[str, str] = {}
        self._first = {name: firsts.setdefault(names[name], name) for name in module.graphs if name in names}

    def first(self, function: str) -> str:
        """The name that stands for all functions equal to `function`; its own where nothing is known of it."""
        return self._first.get(function, function)

    def renamed(self, attrs: Attrs) -> Attrs:
        """`attrs` with every function in them named by the first of its class."""
        return _renamed(attrs, self._first) if attrs.functions else attrs

    def classes(self) -> list[list[str]]:
        """The names of equal functions, two or more each, in the order in which the module lists them."""
        members: dict[str, list[str]] = {}
        for name, first in self._first.items():
            members.setdefault(first, []).append(name)
        return [names for names in members.values() if len(names) > 1]

    def alike(self, function: str) -> Alike:
        """What `function` is equal to, node by node; dead nodes that only compute are left out."""
        first = self.first(function)
        return Alike(first, dict(zip(self._orders[function], self._orders[first], strict=True)))

    def _number(self, key: Hashable) -> int:
        return self._numbers.setdefault(key, len(self._numbers))

    def _recursive(self, name: str, group: list[str], names: Mapping[str, str]) -> tuple[list[str], Hashable]:
        """The order of the nodes of a function, and the structures of all functions that it reaches in its group."""
        inside = {**names, **dict.fromkeys(group, f"{_NO_NAME}inside")}
        reached = {name: f"{_NO_NAME}inside 0"}
        work = [name]
        for function in work:  # which grows
            graph = self._graphs[function]
            for callee in [callee for node in self._body(function, inside)[0] for callee in _named(graph.nodes[node])]:
                if callee in group and callee not in reached:
                    reached[callee] = f"{_NO_NAME}inside {len(reached)}"
                    work.append(callee)
        bodies = [self._body(function, {**names, **reached}) for function in work]
        return bodies[0][0], tuple([structure for _, structure in bodies])

    def _body(self, name: str, names: Mapping[str, str]) -> tuple[list[str], Hashable]:
        """The order of a body's nodes and its structure, its callees called by `names`."""
        graph = self._graphs[name]
        meanings = {node.name: self._meaning(node, names) for node in graph.nodes.values()}
        order = list(self._visited(graph, self._terms(graph, meanings)))
        place = {node: index for index, node in enumerate(order)}
        return order, (
            len(graph.arguments),
            tuple([(meanings[node], *_edges(graph.nodes[node], place)) for node in order]),
            tuple([(place[value.node], value.port) for _, value in graph.outputs]),
            frozenset([place[node] for _, node in graph.control_outputs]),
            _significant(_renamed(graph.attrs, names), _OF_FUNCTIONS),
        )

    def _meaning(self, node: Node, names: Mapping[str, str]) -> int:
        """A number for op, device and attributes, without the group it is colocated with."""
        shortcut = (node.op, node.device, id(node.attrs))  # readers share equal sets of attributes
        found = self._meanings.get(shortcut)
        if found is None:
            attrs = {**self._ops.defaults(node.op), **_renamed(node.attrs, names)}
            if node.attrs.is_colocated:
                del attrs["_class"]
            op = names.get(node.op, node.op)
            # A variable, a table or a queue without a shared name is called after its node.
            own = node.name if attrs.get("shared_name") == Attr("s", b"") else ""
            found = self._number((op, node.device, _significant(attrs, INSIGNIFICANT), own))
            if op == node.op and not node.attrs.functions and not own:
                self._meanings[shortcut] = found
        return found

    def _terms(self, graph: Graph, meanings: Mapping[str, int]) -> dict[str, int]:
        """A number for every node such that nodes of equal terms have equal ones, in whichever body they stand."""
        terms = {name: self._number(("argument", index)) for index, name in enumerate(graph.arguments)}
        for name in topological(graph):
            if name not in terms:
                node = graph.nodes[name]
                operands = tuple([(terms.get(source, -1), port) for source, port in node.inputs])  # -1: a back edge
                waits = tuple(sorted([terms.get(control, -1) for control in node.controls]))
                terms[name] = self._number((meanings[name], operands, waits))
        return terms

    def _visited(self, graph: Graph, terms: Mapping[str, int]) -> Iterator[str]:
        """Every node that counts, in an order that depends on names only between nodes that nothing else tells apart:
        arguments, then depth first what the outputs need, what callers wait for, and all else that may have an effect.
        """
        listed = {name: place for place, name in enumerate(graph.nodes)}

        def in_order(names: Iterable[str]) -> list[str]:
            return sorted(names, key=lambda name: (terms[name], listed[name]))

        effects = [name for name, node in graph.nodes.items() if self._ops.facts(node.op).kind != "pure"]
        starts = [*graph.arguments, *(value.node for _, value in graph.outputs)]
        starts += [*in_order({name for _, name in graph.control_outputs}), *in_order(effects)]
        seen: set[str] = set()
        for start in starts:
            work = [(start, False)]
            while work:
                name, done = work.pop()
                if done:
                    yield name
                elif name not in seen:
                    seen.add(name)
                    work.append((name, True))
                    node = graph.nodes[name]
                    sources = [source for source, _ in node.inputs] + in_order(node.controls)
                    work += [(source, False) for source in reversed(sources) if source not in seen]


def _edges(node: Node, place: Mapping[str, int]) -> Iterator[Hashable]:
    yield tuple([(place[source], port) for source, port in node.inputs])
    yield tuple(sorted([place[control] for control in node.controls]))
    if node.attrs.is_colocated:
        kind, groups = node.attrs.value("_class")
        names = [str(group, errors="replace").removeprefix("loc:@") if kind == "s" else group for group in groups]
        yield tuple([(name in place, place.get(name, name)) for name in names])


def _significant(attrs: Mapping[str, Attr], without: frozenset[str]) -> Hashable:
    return tuple(sorted([(name, attr) for name, attr in attrs.items() if name not in without]))


def _renamed(attrs: Attrs, names: Mapping[str, str]) -> Attrs:
    if not attrs.functions:
        return attrs
    changes: dict[str, Attr | None] = {}
    for name, (kind, value) in attrs.items():
        if kind == "func":
            changes[name] = Attr(kind, _called(value, names))
        elif kind == "list" and value[0] == "func":
            changes[name] = Attr(kind, ("func", tuple([_called(func, names) for func in value[1]])))
    return attrs.updated(changes)


def _called(func: Func, names: Mapping[str, str]) -> Func:
    return Func(names.get(func.name, func.name), _renamed(func.attrs, names))


def _named(node: Node) -> list[str]:
    return [node.op, *(func.name for func in node.attrs.functions)]


def _callees(graph: Graph) -> set[str]:
    return {name for node in graph.nodes.values() for name in _named(node)}
