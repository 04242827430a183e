"""Pairs of nodes that are equal in all fields but one: what was not merged, and the field that stood in the way."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import pairwise
from typing import NamedTuple

from tfreuse.analysis.alias import Resource
from tfreuse.analysis.analyses import Analyses
from tfreuse.analysis.cost import HEAVY
from tfreuse.analysis.effects import EFFECT, FIXED, PURE, READ
from tfreuse.analysis.fingerprint import INSIGNIFICANT
from tfreuse.analysis.live import live_nodes
from tfreuse.ir.graph import Node, Value
from tfreuse.ir.text import print_attr, print_value

_SEEDS = frozenset({"seed", "seed2"})


class NearMiss(NamedTuple):
    """`nodes` are the two; `id` is the remark's; `field` is what differs and `detail` how."""

    id: str
    nodes: tuple[str, str]
    field: str
    detail: str


def near_misses(analyses: Analyses) -> list[NearMiss]:
    """Near misses among the live nodes worth a word: reads, calls, heavy ops, and effects that look alike."""
    return list(dict.fromkeys(_Finder(analyses).find()))


class _Finder:
    def __init__(self, analyses: Analyses) -> None:
        self._a = analyses
        self._nodes = analyses.graph.nodes
        self._congruence = analyses.congruence
        self._ops = analyses.summaries.ops

    def find(self) -> Iterator[NearMiss]:
        number = self._congruence.number
        buckets: dict[tuple[Hashable, ...], dict[int, Node]] = {}
        live = live_nodes(self._a.graph)
        for name in self._a.order:
            if name not in live:
                continue
            node = self._nodes[name]
            kind = self._a.effects.kind(node)
            if name in self._a.graph.arguments or kind == FIXED:
                continue
            if name in self._a.custom_gradients and kind != EFFECT:
                same = self._congruence
                twin = ("custom", same.attributes(node), same.operands(node), same.state(node))
                buckets.setdefault(twin, {})[number[name]] = node
            elif kind == EFFECT:
                buckets.setdefault(("effect", *self._effect_key(node)), {})[number[name]] = node
            elif kind == READ or node.op in HEAVY:
                for key in self._relaxed(node):
                    buckets.setdefault(key, {}).setdefault(number[name], node)
            elif name in self._a.racing:  # it uses a TF1 reference
                buckets.setdefault(next(self._relaxed(node)), {})[number[name]] = node
        for key, members in buckets.items():
            alike = list(members.values())
            for one, other in pairwise(alike):
                found = self._explain(str(key[0]), one, other)
                if found is not None:
                    yield found

    def _relaxed(self, node: Node) -> Iterator[tuple[Hashable, ...]]:
        """The node's key with one field left out, once for each field."""
        attrs = self._congruence.attributes(node)
        operands = self._congruence.operands(node)
        state = self._congruence.state(node)
        yield "state", attrs, operands, None
        yield "attributes", node.op, operands, state
        for index in range(len(operands) if len(operands) > 1 else 0):
            yield "operand", index, attrs, operands[:index] + operands[index + 1 :], state

    def _effect_key(self, node: Node) -> tuple[Hashable, ...]:
        attrs = self._congruence.attr_keys.significant(node)
        meaning = tuple(sorted((name, attr) for name, attr in attrs.items() if name not in _SEEDS))
        return node.op, node.device, meaning, self._congruence.operands(node)

    def _explain(self, field: str, one: Node, other: Node) -> NearMiss | None:
        if field == "custom":
            detail = "the gradient is the user's, and need not be linear"
            return NearMiss("custom-gradient", (one.name, other.name), "gradient", detail)
        if field == "effect":
            return self._effect(one, other)
        if field == "state":
            return self._state(one, other)
        if field == "attributes":
            return self._attributes(one, other)
        return self._operand(one, other)

    def _effect(self, one: Node, other: Node) -> NearMiss | None:
        nodes = (one.name, other.name)
        accesses = self._a.effects.of(other)
        if any(access.resource == Resource("ambient", "rng") for access in accesses):
            return NearMiss("random-draw", nodes, "effect", f"each {one.op} draws numbers of its own")
        written = sorted({str(access.resource) for access in accesses if access.mode == "write"})
        if written == ["unknown"]:
            return NearMiss("unknown-effects", nodes, "effect", f"what {one.op} does is not known")
        if not written:
            return NearMiss("reference-read", nodes, "effect", f"each {one.op} reads a reference when it runs")
        return NearMiss("observable-effect", nodes, "effect", f"each {one.op} writes {', '.join(written)}")

    def _state(self, one: Node, other: Node) -> NearMiss | None:
        if self._a.kinds[one.name] == FIXED or self._a.kinds[other.name] == FIXED:
            return NearMiss("racing-reads", (one.name, other.name), "state", "a write may come before or after either")
        memory = self._a.memory
        differing = memory.effects_of(memory.of(one.name).effects ^ memory.of(other.name).effects)
        if differing and self._a.effects.kind(other) == READ:
            names = ", ".join(differing[:3])
            return NearMiss("write-between", (one.name, other.name), "state", f"{names} runs before only one of them")
        controls = sorted(one.controls ^ other.controls)[:3]
        return NearMiss("different-order", (one.name, other.name), "control inputs", ", ".join(controls))

    def _attributes(self, one: Node, other: Node) -> NearMiss | None:
        if one.device != other.device:
            detail = f"{one.device or 'no device'} and {other.device or 'no device'}"
            return NearMiss("different-device", (one.name, other.name), "device", detail)
        keys = self._congruence.attr_keys
        mine, theirs = keys.significant(one), keys.significant(other)
        names = sorted(
            n for n in mine.keys() | theirs.keys() if mine.get(n) != theirs.get(n) and n not in INSIGNIFICANT
        )
        if not names:
            return None
        texts = [print_attr(found[names[0]])[:100] if names[0] in found else "absent" for found in (mine, theirs)]
        return NearMiss("different-attributes", (one.name, other.name), ", ".join(names), " and ".join(texts))

    def _operand(self, one: Node, other: Node) -> NearMiss | None:
        mine, theirs = self._congruence.operands(one), self._congruence.operands(other)
        differing = [index for index, pair in enumerate(zip(mine, theirs, strict=True)) if pair[0] != pair[1]]
        if len(differing) != 1 or one.op != other.op:
            return None
        index = differing[0]
        left, right = one.inputs[index], other.inputs[index]
        variables = self._variable(left), self._variable(right)
        if None not in variables and variables[0] != variables[1]:
            detail = f"{variables[0]} and {variables[1]}"
            return NearMiss("different-variables", (one.name, other.name), f"operand {index}", detail)
        if self._follows(left, right):
            return None
        detail = f"{print_value(left)} and {print_value(right)}"
        return NearMiss("different-operand", (one.name, other.name), f"operand {index}", detail)

    def _follows(self, left: Value, right: Value) -> bool:
        """Whether the operands differ only because something further up does, which has a remark of its own."""
        one, other = self._nodes[left.node], self._nodes[right.node]
        if {one.name, other.name} & set(self._a.graph.arguments):
            return False
        return one.op == other.op and self._a.effects.kind(one) == PURE and bool(one.inputs)

    def _variable(self, value: Value) -> str | None:
        """The variable that a value is read from, looked up through casts and reshapes; None if it is none."""
        for _ in range(len(self._nodes)):
            node = self._nodes[value.node]
            kind = self._a.effects.kind(node) if node.name not in self._a.graph.arguments else ""
            if kind == READ:
                names = {str(access.resource) for access in self._a.effects.of(node)}
                return self._name_of(node) or " and ".join(sorted(names))
            if kind != PURE or len(node.inputs) != 1:
                return None
            value = node.inputs[0]
        return None

    def _name_of(self, read: Node) -> str | None:
        """The handle's node or argument name, which is what people recognise."""
        return read.inputs[0].node if read.inputs else None
