"""The proof of one move: work of a loop's body, or of all branches, that stands in front of the call afterwards.

*Signatures.* The call has its old operands, and more behind them; its functions are the old ones with as many arguments
more, and a loop's body gives these back untouched. So is in every iteration what it was before the first.

*Values.* Both sides are unfolded in step: an operand more must be in the caller, node by node, what stood in the
function in the place of the argument, where the function's own arguments are the operands of the call. In a loop only
those arguments count which the body hands on as they are.

*Being run.* What left a function only computes, or reads. It must not be able to fail, nor may its operands
be able not to fit, as a loop need not run; in a branch it ran whenever the branch did, and must be found in every one.
Where a loop surely has an iteration, what may fail for the shape of its operand alone failed in that.

*State.* A read leaves only where nothing in the functions may write what it reads; where all that may write it in the
caller is ordered with the call; and it comes behind everything that the call comes behind. So no write can come between
the read in its new place and in its old one.
"""

from __future__ import annotations

from collections.abc import Iterator

from tfreuse.errors import GraphError
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.graph import Graph, Module, Node, Value
from tfreuse.ir.order import ancestors, check_graph
from tfreuse.ops.fits import fails_by_shape, surely_fits
from tfreuse.ops.registry import Ops
from tfreuse.validate.iterations import surely_runs
from tfreuse.validate.touches import ANYTHING, PURE, READ, Touch, Touches, may_be_one

_BODY, _CONDITION = "body", "cond"
_TYPES = {"T": True, "Tin": False}
"""The attribute that lists the operands' types: that of a loop, and that of a branch."""
_SHAPES = ("output_shapes", "_output_shapes")
_OF_FUNCTIONS = ("_input_shapes", "_output_shapes")
_COUNT = "_num_original_outputs"
_SILENT = frozenset({"_output_shapes", "_has_manual_control_dependencies"})
_PYTHON = "ambient python"


def refuse_move(before: Module, after: Module, caller: str, name: str, ops: Ops) -> str:
    """Why `after` is not proved to do what `before` does, or nothing; they differ in node `name` of graph `caller`."""
    try:
        return next(_Proof(before, after, caller, name, ops).refusals(), "")
    except GraphError as error:
        return str(error)


