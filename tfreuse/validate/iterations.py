"""The proof that a loop may run another body: in each iteration, that body does what the old one did.

Nothing is inferred of counters. The loop is run on the whole numbers that are known: what it begins with, then, as long
as its condition holds, what the old body makes of them. A condition that is not known in some iteration is refused, so
all iterations are enumerated. In each, both bodies are held against each other (`tfreuse.validate.translation`) with
these numbers in the places of the loop's variables. By induction over the iterations the variables are equal in each,
those whose numbers are not known included, as both bodies get the same and are proved to give the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from tfreuse.errors import GraphError
from tfreuse.ir.constants import whole_constant
from tfreuse.ir.graph import Graph, Module, Node, Value, fresh_name
from tfreuse.ops.integers import Integers, Numbers
from tfreuse.ops.registry import Ops
from tfreuse.validate.stated import Shape, stated
from tfreuse.validate.touches import Touches
from tfreuse.validate.translation import prove
from tfreuse.validate.witness import Witness

MOST = 1024
"""A loop of more iterations is not enumerated."""
_TYPES = (3, 9)
"""int32 and int64: others wrap around where `Integers` does not look."""
_COMPARISONS = {"Less": int.__lt__, "LessEqual": int.__le__, "Greater": int.__gt__, "GreaterEqual": int.__ge__}

State = dict[int, Numbers]
"""What is known of the loop's variables, by their places."""


def refuse_body(before: Module, after: Graph, caller: str, name: str, merged: Mapping[str, str], ops: Ops) -> str:
    """Why the loop `name` of graph `caller` is not proved to do with the body `after` what it does, or nothing.

    `merged` says which nodes of `after` stand for nodes of the body, by the lemma of selections; it is not believed.
    """
    call = before.graphs[caller].nodes[name]
    function = call.attrs.value("body")
    old = None if function is None else before.graphs.get(function.name)
    if old is None or (old.attrs, old.name) != (after.attrs, after.name):
        return "it is no loop of which the body is known, or the body's attributes changed"
    states = iterations(before, before.graphs[caller], call)
    if states is None:
        return "how often the loop runs is not known"
    shapes = _given(before.graphs[caller], call, old)
    old, after = (replace(graph, shapes=shapes) for graph in (old, after))
    touches, witness = Touches(before, ops), Witness(merged, {}, selections=frozenset(merged))
    if not states:
        return "the loop never runs"
    taken = {node.lower() for graph in (old, after) for node in graph.nodes}
    for number, state in enumerate(states):
        refusal = prove(with_numbers(old, state, taken), with_numbers(after, state, taken), witness, touches, ops)
        if refusal is not None:
            return f"iteration {number}: {refusal.node}: {refusal.reason}"
    return ""


def iterations(module: Module, caller: Graph, call: Node) -> list[State] | None:
    """What is known of the loop's variables in each of its iterations; None if it is not known how many there are."""
    functions = [call.attrs.value(key) for key in ("body", "cond")]
    body, cond = (None if f is None else module.graphs.get(f.name) for f in functions)
    if body is None or cond is None or len(cond.outputs) != 1 or len(body.outputs) != len(call.inputs):
        return None
    if any(len(graph.arguments) != len(call.inputs) for graph in (body, cond)):
        return None
    wanted = {place for place, name in enumerate(body.arguments) if body.nodes[name].attrs.value("T") in _TYPES}
    state = _known(Integers(caller.nodes, caller.arguments), call.inputs, wanted)
    taken = {node.lower() for graph in (body, cond) for node in graph.nodes}
    found: list[State] = []
    while len(found) <= MOST:
        here = with_numbers(cond, state, taken)
        holds = _truth(here, Integers(here.nodes, here.arguments), here.outputs[0][1])
        if holds is None:
            return None
        if not holds:
            return found
        found.append(state)
        inside = with_numbers(body, state, taken)
        state = _known(Integers(inside.nodes, inside.arguments), [value for _, value in inside.outputs], wanted)
    return None


def _known(integers: Integers, values: Collection[Value], wanted: set[int]) -> State:
    found = {place: integers.of(value) for place, value in enumerate(values) if place in wanted}
    return {place: numbers for place, numbers in found.items() if numbers is not None}


def with_numbers(graph: Graph, state: State, taken: Collection[str]) -> Graph:
    """The graph with constants in the place of what is known of its arguments; `taken` are names in lower case."""
    made: dict[str, Node] = {}
    names = set(taken)
    for place, numbers in state.items():
        argument = graph.nodes[graph.arguments[place]]
        name = fresh_name(f"{argument.name}/number", names)
        made[argument.name] = whole_constant(name, numbers.shape, numbers.elements, argument.attrs.value("T"))

    def at(value: Value) -> Value:
        return Value(made[value.node].name) if value.node in made and not value.port else value

    nodes = {node.name: node for node in made.values()}
    for name, node in graph.nodes.items():
        changes = any(source in made for source, _ in node.inputs)
        nodes[name] = node._replace(inputs=tuple(map(at, node.inputs))) if changes else node
    return graph.evolve(nodes, tuple((label, at(value)) for label, value in graph.outputs))


def _truth(graph: Graph, integers: Integers, value: Value) -> bool | None:
    """Whether a value is true; None where that is not known."""
    node = graph.nodes[value.node]
    if value.port or value.node in graph.arguments:
        return None
    if node.op == "Identity":
        return _truth(graph, integers, node.inputs[0])
    if node.op == "LogicalAnd":
        sides = [_truth(graph, integers, operand) for operand in node.inputs]
        return False if False in sides else None if None in sides else True
    compare = _COMPARISONS.get(node.op)
    numbers = [integers.number_of(operand) for operand in node.inputs] if compare else []
    if compare is None or None in numbers:
        return None
    one, other = (number for number in numbers if number is not None)
    return compare(one, other)


def _handed(body: Graph, value: Value) -> Value:
    """The value that others hand on."""
    node = body.nodes[value.node]
    return _handed(body, node.inputs[0]) if node.op == "Identity" and node.name not in body.arguments else value


def _given(caller: Graph, call: Node, body: Graph) -> Callable[[Value], Shape | None]:
    """The static shapes of the body's values as it knows them, and of variables that it hands on as they are, as the
    caller states them of what the loop begins with."""

    handed = {
        Value(name): operand
        for name, operand, (_, result) in zip(body.arguments, call.inputs, body.outputs, strict=False)
        if _handed(body, result) == Value(name)
    }

    def shape_of(value: Value) -> Shape | None:
        known = stated(body, value) if value.node in body.nodes else None
        return stated(caller, handed[value]) if known is None and value in handed else known

    return shape_of


def surely_runs(module: Module, caller: Graph, call: Node) -> bool:
    """Whether the loop is known to have an iteration."""
    try:
        return bool(iterations(module, caller, call))
    except GraphError:
        return False
