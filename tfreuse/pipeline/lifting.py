"""Moves work out of the functions of a loop or a branch: the new nodes, the new functions, the new call.

The work is computed once in front of the call, and its values enter as operands more. Functions that change are copies
under names of their own, because TensorFlow names the functions that it makes for gradients after the bodies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from tfreuse.analysis.cost import HEAVY, cost_of
from tfreuse.analysis.effects import EFFECT
from tfreuse.analysis.movable import Call, Movable
from tfreuse.analysis.shapes import Shape, stated_shapes
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.graph import ARGUMENT_OP, Graph, Node, Value, fresh_name
from tfreuse.ir.order import ancestors, topological
from tfreuse.ops.registry import Ops

ORIGINAL = "_num_original_outputs"
"""How many outputs of a loop have gradients of their own; those behind them are what an earlier gradient needs."""

Output = tuple[int, int]
"""A term by its number, and a port."""


class Lifted(NamedTuple):
    """The caller afterwards, the new functions with the names of those that they come from, the nodes that are new."""

    caller: Graph
    functions: dict[str, Graph]
    origins: dict[str, str]
    added: dict[str, Node]


class Worth:
    """Which of the values that could move are worth an operand more.

    What is behind a value must be at least `multiply_adds` for each of its bytes, or take `bytes` in results and four
    times as many as the value does. What is cheap and large is computed again rather than kept. Where sizes are
    not known, convolutions and products move, and nothing behind them.
    """

    def __init__(self, movable: Movable, ops: Ops, multiply_adds: float, bytes: int) -> None:
        self._movable = movable
        self._multiply_adds, self._bytes = multiply_adds, bytes
        shapes = [stated_shapes(function) for function in movable.call.functions]
        self.costs = [cost_of(term.node, shapes[term.function], ops) for term in movable.terms]
        self.refused: dict[int, str] = {}

    def chosen(self) -> list[Output]:
        """The values that are to move, each as far down the way of its users as pays."""
        moving = {number for numbers in self._movable.numbers for number in numbers.values()}
        while True:
            used = sorted(set(self._movable.used(moving)))
            idle = {number for number, _ in used if not self._pays(number)}
            if not idle:
                return used
            moving -= idle

    def _pays(self, number: int) -> bool:
        terms = self._movable.terms
        cone = self._movable.cone(number)
        behind = [self.costs[other] for other in cone]
        heavy = any(terms[other].node.op in HEAVY for other in cone)
        bytes = self.costs[number].bytes
        work = [cost.multiply_adds for cost in behind]
        if heavy and (bytes is None or None in work):
            return terms[number].node.op in HEAVY
        if bytes is None:
            return False
        results = sum(self.costs[other].bytes or 0 for other in cone if terms[other].operands)
        if sum(count or 0 for count in work) >= self._multiply_adds * bytes and heavy:
            return True
        if heavy:
            self.refused[number] = f"{sum(count or 0 for count in work)} multiply-adds for {bytes} bytes to keep"
        return results >= max(self._bytes, 4 * bytes)


def lift(
    movable: Movable, outputs: Sequence[Output], kinds: Mapping[str, str], taken: Iterable[str], ops: Ops, scope: str
) -> Lifted:
    """Move `outputs`, and what they are made of, in front of the call; `taken` are the names of functions.

    `kinds` are those of the caller's nodes; new nodes stand in `scope` of the call.
    """
    call = movable.call
    cone = set().union(*(movable.cone(number) for number, _ in outputs))
    made = _new_nodes(movable, sorted(cone), kinds, ops, scope)
    operands = tuple(Value(made[number].name, port) for number, port in outputs)
    types = tuple(ops.output_types(movable.terms[n].node.op, movable.terms[n].node.attrs)[port] for n, port in outputs)
    shapes = _shapes(movable, outputs, made)
    names = {name.lower() for name in taken}
    functions: dict[str, Graph] = {}
    origins: dict[str, str] = {}
    for function in (*call.functions, *call.others):
        if function.name in origins.values():  # both branches are one function
            continue
        name = fresh_name(f"{function.name}_hoisted", names)
        gives = call.speculates and function in call.functions
        functions[name] = _with_arguments(function, name, list(zip(types, shapes, strict=True)), gives)
        origins[name] = function.name
    news = {old: new for new, old in origins.items()}
    for old, numbers in {f.name: n for f, n in zip(call.functions, movable.numbers, strict=True)}.items():
        functions[news[old]] = _without(functions[news[old]], numbers, cone, outputs)
    node = _new_call(call, operands, types, news, shapes)
    nodes: dict[str, Node] = {}
    for place, listed in call.caller.nodes.items():
        if place == call.name:
            nodes.update((new.name, new) for new in made.values())
        nodes[place] = node if place == call.name else listed
    return Lifted(call.caller.evolve(nodes), functions, origins, {new.name: new for new in made.values()})


def _new_nodes(movable: Movable, numbers: list[int], kinds: Mapping[str, str], ops: Ops, scope: str) -> dict[int, Node]:
    """The moved work as nodes of the caller. A read waits for all effects that the call waits for."""
    call = movable.call
    names = {name.lower() for name in call.caller.nodes}
    effects = {name for name in ancestors(call.caller, [call.name]) if kinds[name] == EFFECT and name != call.name}
    direct = call.node.controls.union(source for source, _ in call.node.inputs)
    waits = frozenset(source for source in direct if effects & ancestors(call.caller, [source]))
    made: dict[int, Node] = {}
    for number in numbers:
        node, operands = movable.terms[number].node, movable.terms[number].operands
        inputs = tuple(
            Value(made[source].name, port) if source >= 0 else call.node.inputs[call.first + ~source]
            for source, port in operands
        )
        alike = [
            inside.nodes[name].attrs.get("_output_shapes")
            for inside, known in zip(call.functions, movable.numbers, strict=True)
            for name, other in known.items()
            if other == number
        ]
        agree = all(shapes == alike[0] for shapes in alike)
        attrs = node.attrs if agree else node.attrs.updated({"_output_shapes": None})
        reads = ops.facts(node.op).kind == "effects"
        made[number] = Node(
            fresh_name(f"{call.name}/{scope}/{node.name.rpartition('/')[2]}", names),
            node.op,
            inputs,
            waits if reads else frozenset(),
            attrs,
            node.device or call.node.device,
        )
    return made


def _with_arguments(function: Graph, name: str, more: list[tuple[int, Shape | None]], gives: bool) -> Graph:
    """The function with arguments more (types and shapes), which a loop's body also gives back."""
    taken = {node.lower() for node in function.nodes} | {label.lower() for label, _ in function.outputs}
    fresh = [
        Node(fresh_name("hoisted", taken), ARGUMENT_OP, attrs=Attrs({"T": Attr("type", dtype)})) for dtype, _ in more
    ]
    old = [function.nodes[argument] for argument in function.arguments]
    nodes = {node.name: node for node in [*old, *fresh]}
    nodes.update({key: node for key, node in function.nodes.items() if key not in nodes})
    outputs = [(fresh_name("hoisted_out", taken), Value(node.name)) for node in fresh] if gives else []
    attrs: dict[str, Attr | None] = {}
    for key in ("_input_shapes", "_output_shapes") if gives else ("_input_shapes",):
        listed = function.attrs.value(key, ("", ()))[1]
        if listed:
            attrs[key] = Attr("list", ("shape", (*listed, *(shape for _, shape in more))))
    return replace(
        function,
        name=name,
        attrs=function.attrs.updated(attrs) if attrs else function.attrs,
        nodes=nodes,
        arguments=(*function.arguments, *(node.name for node in fresh)),
        outputs=(*function.outputs, *outputs),
        shapes=None,
    )


