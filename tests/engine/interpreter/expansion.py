"""From a module to a program: calls, branches and loops are expanded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from tests.engine.interpreter.ops import AMBIENT, PURE, READS, SILENT, WRITES
from tests.engine.interpreter.program import CHOICE, PORTS, Guards, Program, Step, Term
from tfreuse.ir.attrs import Attrs, Func
from tfreuse.ir.graph import Graph, Module, Node
from tfreuse.ir.text import print_attrs
from tfreuse.testing.schemas import snapshot

MAX_DEPTH = 8
ROUNDS = 2
"""How often a loop runs at most."""


class UnknownHere(Exception):
    """The module holds an op that this interpreter does not know."""


def expand(module: Module, name: str, resources: Mapping[str, str]) -> Program:
    """The graph `name` with its calls expanded; `resources` names the state behind resource arguments.

    A call is strict: its body starts when all its inputs are there, and it is done when its body is.
    """
    program = Program()
    graph = module.graphs[name]
    arguments = {
        argument: _constant(program, ("resource", resources[argument]) if argument in resources else ("arg", argument))
        for argument in graph.arguments
    }
    index = _expand_body(module, graph, arguments, frozenset(), program)
    for label, value in graph.outputs:
        program.results[label] = index[value.node][value.port]
    for kept in graph.kept:
        program.results[f"kept {kept}"] = index[kept][0]
        program.required.update(step for step, _ in index[kept])
    for _, node in graph.control_outputs:
        program.required.update(step for step, _ in index[node])
    return program


def named_resources(resources: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """All ways in which resource arguments may be the same or different variables."""
    for choice in product(range(len(resources)), repeat=len(resources)):
        # One assignment a partition: each argument names an earlier one that names itself.
        if all(target <= index and choice[target] == target for index, target in enumerate(choice)):
            yield {name: resources[target] for name, target in zip(resources, choice, strict=True)}


def _constant(program: Program, term: Term) -> list[tuple[int, int]]:
    program.steps.append(Step("", "", constant=term))
    return [(len(program.steps) - 1, 0)] * PORTS


def _expand_body(
    module: Module,
    graph: Graph,
    index: dict[str, list[tuple[int, int]]],
    waits: frozenset[int],
    program: Program,
    depth: int = 0,
    guards: Guards = (),
) -> dict[str, list[tuple[int, int]]]:
    """Adds the steps of `graph`; gives for each node its outputs as (step, port)."""
    if depth > MAX_DEPTH:
        raise UnknownHere("recursion")
    for node in _in_order(graph):
        if node.name in index:
            continue
        inputs = [index[value.node][value.port] for value in node.inputs]
        before = waits.union(*({step for step, _ in index[control]} for control in node.controls))
        bodies = [module.graphs.get(function.name) for function in _called(node)]
        if bodies and None not in bodies:
            inside = _Inside(module, program, depth + 1, guards, before | {step for step, _ in inputs})
            index[node.name] = inside.expand([body for body in bodies if body is not None], inputs)
            continue
        schema = snapshot().get(node.op)
        attrs = print_attrs(Attrs({**(schema.defaults if schema else {}), **node.attrs.updated(dict.fromkeys(SILENT))}))
        step = Step(node.op, attrs, tuple(inputs), before, guards=guards)
        if node.op in ("VarHandleOp", "HashTableV2"):
            step = Step("", "", (), before, constant=("resource", node.attrs.value("shared_name", b"").decode()))
        elif node.op in READS | WRITES:
            step.state = AMBIENT.get(node.op) or _resource(program, inputs[0])
        elif node.op not in PURE:
            raise UnknownHere(node.op)
        program.steps.append(step)
        index[node.name] = [(len(program.steps) - 1, port) for port in range(PORTS)]
    return index


def _called(node: Node) -> list[Func]:
    """The bodies of a call; those of a branch, the true one first; the condition and the body of a loop."""
    names = [("f",), ("then_branch", "else_branch"), ("cond", "body")]
    return next((found for keys in names if all(found := [node.attrs.value(key) for key in keys])), [])


@dataclass
class _Inside:
    """Expands what one call, branch or loop runs; `ran` are all steps that must be done before it is."""

    module: Module
    program: Program
    depth: int
    guards: Guards
    ran: frozenset[int]

    def expand(self, bodies: list[Graph], inputs: list[tuple[int, int]]) -> list[tuple[int, int]]:
        if len(bodies) == 1:
            results = self.body(bodies[0], inputs, self.guards)
        elif len(bodies[0].arguments) == len(inputs):
            results = self.loop(bodies[0], bodies[1], inputs)
        else:
            results = self.branches(bodies[0], bodies[1], inputs)
        steps = [Step("Identity", "", (result,), self.ran, guards=self.guards) for result in results]
        return self.add(steps or [Step("NoOp", "", (), self.ran, guards=self.guards)])

    def add(self, steps: list[Step]) -> list[tuple[int, int]]:
        first = len(self.program.steps)
        self.program.steps += steps
        return [(first + number, 0) for number in range(len(steps))]

    def body(self, body: Graph, inputs: list[tuple[int, int]], guards: Guards) -> list[tuple[int, int]]:
        arguments = {name: [source] * PORTS for name, source in zip(body.arguments, inputs, strict=True)}
        inner = _expand_body(self.module, body, arguments, self.ran, self.program, self.depth, guards)
        self.ran |= {step for _, value in body.outputs for step, _ in inner[value.node]}
        self.ran |= {step for _, node in body.control_outputs for step, _ in inner[node]}
        return [inner[value.node][value.port] for _, value in body.outputs]

    def branches(self, yes: Graph, no: Graph, inputs: list[tuple[int, int]]) -> list[tuple[int, int]]:
        predicate, *operands = inputs
        one = self.body(yes, operands, (*self.guards, (predicate, True)))
        other = self.body(no, operands, (*self.guards, (predicate, False)))
        return self.choices(predicate, one, other)

    def loop(self, condition: Graph, body: Graph, inputs: list[tuple[int, int]]) -> list[tuple[int, int]]:
        guards, values = self.guards, inputs
        for _ in range(ROUNDS):
            (predicate,) = self.body(condition, values, guards)
            guards = (*guards, (predicate, True))
            values = self.choices(predicate, self.body(body, values, guards), values)
        self.body(condition, values, guards)
        return values

    def choices(
        self, predicate: tuple[int, int], one: list[tuple[int, int]], other: list[tuple[int, int]]
    ) -> list[tuple[int, int]]:
        """The results of two ways; what both give alike, such as a handle, stays what it is."""
        pairs = list(zip(one, other, strict=True))
        made = iter(self.add([Step(CHOICE, "", (predicate, *pair), self.ran, guards=self.guards) for pair in pairs]))
        return [pair[0] if pair[0] == pair[1] else choice for pair, choice in zip(pairs, made, strict=True)]


def _resource(program: Program, source: tuple[int, int]) -> str:
    step = program.steps[source[0]]
    while step.constant is None:
        if step.op != "Identity":
            raise UnknownHere(f"a handle from {step.op}")
        step = program.steps[step.inputs[0][0]]
    return str(step.constant[1])


def _in_order(graph: Graph) -> Iterator[Node]:
    """The nodes, inputs first, by repeated search: slow, and obviously right."""
    left = dict(graph.nodes)
    while left:
        ready = [
            node
            for node in left.values()
            if not any(value.node in left for value in node.inputs) and left.keys().isdisjoint(node.controls)
        ]
        assert ready, "the graph has a cycle"
        for node in ready:
            del left[node.name]
            yield node