class _Proof:
    def __init__(self, before: Module, after: Module, caller: str, name: str, ops: Ops) -> None:
        self._before, self._after, self._name, self._ops = before, after, name, ops
        self._old, self._new = before.graphs[caller], after.graphs[caller]
        self._was, self._is = self._old.nodes[name], self._new.nodes[name]
        self._is_loop = "T" in self._was.attrs and _BODY in self._was.attrs
        self._touches = Touches(before, ops)
        self._more = len(self._is.inputs) - len(self._was.inputs)
        self._has_iteration: bool | None = None
        self._met: dict[str, tuple[Graph, Node]] = {}
        """New nodes of the caller, each with a node of a function that it computes the same as."""

    def refusals(self) -> Iterator[str]:
        """What is wrong; the proof stands if nothing is."""
        old, new = self._old, self._new
        check_graph(new)
        same = (old.arguments, old.outputs, old.control_outputs, old.kept, old.frozen, old.attrs)
        if same != (new.arguments, new.outputs, new.control_outputs, new.kept, new.frozen, new.attrs):
            yield "what the caller takes or gives changed"
        if self._name in old.frozen or self._more <= 0:
            yield "the call may not change, or has no operands more"
        changed = {name for name in old.nodes if new.nodes.get(name) != old.nodes[name]}
        if changed != {self._name}:
            yield f"more than the call changed in the caller: {sorted(changed)[:3]}"
        others = self._before.graphs.keys() - {old.name}
        if any(self._after.graphs.get(name) is not self._before.graphs[name] for name in others):
            yield "another graph changed"
        if any(self._ops.facts(op).kind == "control" for op in old.by_op):
            yield "among frames and branches of TF1 a node may not run"
        if any(self._touches.overwrites(node) for node in old.nodes.values() if node.op != "_Arg"):
            yield "something in the caller works in place"
        yield from self._call()
        added = new.nodes.keys() - old.nodes.keys()
        if missing := added - self._met.keys():
            yield f"nothing is known of the new node {min(missing)}"
        for name in sorted(added & self._met.keys()):
            yield from self._runs(new.nodes[name], *self._met[name])

    def _call(self) -> Iterator[str]:
        was, now = self._was, self._is
        kept = (was.op, was.controls, was.device, was.inputs)
        if kept != (now.op, now.controls, now.device, now.inputs[: len(was.inputs)]):
            yield "the call itself changed"
        pairs = list(zip(_named(was.attrs), _named(now.attrs), strict=False))
        if [key for key, _ in _named(was.attrs)] != [key for key, _ in _named(now.attrs)] or not pairs:
            yield "it calls more or fewer functions"
        for (key, one), (_, two) in pairs:
            if one not in self._before.graphs or two not in self._after.graphs or two in self._before.graphs:
                yield f"{two} is not a new function, or {one} is not known"
                return
            old, new = self._before.graphs[one], self._after.graphs[two]
            yield from self._function(key, old, new)
            for said in {*old.attrs, *new.attrs}:
                listed, longer = old.attrs.get(said), new.attrs.get(said)
                if listed is None or longer is None:
                    yield f"attribute {said} of {one} came or went"
                elif listed != longer and not (said in _OF_FUNCTIONS and self._claims(listed, longer)):
                    yield f"attribute {said} of {one} changed"
        types = tuple(map(self._type, now.inputs[len(was.inputs) :]))
        for key in {*was.attrs, *now.attrs}:
            said, says = was.attrs.get(key), now.attrs.get(key)
            if said is None or says is None or not self._may_become(key, said, says, types):
                yield f"attribute {key} changed"

    def _may_become(self, key: str, one: Attr, other: Attr, types: tuple[int | None, ...]) -> bool:
        if one.kind == "func" or (one.kind == "list" and one.value[0] == "func"):
            return _without_names(one) == _without_names(other)
        if _TYPES.get(key) is self._is_loop:
            return other == Attr("list", ("type", (*one.value[1], *types)))
        if key == _COUNT and self._is_loop:
            return (one.value, other.value) == (len(self._was.inputs), len(self._is.inputs))
        return one == other or (key in _SHAPES and self._is_loop and self._claims(one, other))

    def _claims(self, one: Attr, other: Attr) -> bool:
        """Whether a list of shapes says of what is new no more than is recorded of what it stands for."""
        count = len(one.value[1])
        more = list(map(self._shape, self._is.inputs[len(self._was.inputs) :]))
        claimed = other.value[1][count:]
        return (
            count > 0
            and other == Attr("list", ("shape", (*one.value[1], *claimed)))
            and len(claimed) == len(more)
            and all(claim in (None, known) for claim, known in zip(claimed, more, strict=True))
        )

    def _function(self, key: str, old: Graph, new: Graph) -> Iterator[str]:
        """The function `new` is `old` with arguments more in the place of work that the caller now does."""
        check_graph(new)
        count, body = len(old.arguments), self._is_loop and key == _BODY
        extra = new.arguments[count:]
        outputs = new.outputs[len(old.outputs) :]
        if new.arguments[:count] != old.arguments or len(extra) != self._more or len(set(extra)) != self._more:
            yield "its arguments are not the old ones and one for each operand more"
        if any(new.nodes[name].op != "_Arg" or name in old.nodes for name in extra):
            yield "an argument more is not one"
        if [value for _, value in outputs] != ([Value(name) for name in extra] if body else []):
            yield "a loop's body must give back what it got, and no more"
        labels = [label for label, _ in new.outputs]
        if labels[: len(old.outputs)] != [label for label, _ in old.outputs] or len(set(labels)) != len(labels):
            yield "its outputs changed"
        if (old.kept, old.frozen) != (new.kept, new.frozen) or old.kept or old.frozen:
            yield "the outside knows nodes of it by name"
        if any(self._ops.facts(node.op).kind == "control" for node in old.nodes.values()):
            yield "among frames and branches of TF1 a node may not run"
        if any(self._touches.overwrites(node) for node in old.nodes.values() if node.op != "_Arg"):
            yield "something in it works in place"
        if new.nodes.keys() - old.nodes.keys() != set(extra):
            yield "it has new nodes"
        operands = self._is.inputs[len(self._is.inputs) - len(new.arguments) :]
        places = dict(zip(extra, operands[count:], strict=True))
        yield from self._nodes(old, new, places, operands[:count], body)

    def _nodes(
        self, old: Graph, new: Graph, places: dict[str, Value], operands: tuple[Value, ...], body: bool
    ) -> Iterator[str]:
        gone = old.nodes.keys() - new.nodes.keys()
        moved: dict[str, Value] = {}
        pairs = [(was, now) for (_, was), (_, now) in zip(old.outputs, new.outputs, strict=False)]
        for name, node in new.nodes.items():
            before = old.nodes.get(name)
            if before is None or before == node:
                continue
            if before._replace(inputs=(), controls=frozenset()) != node._replace(inputs=(), controls=frozenset()):
                yield f"{name} changed"
            if len(before.inputs) != len(node.inputs) or node.controls != before.controls - gone:
                yield f"{name} has other operands or waits for something else"
            pairs += zip(before.inputs, node.inputs, strict=False)
        for was, now in pairs:
            if now == was:
                continue
            if now.node not in places or now.port:
                yield f"{was.node} gave way to {now.node}, which is no new argument"
            elif moved.setdefault(now.node, was) != was:
                given = moved[now.node]
                if not (self._equal(old, given, places[now.node], operands) and given.port == was.port):
                    yield f"{now.node} stands for two values"
        for was, now in pairs:
            if now != was and now.node in places and not self._equal(old, was, places[now.node], operands):
                yield f"{was.node} of {old.name} is not what {places[now.node].node} computes"
        controls = tuple((label, name) for label, name in old.control_outputs if name not in gone)
        if controls != new.control_outputs:
            yield "its control outputs changed"
        waited = {control for name in new.nodes.keys() & old.nodes.keys() for control in old.nodes[name].controls}
        for name in sorted(gone):
            for above in sorted(ancestors(old, [name]).difference(old.arguments)):
                kind = self._touches.kind(old, old.nodes[above])
                if kind not in (PURE, READ) or (kind == READ and above not in gone and name in waited):
                    yield f"{old.nodes[name].op} {name} is gone, and {above} does more than compute"

    def _equal(self, function: Graph, value: Value, other: Value, operands: tuple[Value, ...]) -> bool:
        """Whether a value of the function is a value of the caller, as far as both are unfolded."""
        work = [(value, other)]
        seen = set()
        while work:
            pair = work.pop()
            if pair in seen:
                continue
            seen.add(pair)
            inner, outer = pair
            if inner.node in function.arguments:
                place = function.arguments.index(inner.node)
                if operands[place] != outer or (self._is_loop and not _handed_on(function, place)):
                    return False
                continue
            one, two = function.nodes[inner.node], self._new.nodes[outer.node]
            if inner.port != outer.port or not self._are_alike(function, one, two):
                return False
            self._met.setdefault(two.name, (function, one))
            work += zip(one.inputs, two.inputs, strict=True)
        return True

    def _are_alike(self, function: Graph, one: Node, two: Node) -> bool:
        kind = self._touches.kind(function, one)
        return (
            kind in (PURE, READ)
            and two.name not in self._old.nodes
            and (one.op, len(one.inputs)) == (two.op, len(two.inputs))
            and two.device == (one.device or self._was.device)
            and not (one.attrs.functions or one.controls or one.attrs.is_colocated)
            and self._meaning(one) == self._meaning(two)
        )

    def _meaning(self, node: Node) -> dict[str, Attr]:
        filled = {**self._ops.defaults(node.op), **node.attrs}
        return {key: attr for key, attr in filled.items() if key not in _SILENT}

    def _runs(self, node: Node, function: Graph, inner: Node) -> Iterator[str]:
        """Whether a new node may run where it stands."""
        is_read = self._touches.kind(function, inner) == READ
        if not is_read and "raises" in self._ops.facts(inner.op).flags:
            if not (fails_by_shape(inner, function.nodes) and self._ran(function, inner)):
                yield f"{inner.op} {inner.name} may fail"
        elif self._is_loop and not (
            is_read or surely_fits(inner, lambda value: _stated(function, value)) or self._ran(function, inner)
        ):
            yield f"{inner.op} {inner.name} may fail, as its operands may not fit each other"
        if not self._is_loop:
            for _, other in _named(self._was.attrs):
                if not self._is_run(self._before.graphs[other], node):
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
            self._has_iteration = self._is_loop and surely_runs(self._before, self._old, self._was)
        roots = [value.node for _, value in body.outputs] + [name for _, name in body.control_outputs]
        is_body = body is self._before.graphs.get(getattr(self._was.attrs.value(_BODY), "name", ""))
        return self._has_iteration and is_body and inner.name in ancestors(body, roots)

    def _is_run(self, branch: Graph, node: Node) -> bool:
        """Whether the branch always runs what `node` computes."""
        operands = self._was.inputs[len(self._was.inputs) - len(branch.arguments) :]
        runs = ancestors(branch, [value.node for _, value in branch.outputs] + [n for _, n in branch.control_outputs])
        return any(
            branch.nodes[name].op == node.op and self._equal(branch, Value(name), Value(node.name), operands)
            for name in sorted(runs.difference(branch.arguments))
        )

    def _sees_the_same(self, node: Node, function: Graph, inner: Node) -> Iterator[str]:
        touched = self._touches.of(function, inner)
        if any(touch.writes or not touch.resource.startswith("argument ") for touch in touched):
            yield f"{inner.name} reads what is not handed in"
        for _, name in _named(self._was.attrs):
            called = self._before.graphs[name]
            for other in called.nodes.values():
                if other.name not in called.arguments and _clash(self._touches.of(called, other), touched):
                    yield f"{inner.name} reads what {other.name} may write"
        outside = self._touches.of(self._new, node)
        above, before = ancestors(self._new, [self._name]), ancestors(self._new, [node.name])
        for name, other in self._old.nodes.items():
            if name in self._old.arguments or name == self._name:
                continue
            found = self._touches.of(self._old, other)
            if name in above and name not in before and any(touch.writes for touch in found):
                yield f"{node.name} need not wait for {name}, for which the call waits"
            same = {touch.resource for touch in outside} | {ANYTHING}  # two arguments count as two resources
            clashes = any(touch.writes and touch.resource in same for touch in found)
            if name not in above and clashes and self._name not in ancestors(self._new, [name]):
                yield f"{name} may write what {node.name} reads, and no order with the call is given"
        if self._is_loop and not (self._given() and all(t.resource.startswith("argument ") for t in outside)):
            yield f"{inner.name} may fail, as its variable may have no value"

    def _given(self) -> bool:
        """Whether every handle comes from where variables have values: no graph of TensorFlow 1 makes its own."""
        main = self._before.graphs.get("")
        return main is None or main.closed or all(self._ops.facts(op).kind != "allocates" for op in main.by_op)

    def _type(self, value: Value) -> int | None:
        node = self._new.nodes[value.node]
        types = self._ops.output_types(node.op, node.attrs)
        return types[value.port] if value.port < len(types) else None

    def _shape(self, value: Value) -> object:
        met = self._met.get(value.node)
        if met is None:
            return None
        function, inner = met
        return _recorded(function, Value(inner.name, value.port))


