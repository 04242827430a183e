"""What a node reads and writes; a call reads and writes what its functions do, computed and not believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

from tfreuse.analysis.alias import UNKNOWN, Alias, Resource
from tfreuse.analysis.clobber import overwriters
from tfreuse.analysis.fingerprint import Fingerprints
from tfreuse.analysis.gradients import custom_gradients
from tfreuse.analysis.kinds import Kinds
from tfreuse.ir.graph import Graph, Module, Node, Value
from tfreuse.ir.view import callees_first
from tfreuse.ops.facts import Facts
from tfreuse.ops.registry import Ops

PURE, READ, FIXED, EFFECT = "pure", "read", "fixed", "effect"
"""Classes of nodes: a function of its operands; one that also reads state; one that is never merged but has no
effect that others could see (allocations, outside values, control flow); one with an effect or an unknown one."""


class Access(NamedTuple):
    """A read or write ("read", "write", "allocate") of a resource."""

    mode: str
    resource: Resource


_NOTHING: frozenset[Access] = frozenset()
_ANYTHING = frozenset({Access("write", UNKNOWN)})


class Summaries:
    """The accesses of every function of a module, in terms of its own arguments."""

    def __init__(self, module: Module, ops: Ops) -> None:
        self.ops = ops
        self.module = module
        self._accesses: dict[str, frozenset[Access]] = dict.fromkeys(module.opaque, _ANYTHING)
        self.overwriting: set[str] = set()
        """Functions that may update an argument, or something that it depends on, in place."""
        self.customized: set[str] = set(module.opaque)
        """Functions with a custom gradient in them, or in what they call."""
        self.recursive: set[str] = set()
        """Functions that call themselves, directly or through others."""
        for group in callees_first(module):
            for name in group:
                if name in self._accesses or not name:  # nothing calls the main graph
                    continue
                recursive = len(group) > 1 or _calls_itself(module.graphs[name])
                if recursive:
                    self.recursive.add(name)
                self._accesses[name] = _ANYTHING if recursive else self._summarise(module.graphs[name])
                if overwriters(module.graphs[name], ops, self.overwriting):
                    self.overwriting.update(group)
                if custom_gradients(module.graphs[name], self.customized):
                    self.customized.update(group)

    @cached_property
    def fingerprints(self) -> Fingerprints:
        """Which functions have equal bodies."""
        return Fingerprints(self.module, self.ops)

    @cached_property
    def handles_are_given(self) -> bool:
        """Whether handles that functions are given are those of variables with values.

        TensorFlow 2 gives a variable its value when it makes it, or loads it. A main graph of TensorFlow 1 makes
        handles itself, and may run before the variables are initialised.
        """
        main = self.module.graphs.get("")
        return main is None or main.closed or not any(self.ops.facts(op).kind == "allocates" for op in main.by_op)

    def of(self, function: str) -> frozenset[Access]:
        """What calling `function` does; anything, where it is not known."""
        return self._accesses.get(function, _ANYTHING)

    def __contains__(self, function: str) -> bool:
        return function in self._accesses

    def _summarise(self, graph: Graph) -> frozenset[Access]:
        effects = Effects(graph, self)
        found: set[Access] = set()
        for node in graph.nodes.values():
            if node.name not in graph.arguments:
                found |= effects.of(node)
        return frozenset(found)


class Effects:
    """Accesses and classes of the nodes of one graph."""

    def __init__(self, graph: Graph, summaries: Summaries) -> None:
        self._graph = graph
        self._ops = summaries.ops
        self._summaries = summaries
        self._alias = Alias(graph, self._ops)
        self._plain: dict[str, str] = {}
        self._fixed_ranges: dict[str, Mapping[str, tuple[int, int]]] = {}
        self._accesses: dict[Access, frozenset[Access]] = {}
        self.has_frames = any(self._ops.facts(op).kind == "control" for op in graph.by_op)
        self.reference_sources = frozenset(
            name for op, names in graph.by_op.items() if self._ops.gives_ref(op) for name in names
        )
        """Nodes that give a TF1 reference."""
        self._single = {} if self.reference_sources else self._modes_of_single()

    def resource(self, value: Value) -> Resource:
        """The resource that a handle or a reference names."""
        return self._alias.resource(value)

    def of(self, node: Node) -> frozenset[Access]:
        """The accesses of `node`; empty for a pure one."""
        mode = self._single.get(node.op)
        if mode is not None and len(node.inputs) == 1:
            access = Access(mode, self._alias.resource(node.inputs[0]))
            known = self._accesses.get(access)
            if known is None:
                known = self._accesses[access] = frozenset((access,))
            return known
        facts = self._ops.facts(node.op)
        found: frozenset[Access]
        if facts.kind == "calls" or node.op in self._summaries:
            found = self._call(node)
        elif facts.kind == "unknown":
            found = _ANYTHING
        elif facts.kind == "allocates":
            found = frozenset({Access("allocate", Resource("handle", node.name)), *self._listed(node, facts)})
        elif facts.accesses:
            found = frozenset(self._listed(node, facts))
        else:
            found = _NOTHING
        if self.reference_sources and any(value.node in self.reference_sources for value in node.inputs):
            # A TF1 reference is an alias of the variable's buffer: using it is an unordered read.
            found |= {Access("write", UNKNOWN)} if self._takes_ref(node.op) else {Access("read", UNKNOWN)}
        return found

    def kinds(self) -> Kinds:
        """The class of every node; that of most follows from their op."""
        nodes, by_op = self._graph.nodes, self._graph.by_op
        plain = {} if self.reference_sources else {op: kind for op in by_op if (kind := self._plain_kind(op))}
        own = {name: self.kind(nodes[name]) for op, names in by_op.items() if op not in plain for name in names}
        return Kinds(self._graph, plain, own)

    def kind(self, node: Node) -> str:
        """The class of `node`: PURE, READ, FIXED or EFFECT."""
        plain = self._plain.get(node.op)
        if plain is None:
            plain = self._plain[node.op] = self._plain_kind(node.op)
        if plain and not self.reference_sources:
            return plain
        accesses = self.of(node)
        if any(access.mode == "write" for access in accesses) or self._reads_ref(node):
            return EFFECT
        if any(access.mode == "allocate" for access in accesses):
            return FIXED
        if accesses:
            return READ
        return plain or PURE

    def _plain_kind(self, op: str) -> str:
        """The class where the op alone decides it, else an empty string."""
        facts = self._ops.facts(op)
        if op in self._summaries or facts.kind == "calls":
            return ""
        if facts.kind == "unknown" or any(access.mode == "write" for access in facts.accesses):
            return EFFECT
        if facts.kind == "effects":
            return READ
        return PURE if facts.kind == "pure" else FIXED

    def _reads_ref(self, node: Node) -> bool:
        return bool(self.reference_sources) and any(value.node in self.reference_sources for value in node.inputs)

    def _takes_ref(self, op: str) -> bool:
        schema = self._ops.schema(op)
        return schema is None or any(arg.is_ref for arg in schema.inputs)

    def _modes_of_single(self) -> dict[str, str]:
        """The ops of the graph whose one operand is a resource that they access, and do no more; with the mode."""
        found: dict[str, str] = {}
        for op in self._graph.by_op:
            facts, schema = self._ops.facts(op), self._ops.schema(op)
            if facts.kind != "effects" or len(facts.accesses) != 1 or schema is None or op in self._summaries:
                continue
            (access,) = facts.accesses
            if len(schema.inputs) == 1 and schema.inputs[0].name == access.target and not schema.inputs[0].is_list:
                found[op] = access.mode
        return found

    def _listed(self, node: Node, facts: Facts) -> Iterable[Access]:
        ranges: Mapping[str, tuple[int, int]] | None = None
        for access in facts.accesses:
            if access.target.startswith("@"):
                yield Access(access.mode, Resource("ambient", access.target[1:]))
                continue
            if ranges is None:
                ranges = self._input_ranges(node)
            start, count = ranges.get(access.target, (0, 0))
            if not count:
                yield Access(access.mode, UNKNOWN)
            for value in node.inputs[start : start + count]:
                yield Access(access.mode, self._alias.resource(value))

    def _input_ranges(self, node: Node) -> Mapping[str, tuple[int, int]]:
        found = self._fixed_ranges.get(node.op)
        if found is None:
            schema = self._ops.schema(node.op)
            found = {} if schema is None else schema.input_ranges(node.attrs)
            if schema is None or not any(arg.is_list for arg in schema.inputs):
                self._fixed_ranges[node.op] = found
        return found

    def _call(self, node: Node) -> frozenset[Access]:
        names = [func.name for func in node.attrs.functions]
        if node.op in self._summaries:
            names.append(node.op)
        if not names:
            return _ANYTHING
        offset = self._first_list_operand(node)
        found: set[Access] = set()
        for name in names:
            for access in self._summaries.of(name):
                found.add(Access(access.mode, self._seen_by_caller(access.resource, node, offset)))
        return frozenset(found)

    def _seen_by_caller(self, resource: Resource, node: Node, offset: int) -> Resource:
        if resource.kind != "argument":
            return resource
        index = offset + int(resource.key)
        return self._alias.resource(node.inputs[index]) if index < len(node.inputs) else UNKNOWN

    def _first_list_operand(self, node: Node) -> int:
        """Where the function's arguments begin: behind the predicate of `If`, the index of `Case`."""
        schema = self._ops.schema(node.op)
        if schema is None:
            return 0
        for arg in schema.inputs:
            if arg.type_list_attr:
                return schema.input_ranges(node.attrs)[arg.name][0]
        return 0


def _calls_itself(graph: Graph) -> bool:
    return any(
        node.op == graph.name or any(func.name == graph.name for func in node.attrs.functions)
        for node in graph.nodes.values()
    )
