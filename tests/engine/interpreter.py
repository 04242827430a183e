"""A reference interpreter: what a small module can be seen to do, over all schedules that its edges allow.

It shares nothing with the engine but the text form's data classes: op effects, call inlining and reachability are
its own. Values are terms, so two results are equal only if they were computed alike from the same states.

Branches and loops are expanded as well, loops for a few rounds; each step of a branch has *guards*, and runs only
where they hold. Which way a predicate goes is drawn for its term and the *world* given, so that equal predicates go
the same way in both programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from zlib import crc32

from tfreuse.ir.attrs import Attrs, Func
from tfreuse.ir.graph import Graph, Module, Node
from tfreuse.ir.text import print_attrs
from tfreuse.testing.schemas import snapshot

READS = {
    *("ReadVariableOp", "ResourceGather", "VariableShape", "VarIsInitializedOp"),
    *("LookupTableFindV2", "LookupTableSizeV2", "ReadFile", "MatchingFiles"),
}
WRITES = {
    *("AssignVariableOp", "AssignAddVariableOp", "ResourceScatterAdd", "DestroyResourceOp"),
    *("ResourceApplyGradientDescent", "LookupTableInsertV2", "RngReadAndSkip", "StatefulUniform"),
    *("QueueDequeueV2", "QueueEnqueueV2", "PrintV2", "RandomUniform", "WriteFile", "Timestamp"),
}
AMBIENT = {
    **dict.fromkeys(("PrintV2", "WriteFile", "ReadFile", "MatchingFiles"), "io"),
    "RandomUniform": "rng",
    "Timestamp": "clock",
}
"""State without a handle; of the other stateful ops operand 0 names it."""

PURE = {
    *("", "Abs", "AddN", "AddV2", "BiasAdd", "Cast", "Const", "Conv2D", "Div", "EnsureShape", "Exp", "Expm1", "Fill"),
    *("GreaterEqual", "Identity", "IdentityN", "LeakyRelu", "Less", "LogicalAnd", "LogicalOr", "MatMul", "Maximum"),
    *("Mul", "Neg", "NoOp", "PreventGradient", "RealDiv", "Relu", "Reshape", "SelectV2", "Shape", "Slice", "Split"),
    *("StopGradient", "StringJoin", "StringLower", "Sub", "Tanh"),
}
"""Functions of their operands; any other op is refused."""

COMMUTING = {"AddV2", "Mul", "LogicalAnd", "LogicalOr"}
COMMUTING_INTEGERS = {"Maximum", "Minimum"}
SILENT = {"_output_shapes", "_class", "_has_manual_control_dependencies"}
MAX_DEPTH = 8
ROUNDS = 2
"""How often a loop runs at most."""
PORTS = 3
"""Outputs that every step is taken to have."""
CHOICE = "(choice)"
"""The op of a step that gives its second operand where its first is true, else its third."""
NOTHING = -1
"""What a step gives that does not run."""

Term = tuple[object, ...]
Number = Callable[[Term], int]
Guards = tuple[tuple[tuple[int, int], bool], ...]
"""Predicates, as (step, port), and which way each must go."""


class TooManySchedules(Exception):
    """The state space of the module is larger than the limit given."""


class UnknownHere(Exception):
    """The module holds an op that this interpreter does not know."""


@dataclass
class Step:
    """A node of the module with all calls expanded; `state` is what it reads or writes where its `guards` hold."""

    op: str
    attrs: str
    inputs: tuple[tuple[int, int], ...] = ()
    waits: frozenset[int] = frozenset()
    state: str = ""
    constant: Term | None = None
    guards: Guards = ()


@dataclass
class Program:
    """The steps of a module, the results by label, the steps that must run."""

    steps: list[Step] = field(default_factory=list)
    results: dict[str, tuple[int, int]] = field(default_factory=dict)
    required: set[int] = field(default_factory=set)

    def live(self) -> set[int]:
        """The steps that anybody waits for, as TensorFlow prunes a graph."""
        found: set[int] = set()
        work = [step for step, _ in self.results.values()] + list(self.required)
        while work:
            index = work.pop()
            if index not in found:
                found.add(index)
                work += [source for source, _ in self.steps[index].inputs] + list(self.steps[index].waits)
        return found

    def ancestors(self) -> dict[int, set[int]]:
        """For each live step all steps that are before it in every schedule."""
        above: dict[int, set[int]] = {}

        def visit(index: int) -> set[int]:
            if index not in above:
                step = self.steps[index]
                direct = {source for source, _ in step.inputs} | step.waits
                above[index] = direct.union(*(visit(source) for source in direct))
            return above[index]

        for index in self.live():
            visit(index)
        return above

    def conflicts(self) -> Iterator[tuple[int, int]]:
        """Pairs of live steps on one state of which at least one writes."""
        touching = [index for index in sorted(self.live()) if self.steps[index].state]
        for position, one in enumerate(touching):
            for other in touching[position + 1 :]:
                first, second = self.steps[one], self.steps[other]
                if first.state == second.state and not (first.op in READS and second.op in READS):
                    yield one, other

    def has_branches(self) -> bool:
        """Whether what runs depends on the world."""
        return any(step.guards for step in self.steps)

    def has_race(self) -> bool:
        """Whether two conflicting steps may run in either order."""
        above = self.ancestors()
        return any(one not in above[other] and other not in above[one] for one, other in self.conflicts())


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


def outcomes(
    program: Program, terms: dict[Term, int], limit: int = 20_000, world: int = 0, every: bool = True
) -> set[Term]:
    """What can be seen of the program: its results and the last state of everything, for every schedule.

    `terms` numbers the terms; two programs to be compared must share it. With `every` off, a step that nothing can
    race with any more runs at once, which leaves out schedules that give no other outcome.

    Raises:
        TooManySchedules: if there are more than `limit` intermediate states.
    """
    live = program.live()
    steps = program.steps
    users: dict[int, list[int]] = {index: [] for index in live}
    for index in live:
        for source in {source for source, _ in steps[index].inputs} | steps[index].waits:
            users[source].append(index)
    rivals: dict[int, list[int]] = {}
    if not every:
        above = program.ancestors()
        rivals = {index: [] for index in live if steps[index].state}
        for one, other in program.conflicts():
            if one not in above[other]:
                rivals[one].append(other)
            if other not in above[one]:
                rivals[other].append(one)

    def number(term: Term) -> int:
        return terms.setdefault(term, len(terms))

    def settle(values: dict[int, tuple[int, ...]]) -> None:
        """Run everything without state that can run."""
        moved = True
        while moved:
            moved = False
            for index in sorted(live - values.keys()):
                step = steps[index]
                if not all(source in values for source, _ in step.inputs) or not step.waits <= values.keys():
                    continue
                if step.guards and not all(_holds(values, *guard, world) for guard in step.guards):
                    values[index] = (NOTHING,) * PORTS
                    moved = True
                elif not step.state:
                    values[index] = _evaluate(step, values, number, world)
                    moved = True

    start: dict[int, tuple[int, ...]] = {}
    settle(start)
    found: set[Term] = set()
    seen: set[Term] = set()
    work: list[tuple[dict[int, tuple[int, ...]], dict[str, int]]] = [(start, {})]
    while work:
        values, states = work.pop()
        ready = [
            index
            for index in live - values.keys()
            if steps[index].state
            and all(source in values for source, _ in steps[index].inputs)
            and steps[index].waits <= values.keys()
        ]
        if not ready:
            assert live == values.keys(), "a schedule got stuck: the graph has a cycle"
            results = tuple((label, values[step][port]) for label, (step, port) in sorted(program.results.items()))
            found.add((results, tuple(sorted(states.items()))))
            continue
        if not every:
            alone = (index for index in ready if all(rival in values for rival in rivals[index]))
            ready = [found for found in [next(alone, None)] if found is not None] or ready
        for index in ready:
            after, new_states = dict(values), dict(states)
            after[index] = _access(steps[index], values, new_states, number)
            settle(after)
            key: Term = (tuple(sorted(after.items())), tuple(sorted(new_states.items())))
            if key not in seen:
                seen.add(key)
                if len(seen) > limit:
                    raise TooManySchedules
                work.append((after, new_states))
    return found


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


def _holds(values: Mapping[int, tuple[int, ...]], predicate: tuple[int, int], wanted: bool, world: int) -> bool:
    value = values[predicate[0]][predicate[1]]
    return value != NOTHING and _decided(value, world) == wanted


def _decided(value: int, world: int) -> bool:
    """Which way a predicate of this value goes."""
    return value != NOTHING and bool(crc32(b"%d %d" % (value, world)) & 1)


def _resource(program: Program, source: tuple[int, int]) -> str:
    step = program.steps[source[0]]
    while step.constant is None:
        if step.op != "Identity":
            raise UnknownHere(f"a handle from {step.op}")
        step = program.steps[step.inputs[0][0]]
    return str(step.constant[1])


def _evaluate(step: Step, values: Mapping[int, tuple[int, ...]], number: Number, world: int) -> tuple[int, ...]:
    operands = [values[source][port] for source, port in step.inputs]
    if step.constant is not None:
        return (number(step.constant),) * PORTS
    if step.op == "Identity":
        return (operands[0],) * PORTS
    if step.op == CHOICE:
        return (operands[1 if _decided(operands[0], world) else 2],) * PORTS
    if step.op in COMMUTING or (step.op in COMMUTING_INTEGERS and "int" in step.attrs):
        operands.sort()
    return tuple(number((step.op, step.attrs, port, *operands)) for port in range(PORTS))


def _access(
    step: Step, values: Mapping[int, tuple[int, ...]], states: dict[str, int], number: Number
) -> tuple[int, ...]:
    operands = [values[source][port] for source, port in step.inputs]
    state = states.get(step.state)
    if state is None:
        state = number(("initial", step.state))
    result = number((step.op, step.attrs, state, *operands[step.op not in AMBIENT :]))
    if step.op not in READS:
        states[step.state] = result
    return (result,) * PORTS


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
