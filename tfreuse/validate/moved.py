"""Whether what moved out of a function may run where it stands now, and sees the state there that it saw before.

*Being run.* What left a function only computes, or reads. It must not be able to fail, nor may its operands
be able not to fit, as a loop need not run; in a branch it ran whenever the branch did, and must be found in every one.
Where a loop surely has an iteration, what may fail for the shape of its operand alone failed in that.

*State.* A read leaves only where nothing in the functions may write what it reads; where all that may write it in the
caller is ordered with the call; and it comes behind everything that the call comes behind. So no write can come between
the read in its new place and in its old one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tfreuse.ir.graph import Graph, Module, Node, Value
from tfreuse.ir.order import ancestors
from tfreuse.ops.fits import fails_by_shape, surely_fits
from tfreuse.ops.registry import Ops
from tfreuse.validate.iterations import surely_runs
from tfreuse.validate.stated import stated
from tfreuse.validate.touches import ANYTHING, READ, Touch, Touches, may_be_one

_PYTHON = "ambient python"
Equal = Callable[[Graph, Value, Value, tuple[Value, ...]], bool]
"""Asked whether a value of a function is a value of the caller, given what the function's arguments are there."""


class Moved:
    """Judges the new nodes of `new`, which `old` of `module` became; `call` is the loop or branch in `old`."""

    def __init__(
        self,
        module: Module,
        old: Graph,
        new: Graph,
        call: Node,
        functions: Sequence[str],
        equal: Equal,
        touches: Touches,
        ops: Ops,
    ) -> None:
        self._module, self._old, self._new, self._call = module, old, new, call
        self._functions, self._equal, self._touches, self._ops = functions, equal, touches, ops
        self._is_loop = is_loop(call)
        self._has_iteration: bool | None = None

    def refusals(self, node: Node, function: Graph, inner: Node) -> Iterator[str]:
        """Why the new `node` may not stand for `inner` of `function`, though both compute the same."""
        is_read = self._touches.kind(function, inner) == READ
        if not is_read and "raises" in self._ops.facts(inner.op).flags:
            if not (fails_by_shape(inner, function.nodes) and self._ran(function, inner)):
                yield f"{inner.op} {inner.name} may fail"
        elif self._is_loop and not (
            is_read or surely_fits(inner, lambda value: stated(function, value)) or self._ran(function, inner)
        ):
            yield f"{inner.op} {inner.name} may fail, as its operands may not fit each other"
        if not self._is_loop:
            for other in self._functions:
                if not self._is_run(self._module.graphs[other], node):
                    yield f"{node.name} is not what {other} runs"
        shapes = node.attrs.get("_output_shapes")
        if shapes is not None and shapes != inner.attrs.get("_output_shapes"):
            yield f"{node.name} claims other static shapes than {inner.name} did"
        if not is_read:
            if node.controls:
                yield f"{node.name} waits for something"
            return
        yield from self._sees_the_same(node, function, inner)

    def _ran(self, body: Graph, inner: Node) -> bool:
        """Whether a node of a loop's body ran whenever the loop did: in the first iteration, which there surely is."""
        if self._has_iteration is None:
            self._has_iteration = self._is_loop and surely_runs(self._module, self._old, self._call)
        roots = [value.node for _, value in body.outputs] + [name for _, name in body.control_outputs]
        is_body = body is self._module.graphs.get(getattr(self._call.attrs.value("body"), "name", ""))
        return self._has_iteration and is_body and inner.name in ancestors(body, roots)

    def _is_run(self, branch: Graph, node: Node) -> bool:
        """Whether the branch always runs what `node` computes."""
        operands = self._call.inputs[len(self._call.inputs) - len(branch.arguments) :]
        runs = ancestors(branch, [value.node for _, value in branch.outputs] + [n for _, n in branch.control_outputs])
        return any(
            branch.nodes[name].op == node.op and self._equal(branch, Value(name), Value(node.name), operands)
            for name in sorted(runs.difference(branch.arguments))
        )

    def _sees_the_same(self, node: Node, function: Graph, inner: Node) -> Iterator[str]:
        touched = self._touches.of(function, inner)
        if any(touch.writes or not touch.resource.startswith("argument ") for touch in touched):
            yield f"{inner.name} reads what is not handed in"
        for name in self._functions:
            called = self._module.graphs[name]
            for other in called.nodes.values():
                if other.name not in called.arguments and _clash(self._touches.of(called, other), touched):
                    yield f"{inner.name} reads what {other.name} may write"
        outside = self._touches.of(self._new, node)
        above, before = ancestors(self._new, [self._call.name]), ancestors(self._new, [node.name])
        for name, other in self._old.nodes.items():
            if name in self._old.arguments or name == self._call.name:
                continue
            found = self._touches.of(self._old, other)
            if name in above and name not in before and any(touch.writes for touch in found):
                yield f"{node.name} need not wait for {name}, for which the call waits"
            same = {touch.resource for touch in outside} | {ANYTHING}  # two arguments count as two resources
            clashes = any(touch.writes and touch.resource in same for touch in found)
            if name not in above and clashes and self._call.name not in ancestors(self._new, [name]):
                yield f"{name} may write what {node.name} reads, and no order with the call is given"
        if self._is_loop and not (self._given() and all(t.resource.startswith("argument ") for t in outside)):
            yield f"{inner.name} may fail, as its variable may have no value"

    def _given(self) -> bool:
        """Whether every handle comes from where variables have values: no graph of TensorFlow 1 makes its own."""
        main = self._module.graphs.get("")
        return main is None or main.closed or all(self._ops.facts(op).kind != "allocates" for op in main.by_op)


def is_loop(call: Node) -> bool:
    """Whether it is a loop, with a body; a branch otherwise."""
    return "T" in call.attrs and "body" in call.attrs


def _clash(one: frozenset[Touch], other: frozenset[Touch]) -> bool:
    """Whether the first may write what the second touches; Python functions may write any variable."""
    writes = [touch.resource for touch in one if touch.writes]
    return any(r == _PYTHON or may_be_one(r, touch.resource) for r in writes for touch in other)
