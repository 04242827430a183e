"""The proof of one move: work of a loop's body, or of all branches, that stands in front of the call afterwards.

*Signatures.* The call has its old operands, and more behind them; its functions are the old ones with as many arguments
more, and a loop's body gives these back untouched. So is in every iteration what it was before the first.

*Values.* Both sides are unfolded in step: an operand more must be in the caller, node by node, what stood in the
function in the place of the argument, where the function's own arguments are the operands of the call. In a loop only
those arguments count which the body hands on as they are.

*Places.* `tfreuse.validate.moved` asks whether what moved may run where it stands, and sees the same state there.
"""

from __future__ import annotations

from collections.abc import Iterator

from tfreuse.errors import GraphError
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.graph import Graph, Module, Node, Value
from tfreuse.ir.order import ancestors, check_graph
from tfreuse.ops.registry import Ops
from tfreuse.validate.moved import Moved, is_loop
from tfreuse.validate.stated import recorded
from tfreuse.validate.touches import PURE, READ, Touches

_TYPES = {"T": True, "Tin": False}
"""The attribute that lists the operands' types: that of a loop, and that of a branch."""
_SHAPES = ("output_shapes", "_output_shapes")
_OF_FUNCTIONS = ("_input_shapes", "_output_shapes")
_COUNT = "_num_original_outputs"
_SILENT = frozenset({"_output_shapes", "_has_manual_control_dependencies"})


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
        self._is_loop = is_loop(self._was)
        self._touches = Touches(before, ops)
        self._more = len(self._is.inputs) - len(self._was.inputs)
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
        functions = [function for _, function in _named(self._was.attrs)]
        moved = Moved(self._before, old, new, self._was, functions, self._equal, self._touches, self._ops)
        for name in sorted(added & self._met.keys()):
            yield from moved.refusals(new.nodes[name], *self._met[name])

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
        count, body = len(old.arguments), self._is_loop and key == "body"
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

    def _type(self, value: Value) -> int | None:
        node = self._new.nodes[value.node]
        types = self._ops.output_types(node.op, node.attrs)
        return types[value.port] if value.port < len(types) else None

    def _shape(self, value: Value) -> object:
        met = self._met.get(value.node)
        if met is None:
            return None
        function, inner = met
        return recorded(function, Value(inner.name, value.port))


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
