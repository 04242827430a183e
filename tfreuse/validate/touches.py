"""What nodes touch, told from the op tables alone: the proof must not believe the analyses that the passes used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tfreuse.ir.attrs import GRADIENT
from tfreuse.ir.graph import Graph, Module, Node, Value
from tfreuse.ops.registry import Ops
from tfreuse.ops.schema import RESOURCE

PURE, READ, UNIQUE = "pure", "read", "unique"
"""What the proof distinguishes: functions of their operands, functions of operands and state, and all else."""

ANYTHING = "*"
"""The resource of which nothing is known."""

_HANDED_ON = frozenset({"Identity", "Switch", "Enter", "RefIdentity", "RefSwitch", "RefEnter"})

_LOOPS = frozenset({"While", "StatelessWhile"})
"""Ops whose body gets what it gave in the iteration before."""


class Touch(NamedTuple):
    """A read or a write of a resource: `argument 3`, `ambient rng`, `handle NAME` or anything."""

    writes: bool
    resource: str


def conflict(one: Touch, other: Touch) -> bool:
    """Whether the order of the two can be seen; two arguments may be one resource."""
    return (one.writes or other.writes) and may_be_one(one.resource, other.resource)


def may_be_one(one: str, other: str) -> bool:
    """Whether two resources may be the same."""
    if one == other or ANYTHING in (one, other):
        return True
    kinds = {one.split(" ")[0], other.split(" ")[0]}
    return "argument" in kinds and "ambient" not in kinds


_UNKNOWN = frozenset({Touch(True, ANYTHING)})


class Touches:
    """What the nodes of all graphs of a module touch."""

    def __init__(self, module: Module, ops: Ops) -> None:
        self._module = module
        self._ops = ops
        self._functions: dict[str, frozenset[Touch]] = {}
        self._in_progress: set[str] = set()
        self._plain: dict[str, str] = {}
        used = {node.op for graph in module.graphs.values() for node in graph.nodes.values()}
        self._reference_ops = frozenset(op for op in used if ops.gives_ref(op))

    def kind(self, graph: Graph, node: Node) -> str:
        """PURE, READ or UNIQUE."""
        if GRADIENT in node.attrs:
            return UNIQUE
        plain = self._plain.get(node.op)
        if plain is None:
            plain = self._plain[node.op] = self._kind_of_op(node.op)
        if plain and not self._takes_reference(graph, node):
            return plain
        if plain:
            return UNIQUE
        if not self._callees(node) or self.has_identity(node):
            return UNIQUE
        touched = self.of(graph, node)
        return UNIQUE if any(touch.writes for touch in touched) else READ if touched else PURE

    def of(self, graph: Graph, node: Node) -> frozenset[Touch]:
        """What `node` reads and writes."""
        if self._takes_reference(graph, node):
            return _UNKNOWN
        facts = self._ops.facts(node.op)
        if self._is_call(node):
            return frozenset(self._called(graph, node))
        if facts.kind == "unknown":
            return _UNKNOWN
        return frozenset(self._listed(graph, node))

    def overwrites(self, node: Node) -> bool:
        """Whether the node, or what it calls, updates the buffer of an operand that is no handle."""
        if self._is_call(node):
            return any(self._function_overwrites(name) for name in self._callees(node))
        schema = self._ops.schema(node.op)
        written = {access.target for access in self._ops.facts(node.op).accesses if access.mode == "write"}
        return schema is not None and any(
            arg.name in written and arg.type != RESOURCE and not arg.is_ref for arg in schema.inputs
        )

    def _function_overwrites(self, name: str, above: tuple[str, ...] = ()) -> bool:
        body = self._module.graphs.get(name)
        if body is None or name in above:  # ops that nobody knows reuse a buffer only where nobody else holds it
            return False
        return any(
            any(self._function_overwrites(callee, (*above, name)) for callee in self._callees(node))
            if self._is_call(node)
            else self.overwrites(node)
            for node in body.nodes.values()
            if node.name not in body.arguments
        )

    def _kind_of_op(self, op: str) -> str:
        facts = self._ops.facts(op)
        if facts.kind == "calls" or op in self._module.graphs:
            return ""
        if facts.kind == "pure":
            return PURE
        if facts.kind == "effects" and all(access.mode == "read" for access in facts.accesses):
            return READ
        return UNIQUE

    def _is_call(self, node: Node) -> bool:
        return node.op in self._module.graphs or self._ops.facts(node.op).kind == "calls"

    def _callees(self, node: Node) -> list[str]:
        own = [node.op] if node.op in self._module.graphs else []
        return own + [function.name for function in node.attrs.functions]

    def _takes_reference(self, graph: Graph, node: Node) -> bool:
        return bool(self._reference_ops) and any(
            graph.nodes[source].op in self._reference_ops for source, _ in node.inputs
        )

    def body(self, node: Node) -> Graph | None:
        """The body of the one function that `node` names in its attributes, if it is known."""
        names = [function.name for function in node.attrs.functions]
        return self._module.graphs.get(names[0]) if len(names) == 1 else None

    def has_identity(self, node: Node, above: tuple[str, ...] = ()) -> bool:
        """Whether a call makes something anew, or runs what has a gradient that the user wrote."""
        for name in self._callees(node):
            body = self._module.graphs.get(name)
            if body is None or name in above:
                return True
            for inner in body.nodes.values():
                if inner.name in body.arguments:
                    continue
                if self._ops.facts(inner.op).kind == "allocates" or GRADIENT in inner.attrs:
                    return True
                if self._is_call(inner) and self.has_identity(inner, (*above, name)):
                    return True
        return False

    def _listed(self, graph: Graph, node: Node) -> Iterator[Touch]:
        facts, schema = self._ops.facts(node.op), self._ops.schema(node.op)
        ranges = None
        for access in facts.accesses:
            writes = access.mode == "write"
            if access.target.startswith("@"):
                yield Touch(writes, f"ambient {access.target[1:]}")
                continue
            if ranges is None:
                ranges = schema.input_ranges(node.attrs) if schema is not None else {}
            start, count = ranges.get(access.target, (0, 0))
            for value in node.inputs[start : start + count]:
                yield Touch(writes, self._resource(graph, value))
            if not count:
                yield Touch(writes, ANYTHING)

    def _called(self, graph: Graph, node: Node) -> Iterator[Touch]:
        callees = self._callees(node)
        if not callees:
            yield Touch(True, ANYTHING)
        schema = self._ops.schema(node.op)
        first = 0
        for arg in schema.inputs if schema is not None else ():
            if arg.type_list_attr:
                first = schema.input_ranges(node.attrs)[arg.name][0] if schema is not None else 0
                break
        for name in callees:
            for touch in self._of_function(name):
                kind, _, key = touch.resource.partition(" ")
                if kind != "argument":
                    yield touch
                elif first + int(key) < len(node.inputs) and self._hands_on(node, int(key)):
                    yield Touch(touch.writes, self._resource(graph, node.inputs[first + int(key)]))
                else:
                    yield Touch(touch.writes, ANYTHING)

    def _hands_on(self, node: Node, argument: int) -> bool:
        """Whether `argument` of a loop's body is in every iteration what it is in the first; true for other calls."""
        if node.op not in _LOOPS:
            return True
        function = node.attrs.value("body")
        body = None if function is None else self._module.graphs.get(function.name)
        if body is None or argument >= len(body.outputs):
            return False
        return self._resource(body, body.outputs[argument][1]) == f"argument {argument}"

    def _of_function(self, name: str) -> frozenset[Touch]:
        known = self._functions.get(name)
        if known is not None:
            return known
        body = self._module.graphs.get(name)
        if body is None or name in self._in_progress:  # not to be read, or recursive
            return _UNKNOWN
        self._in_progress.add(name)
        arguments = set(body.arguments)
        found = {touch for node in body.nodes.values() if node.name not in arguments for touch in self.of(body, node)}
        self._in_progress.discard(name)
        self._functions[name] = frozenset(found)
        return self._functions[name]

    def _resource(self, graph: Graph, value: Value) -> str:
        node = graph.nodes[value.node]
        for _ in range(len(graph.nodes)):
            if node.name in graph.arguments:
                return f"argument {graph.arguments.index(node.name)}"
            if node.op not in _HANDED_ON or not node.inputs:
                break
            node = graph.nodes[node.inputs[0].node]
        shared = node.attrs.value("shared_name")
        container = node.attrs.value("container") or b""
        if node.inputs or self._ops.facts(node.op).kind != "allocates" or not isinstance(shared, bytes) or not shared:
            return ANYTHING
        return f"handle {b'' if container == b'localhost' else container!r} {shared!r}"