def _recorded(function: Graph, value: Value) -> tuple[int, ...] | None:
    known = function.shapes(value) if function.shapes is not None else None
    if known is not None:
        return known
    listed = function.nodes[value.node].attrs.value("_output_shapes", ("", ()))[1]
    return listed[value.port] if value.port < len(listed) else None


def _stated(function: Graph, value: Value) -> tuple[int, ...] | None:
    """The static shape of a value, that of a constant or of what an `Identity` hands on included."""
    found, node = _recorded(function, value), function.nodes[value.node]
    if found is None and node.op == "Const":
        return getattr(node.attrs.value("value"), "shape", None)
    return _stated(function, node.inputs[0]) if found is None and node.op == "Identity" else found


def _named(attrs: Attrs) -> list[tuple[str, str]]:
    """The functions of a call, each with the attribute that names it."""
    found = []
    for key, (kind, value) in attrs.items():
        funcs = [value] if kind == "func" else value[1] if kind == "list" and value[0] == "func" else ()
        found += [(key, func.name) for func in funcs]
    return found


def _without_names(attr: Attr) -> object:
    funcs = [attr.value] if attr.kind == "func" else list(attr.value[1])
    return attr.kind, [func.attrs for func in funcs]


def _handed_on(body: Graph, place: int) -> bool:
    """Whether a body gives back argument number `place` as it got it."""
    if place >= len(body.outputs):
        return False
    node, port = body.outputs[place][1]
    for _ in body.nodes:
        if body.nodes[node].op != "Identity":
            break
        node, port = body.nodes[node].inputs[0]
    return (node, port) == (body.arguments[place], 0)


def _clash(one: frozenset[Touch], other: frozenset[Touch]) -> bool:
    """Whether the first may write what the second touches; Python functions may write any variable."""
    writes = [touch.resource for touch in one if touch.writes]
    return any(r == _PYTHON or may_be_one(r, touch.resource) for r in writes for touch in other)
