"""Work in the functions of a loop or a branch that depends on nothing but what the loop or branch was given.

Every node that could as well run in front of the call gets a *term*: op, device, attributes and the terms of its
operands, down to the arguments. Equal nodes have one term, in one function and across the branches of one `If`.

A node has no term, and stays, if it may fail, draws, writes, makes something, works in place, calls, waits for another
node, or has a gradient that the user wrote. A loop may not run at all, so what leaves it must not fail (speculation),
nor have operands whose shapes are not known to fit. Where a loop surely runs, what fails for its operand's shape may
leave it: it fails in front of the loop as it did in the first iteration. Branches may differ in whether they ask for a
term's gradient; it stays then.

A read has a term if nothing in the functions writes what it reads, and if all that may write it in the caller is
ordered with the call: then it sees, in front of the call, what it saw in each of the iterations.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from typing import NamedTuple

from tfreuse.analysis.alias import UNKNOWN, Alias, Resource, may_alias
from tfreuse.analysis.analyses import Analyses
from tfreuse.analysis.cost import HEAVY
from tfreuse.analysis.effects import EFFECT, PURE, READ, Summaries
from tfreuse.analysis.inlinable import STAYS, differentiated
from tfreuse.analysis.shapes import ShapeOf, stated_shapes
from tfreuse.ir.graph import Graph, Node, Value
from tfreuse.ir.order import ancestors, topological
from tfreuse.ops.fits import fails_by_shape, surely_fits
from tfreuse.ops.schema import RESOURCE, VARIANT

LOOPS = frozenset({"StatelessWhile", "While"})
BRANCHES = frozenset({"Case", "If", "StatelessCase", "StatelessIf"})

_SILENT = frozenset({"_output_shapes", "_has_manual_control_dependencies"})
_OF_ITS_OWN = frozenset({"stateless-random", "quantization-unit", "variant"})
"""Flags of ops that stay: draws, parts of a pattern that converters look for, values of type variant."""


_PYTHON = Resource("ambient", "python")
"""What Python functions write; these may assign to any variable."""


class Term(NamedTuple):
    """What `node` of function number `function` computes; `operands` are terms by number, or arguments as ~index."""

    function: int
    node: Node
    operands: tuple[tuple[int, int], ...]


class Call(NamedTuple):
    """The node `name` of `caller` and the functions in which work is looked for, with the operands that they get.

    `others` are functions that run beside them (the condition of a loop). `first` is the operand that the functions
    get as their first. A loop `speculates`, unless it is known to have an iteration: it `runs`.
    """

    caller: Graph
    name: str
    functions: tuple[Graph, ...]
    others: tuple[Graph, ...]
    first: int
    speculates: bool
    runs: bool = False

    @property
    def node(self) -> Node:
        """The loop or branch itself."""
        return self.caller.nodes[self.name]


class Movable:
    """The terms of one call: `numbers` has for each function the term of each node that has one.

    `stays` has by function nodes that stay although their operands never change, and why, where they keep a
    convolution or a product from moving.
    """

    def __init__(self, call: Call, summaries: Summaries, analyses: Analyses) -> None:
        self.call = call
        self.terms: list[Term] = []
        self.numbers: list[dict[str, int]] = []
        self.stays: list[dict[str, str]] = [{} for _ in call.functions]
        self._summaries = summaries
        self._analyses = analyses
        self._alias = Alias(call.caller, summaries.ops)
        self._known: dict[Hashable, int] = {}
        self._order_holds: dict[Resource, bool] = {}
        for index, function in enumerate(call.functions):
            self.numbers.append(self._number(index, function))
        if not call.speculates:
            shared: set[int] = set.intersection(*(set(numbers.values()) for numbers in self.numbers))
            shared -= self._sought_in_part(shared)
            self.numbers = [{n: k for n, k in numbers.items() if k in shared} for numbers in self.numbers]

    def _sought_in_part(self, shared: Collection[int]) -> set[int]:
        """Of the terms that all branches have, those whose gradient some of them ask for and some do not.

        A branch that does not has zeros for what the term is made of. In front of the branches these zeros would go
        through the term's own gradient, and nothing times infinity is no zero.
        """
        sought: list[set[int]] = []
        for function, numbers in zip(self.call.functions, self.numbers, strict=True):
            reached = differentiated(function, [value for _, value in function.outputs], self._summaries.ops)
            sought.append({numbers[node] for node, _ in reached if node in numbers})
        everywhere: set[int] = set.intersection(*sought)
        parted = {number for some in sought for number in some - everywhere}.intersection(shared)
        for numbers, stays in zip(self.numbers, self.stays, strict=True):
            heavy = [n for n, k in numbers.items() if k in parted and self.terms[k].node.op in HEAVY]
            stays.update(dict.fromkeys(heavy, "its gradient is asked for in one branch, and is zero in another"))
        return parted

    def _number(self, index: int, function: Graph) -> dict[str, int]:
        own = Analyses(function, self._summaries)
        if own.effects.has_frames or function.kept or function.frozen:
            return {}
        given = {argument: ~place for place, argument in enumerate(function.arguments)}
        if self.call.speculates:
            given = {argument: place for argument, place in given.items() if _passes_through(function, ~place)}
        runs = set(function.nodes) if self.call.speculates else ancestors(function, function.roots)
        found: dict[str, int] = {}
        blocked: dict[str, tuple[str, str]] = {}
        shapes = stated_shapes(function)
        certain = ancestors(function, function.roots) if self.call.runs else set()
        for name in topological(function):
            node = function.nodes[name]
            sources = dict.fromkeys(source for source, _ in node.inputs)
            same = all(source in given or source in found or source in blocked for source in sources)
            if name in function.arguments or name not in runs or not same:
                continue
            reason = self._reason(node, own, shapes, name in certain)
            above = [blocked[source] for source in sources if source in blocked]
            if reason == "":
                continue
            if above or reason:
                blocked[name] = above[0] if above else (name, reason or "")
                if node.op in HEAVY:
                    self.stays[index].update([blocked[name]])
                continue
            operands = tuple(
                (found[source] if source in found else given[source], port) for source, port in node.inputs
            )
            meaning = frozenset(
                {**self._summaries.ops.defaults(node.op), **node.attrs.updated(dict.fromkeys(_SILENT))}.items()
            )
            number = self._known.setdefault((node.op, node.device, meaning, operands), len(self.terms))
            if number == len(self.terms):
                self.terms.append(Term(index, node, operands))
            found[name] = number
        return found

    def _reason(self, node: Node, own: Analyses, shapes: ShapeOf, runs: bool) -> str | None:
        """Why the node stays, "" where that goes without saying; None if it may move. One that `runs` may fail."""
        ops, facts = self._summaries.ops, self._summaries.ops.facts(node.op)
        kind = own.kinds[node.name]
        if (
            STAYS in node.attrs
            or node.controls
            or node.attrs.is_colocated
            or node.attrs.functions
            or kind not in (PURE, READ)
        ):
            return ""
        if node.name in own.clobbered | own.custom_gradients or facts.flags & _OF_ITS_OWN:
            return ""
        if {RESOURCE, VARIANT}.intersection(ops.output_types(node.op, node.attrs)):
            return ""
        if kind == READ:
            return self._reads(node, own)
        if "raises" in facts.flags and not (runs and fails_by_shape(node, own.graph.nodes)):
            return "it may fail"
        fits = runs or not self.call.speculates or surely_fits(node, shapes)
        return None if fits else "the shapes of its operands are not known to fit, and the loop need not run"

    def _reads(self, node: Node, own: Analyses) -> str | None:
        call = self.call
        writes = [
            access.resource
            for function in (*call.functions, *call.others)
            for access in self._summaries.of(function.name)
            if access.mode != "read"
        ]
        for access in own.effects.of(node):
            if access.resource.kind != "argument":
                return "what it reads is not handed in"
            if any(may_alias(access.resource, written) or written == _PYTHON for written in writes):
                return "what it reads may be written there, too"
            operand = call.node.inputs[call.first + int(access.resource.key)]
            resource = self._alias.resource(operand)
            if call.speculates and not (resource.kind == "argument" and self._summaries.handles_are_given):
                return "its variable may have no value, and the loop need not run"
            if not self._is_ordered(resource):
                return "it is not ordered with a write in the caller"
        return None

    def _is_ordered(self, resource: Resource) -> bool:
        """Whether every effect of the caller on the resource runs before the call, or after it.

        Two arguments are two resources, as for automatic control dependencies, which would order them if they were one.
        """
        known = self._order_holds.get(resource)
        if known is None:
            caller, name = self.call.caller, self.call.name
            before = ancestors(caller, [name])
            effects = [other for other in self._analyses.kinds.names(EFFECT) if other not in before]
            known = self._order_holds[resource] = not any(
                access.mode != "read" and access.resource in (resource, UNKNOWN)
                for other in effects
                if name not in ancestors(caller, [other])
                for access in self._analyses.effects.of(caller.nodes[other])
            )
        return known

    def cone(self, number: int) -> set[int]:
        """The terms that a term is made of, itself included."""
        found: set[int] = set()
        work = [number]
        while work:
            number = work.pop()
            if number >= 0 and number not in found:
                found.add(number)
                work += [source for source, _ in self.terms[number].operands]
        return found

    def used(self, moving: Collection[int]) -> Iterator[tuple[int, int]]:
        """Outputs (term and port) of the terms in `moving` that nodes outside it use."""
        for function, numbers in zip(self.call.functions, self.numbers, strict=True):
            values = [v for name, n in function.nodes.items() if numbers.get(name) not in moving for v in n.inputs]
            for source, port in [*values, *(value for _, value in function.outputs)]:
                if numbers.get(source) in moving:
                    yield numbers[source], port


def _passes_through(function: Graph, argument: int) -> bool:
    """Whether a loop's body gives back this argument as it got it."""
    if argument >= len(function.outputs):
        return False
    value = function.outputs[argument][1]
    for _ in range(len(function.nodes)):
        node = function.nodes[value.node]
        if node.op != "Identity":
            break
        value = node.inputs[0]
    return value == Value(function.arguments[argument])
