"""Which outputs depend on random draws or the clock, found by following values, calls and the order of effects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tfreuse.analysis.effects import Access, Effects, Summaries
from tfreuse.ir.graph import Graph, Module, Node, Value
from tfreuse.ir.order import ancestors, topological
from tfreuse.ops.registry import Ops

_AMBIENT = ("rng", "clock")
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_BRANCHES = frozenset({"If", "StatelessIf", "Case", "StatelessCase"})


class Sources(NamedTuple):
    """What a value may depend on: arguments (a bit each, by number) and drawing ops (a bit each)."""

    arguments: int = 0
    draws: int = 0

    def __or__(self, other: object) -> Sources:
        assert isinstance(other, Sources)
        return Sources(self.arguments | other.arguments, self.draws | other.draws)


_NOTHING = Sources()


class _Body(NamedTuple):
    """A function: the sources of each output, of what it writes to state, and every draw that it makes."""

    outputs: tuple[Sources, ...]
    written: Sources
    draws: int


class Draws:
    """Answers for the main graph of a module: which values are the same whenever the inputs and the state are."""

    def __init__(self, module: Module, ops: Ops) -> None:
        self._module = module
        self._ops = ops
        self._summaries = Summaries(module, ops)
        self._ops_seen: list[str] = []
        self._bodies: dict[str, _Body | None] = {}
        self._values: dict[str, Sources] = {}
        self._ports: dict[Value, Sources] = {}
        self._written: dict[str, Sources] = {}
        main = module.graphs[""]
        self._main = main
        self._analyse(main, self._values, self._ports, self._written)

    def of(self, value: Value) -> list[str]:
        """The ops whose draws `value` may depend on; empty if it is a function of inputs and state."""
        return self._names(self._ports.get(value, self._values[value.node]).draws)

    def in_state(self, outputs: Iterable[Value]) -> list[str]:
        """The ops whose draws may reach variables or tables when `outputs` are computed."""
        found = 0
        for name in ancestors(self._main, [value.node for value in outputs]):
            found |= self._written.get(name, _NOTHING).draws
        return self._names(found)

    def writes(self, outputs: Iterable[Value]) -> bool:
        """Whether state may be written when `outputs` are computed."""
        return not self._written.keys().isdisjoint(ancestors(self._main, [value.node for value in outputs]))

    def _names(self, bits: int) -> list[str]:
        return [op for number, op in enumerate(self._ops_seen) if bits >> number & 1]

    def _analyse(
        self, graph: Graph, values: dict[str, Sources], ports: dict[Value, Sources], written: dict[str, Sources]
    ) -> None:
        effects = Effects(graph, self._summaries)
        carried: dict[str, Sources] = {}  # what has been written to state before a node
        for number, name in enumerate(graph.arguments):
            values[name] = Sources(1 << number)
        arguments = frozenset(graph.arguments)
        order = topological(graph)
        changed = True
        while changed:  # the sets only grow, and one sweep is enough where no edge leads back
            changed = False
            for name in order:
                node = graph.nodes[name]
                before = _NOTHING
                for source in [*(value.node for value in node.inputs), *node.controls]:
                    before |= carried.get(source, _NOTHING) | written.get(source, _NOTHING)
                old = values.get(name, _NOTHING), carried.get(name, _NOTHING), written.get(name, _NOTHING)
                carried[name] = before
                if name not in arguments:
                    self._node(node, effects.of(node), before, values, ports, written)
                changed |= old != (values[name], before, written.get(name, _NOTHING))
            changed &= effects.has_frames

    def _node(
        self,
        node: Node,
        accesses: frozenset[Access],
        before: Sources,
        values: dict[str, Sources],
        ports: dict[Value, Sources],
        written: dict[str, Sources],
    ) -> None:
        operands = [ports.get(value, values.get(value.node, _NOTHING)) for value in node.inputs]
        found = _NOTHING
        for operand in operands:
            found |= operand
        calls = [func.name for func in node.attrs.functions]
        if node.op in self._module.graphs:
            calls.append(node.op)
        ambient = [access for access in accesses if access.resource.kind == "ambient"]
        if not calls and any(access.resource.key in _AMBIENT for access in ambient):
            found |= Sources(0, self._bit(node.op))
        if len(accesses) > len(ambient):
            found |= before
        writes = any(access.mode == "write" for access in accesses if access not in ambient)
        if not calls:
            values[node.name] = found
            if writes:
                written[node.name] = found
            return
        bodies = [self._body(name) for name in calls]
        told = [body for body in bodies if body is not None]
        if (node.op in _CALLS or node.op in _BRANCHES or node.op in self._module.graphs) and len(told) == len(bodies):
            first = 1 if node.op in _BRANCHES else 0
            choice = (operands[0] if first else _NOTHING) | (before if len(accesses) > len(ambient) else _NOTHING)
            everything = choice
            for port in range(max(len(body.outputs) for body in told)):
                joined = choice
                for body in told:
                    if port < len(body.outputs):
                        joined |= _substituted(body.outputs[port], operands[first:])
                ports[Value(node.name, port)] = joined
                everything |= joined
            values[node.name] = everything
            if writes:
                put = choice
                for body in told:
                    put |= _substituted(body.written, operands[first:])
                written[node.name] = put
            return
        for body in told:  # a loop, or a function that is called in a way not known here
            found |= Sources(0, body.draws)
        values[node.name] = found
        if writes:
            written[node.name] = found

    def _body(self, name: str) -> _Body | None:
        """The function's summary; None where it is not known or calls itself."""
        if name not in self._bodies:
            self._bodies[name] = None
            graph = self._module.graphs.get(name)
            if graph is not None:
                values: dict[str, Sources] = {}
                ports: dict[Value, Sources] = {}
                written: dict[str, Sources] = {}
                self._analyse(graph, values, ports, written)
                outputs = tuple(ports.get(value, values[value.node]) for _, value in graph.outputs)
                put, every = _NOTHING, _NOTHING
                for sources in written.values():
                    put |= sources
                for sources in values.values():
                    every |= sources
                self._bodies[name] = _Body(outputs, put, every.draws)
        return self._bodies[name]

    def _bit(self, op: str) -> int:
        if op not in self._ops_seen:
            self._ops_seen.append(op)
        return 1 << self._ops_seen.index(op)


def reached(module: Module, names: Iterable[str]) -> dict[str, set[str]]:
    """By function, the nodes that may run when these of the main graph run: of a called function all."""
    found = {"": ancestors(module.graphs[""], names)}
    work = [("", found[""])]
    while work:
        function, nodes = work.pop()
        for name in nodes:
            node = module.graphs[function].nodes[name]
            for called in [node.op, *(func.name for func in node.attrs.functions)]:
                if called in module.graphs and called and called not in found:
                    found[called] = set(module.graphs[called].nodes)
                    work.append((called, found[called]))
    return found


def _substituted(sources: Sources, operands: list[Sources]) -> Sources:
    found = Sources(0, sources.draws)
    for number, operand in enumerate(operands):
        if sources.arguments >> number & 1:
            found |= operand
    return found
