"""Which resource an operand names: one instance, an argument, or unknown (which conflicts with all)."""

from __future__ import annotations

from typing import NamedTuple

from tfreuse.ir.graph import Graph, Node, Value
from tfreuse.ops.registry import Ops

_FORWARDING = frozenset({"Identity", "Switch", "Enter", "RefIdentity", "RefSwitch", "RefEnter"})


class Resource(NamedTuple):
    """A piece of state.

    `kind`: "handle" (a named variable or table, or a node that allocates), "argument" (the function's operand
    number `key`), "ambient" (state without a handle: rng, io, python, ...), "unknown".
    """

    kind: str
    key: str | int = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.key}".strip()


UNKNOWN = Resource("unknown")


def may_alias(one: Resource, other: Resource) -> bool:
    """Whether the two may be the same state.

    Two different arguments may be: a caller can pass one variable twice (tensorflow/tensorflow#53494).
    Ambient state is named exactly; no handle reaches it, and unknown may be anything.
    """
    if one == other or UNKNOWN in (one, other):
        return True
    if "ambient" in (one.kind, other.kind):
        return False
    return "argument" in (one.kind, other.kind)


class Alias:
    """Resources of the values of one graph."""

    def __init__(self, graph: Graph, ops: Ops) -> None:
        self._nodes = graph.nodes
        self._ops = ops
        self._argument_index = {name: index for index, name in enumerate(graph.arguments)}
        self._made: dict[str, Resource] = {}

    def resource(self, value: Value) -> Resource:
        """The resource that a handle value names, looked up through `Identity` and its like."""
        for _ in range(len(self._nodes)):
            name = value.node
            found = self._made.get(name)
            if found is not None:
                return found
            if name in self._argument_index:
                return Resource("argument", self._argument_index[name])
            node = self._nodes[name]
            if node.op not in _FORWARDING or not node.inputs:
                found = self._made[name] = self._made_by(node)
                return found
            value = node.inputs[0]
        return UNKNOWN

    def _made_by(self, node: Node) -> Resource:
        """A named handle is the same object wherever it is made; without a name nothing is known of it."""
        name = node.attrs.value("shared_name")
        if not name and self._ops.gives_ref(node.op):  # a TF1 variable is named by its node
            name = node.name.encode()
        if node.inputs or self._ops.facts(node.op).kind != "allocates" or not isinstance(name, bytes) or not name:
            return UNKNOWN
        container = node.attrs.value("container") or b""
        if container == b"localhost":  # the default container's own name (resource_mgr.h)
            container = b""
        return Resource("handle", (container + b"/" + name).decode(errors="replace").lstrip("/"))