def _without(function: Graph, numbers: Mapping[str, int], cone: set[int], outputs: Sequence[Output]) -> Graph:
    """The function with its new arguments in the place of `outputs`, without the nodes that nobody uses any more."""
    places = dict(zip(outputs, function.arguments[-len(outputs) :], strict=True))

    def moved(value: Value) -> Value:
        argument = places.get((numbers.get(value.node, -1), value.port))
        return value if argument is None else Value(argument)

    nodes = {
        name: node._replace(inputs=tuple(map(moved, node.inputs))) if any(moved(v) != v for v in node.inputs) else node
        for name, node in function.nodes.items()
    }
    results = tuple((label, moved(value)) for label, value in function.outputs)
    used = {value.node for _, value in results}
    gone: set[str] = set()
    for name in reversed(topological(function)):
        if numbers.get(name) in cone and name not in used:
            gone.add(name)
        else:
            used.update(source for source, _ in nodes[name].inputs)
    left = {
        name: node._replace(controls=node.controls - gone) if node.controls & gone else node
        for name, node in nodes.items()
        if name not in gone
    }
    controls = tuple((label, name) for label, name in function.control_outputs if name not in gone)
    return function.evolve(left, results, controls)


def _new_call(
    call: Call,
    operands: tuple[Value, ...],
    types: tuple[int, ...],
    names: Mapping[str, str],
    shapes: tuple[Shape | None, ...],
) -> Node:
    node = call.node
    changes: dict[str, Attr | None] = {}
    for key, (kind, value) in node.attrs.items():
        if kind == "func" and value.name in names:
            changes[key] = Attr(kind, value._replace(name=names[value.name]))
        elif kind == "list" and value[0] == "func":
            changes[key] = Attr(kind, ("func", tuple(f._replace(name=names.get(f.name, f.name)) for f in value[1])))
    key = "T" if call.speculates else "Tin"
    changes[key] = Attr("list", ("type", (*node.attrs.value(key, ("type", ()))[1], *types)))
    if call.speculates:
        listed = node.attrs.value("output_shapes", ("", ()))[1]
        if listed:
            changes["output_shapes"] = Attr("list", ("shape", (*listed, *shapes)))
        recorded = node.attrs.value("_output_shapes", ("", ()))[1]
        if recorded:
            changes["_output_shapes"] = Attr("list", ("shape", (*recorded, *shapes)))
        if ORIGINAL in node.attrs:
            changes[ORIGINAL] = Attr("i", node.attrs.value(ORIGINAL) + len(operands))
    return node._replace(inputs=(*node.inputs, *operands), attrs=node.attrs.updated(changes))


def _shapes(movable: Movable, outputs: Sequence[Output], made: Mapping[int, Node]) -> tuple[Shape | None, ...]:
    """The shapes of the new operands, where the functions record them."""
    found: list[Shape | None] = []
    for number, port in outputs:
        term = movable.terms[number]
        known = movable.call.functions[term.function].shapes
        recorded = made[number].attrs.value("_output_shapes", ("", ()))[1]
        found.append(known(Value(term.node.name, port)) if known else recorded[port] if port < len(recorded) else None)
    return tuple(found)
