"""What an input may be for the ops that consume it to accept it: row numbers, vocabulary, encoded pictures, ..."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

from tfreuse.analysis.shapes import Shape, ShapeOf, stated_shapes
from tfreuse.ir.attrs import Tensor
from tfreuse.ir.graph import Graph, Module, Node, Value
from tfreuse.ops.registry import Ops

_THROUGH = frozenset(
    {
        "Cast", "EnsureShape", "ExpandDims", "GuaranteeConst", "Identity", "PlaceholderWithDefault", "Reshape",
        "Snapshot", "Squeeze", "StopGradient", "StridedSlice",
    }
)  # fmt: skip
"""Ops that hand on the elements of their first operand."""
_FIRST_ARGUMENT = {"If": 1, "StatelessIf": 1, "Case": 1, "StatelessCase": 1}
"""Where the operands begin that a calling op hands to its functions."""
IMAGES = ("DecodeJpeg", "DecodePng", "DecodeImage", "DecodeAndCropJpeg", "DecodeBmp", "DecodeGif", "ExtractJpegShape")


class Domain(NamedTuple):
    """`kind`: "below" (integers from 0, `limit` excluded), "key" (of a table), "image" (of the format `detail`),
    "example" (a serialised `tf.train.Example` with the features `detail`), "number", "base64", "raw" (of elements
    of `limit` bytes). `op` is the consumer that asks for it."""

    kind: str
    op: str
    limit: int = 0
    detail: Any = None


class Feature(NamedTuple):
    """A feature that a parser asks for: `DataType` and the number of values (0: any)."""

    key: str
    dtype: int
    values: int


class _Frame(NamedTuple):
    """A function being called: its graph, and which values of the caller's its arguments are."""

    graph: Graph
    caller: _Frame | None
    operands: tuple[Value, ...]


class Domains:
    """Finds the domains of the inputs of a module's main graph."""

    def __init__(self, module: Module, ops: Ops) -> None:
        self._module = module
        self._ops = ops
        self._users: dict[str, dict[Value, list[tuple[Node, int]]]] = {}
        self._shapes: dict[str, ShapeOf] = {}

    @cached_property
    def _main(self) -> _Frame:
        return _Frame(self._module.graphs[""], None, ())

    def of(self, value: Value) -> Domain | None:
        """The narrowest domain that the consumers of `value` ask for, through calls and reshapes; None for any."""
        found: list[Domain] = []
        work = [(self._main, value)]
        seen = {("", value)}
        while work:
            frame, current = work.pop()
            for node, slot in self._users_in(frame.graph).get(current, ()):
                rule = _RULES.get((node.op, slot))
                domain = rule(self, frame, node) if rule else None
                if domain is not None:
                    found.append(domain)
                for entered, inner in self._onward(frame, node, slot):
                    if (entered.graph.name, inner) not in seen:
                        seen.add((entered.graph.name, inner))
                        work.append((entered, inner))
        return min(found, key=lambda domain: (domain.kind, domain.limit, domain.op)) if found else None

    def _onward(self, frame: _Frame, node: Node, slot: int) -> list[tuple[_Frame, Value]]:
        if slot == 0 and node.op in _THROUGH:
            return [(frame, Value(node.name))]
        called = [*(func.name for func in node.attrs.functions), *([node.op] if node.op in self._module.graphs else [])]
        first = _FIRST_ARGUMENT.get(node.op, 0)
        found = []
        for name in called:
            graph = self._module.graphs.get(name)
            if graph is not None and name and 0 <= slot - first < len(graph.arguments):
                entered = _Frame(graph, frame, node.inputs[first:])
                found.append((entered, Value(graph.arguments[slot - first])))
        return found

    def shape(self, frame: _Frame, value: Value) -> Shape | None:
        """The static shape of a value, or of what a resource holds; asked of callers where the function is silent."""
        outer, node = self.origin(frame, value)
        if node.op in ("VarHandleOp", "VariableV2"):  # what they say beside it is the shape of the handle
            found: Shape | None = node.attrs.value("shape")
            return found
        stated = self._shape_of(frame.graph)(value)
        return self._shape_of(outer.graph)(Value(node.name)) if stated is None and node.op == "Const" else stated

    def origin(self, frame: _Frame, value: Value) -> tuple[_Frame, Node]:
        """The node that makes a value, looked up through identities, reads of variables and calls."""
        while True:
            node = frame.graph.nodes[value.node]
            if node.name in frame.graph.arguments and frame.caller is not None:
                value = frame.operands[frame.graph.arguments.index(node.name)]
                frame = frame.caller
            elif node.op in ("Identity", "ReadVariableOp", "Enter") and node.inputs:
                value = node.inputs[0]
            else:
                return frame, node

    def constant(self, frame: _Frame, value: Value) -> Tensor | None:
        """The value, if it is a constant."""
        node = self.origin(frame, value)[1]
        found = node.attrs.value("value") if node.op == "Const" else None
        return found if isinstance(found, Tensor) else None

    def operands(self, node: Node) -> dict[str, tuple[Value, ...]]:
        """The operands by the names of the op's definition."""
        schema = self._ops.schema(node.op)
        ranges = {} if schema is None else schema.input_ranges(node.attrs)
        return {name: node.inputs[start : start + count] for name, (start, count) in ranges.items()}

    def _shape_of(self, graph: Graph) -> ShapeOf:
        if graph.name not in self._shapes:
            self._shapes[graph.name] = stated_shapes(graph)
        return self._shapes[graph.name]

    def _users_in(self, graph: Graph) -> dict[Value, list[tuple[Node, int]]]:
        if graph.name not in self._users:
            users: dict[Value, list[tuple[Node, int]]] = {}
            for node in graph.nodes.values():
                for slot, value in enumerate(node.inputs):
                    users.setdefault(value, []).append((node, slot))
            self._users[graph.name] = users
        return self._users[graph.name]


_Rule = Callable[[Domains, _Frame, Node], "Domain | None"]


def _below(node: Node, shape: Shape | None, axis: int) -> Domain | None:
    if not shape or not -len(shape) <= axis < len(shape) or shape[axis] < 1:
        return None
    return Domain("below", node.op, shape[axis])


def _rows(axis_slot: int | None = None) -> _Rule:
    def rule(domains: Domains, frame: _Frame, node: Node) -> Domain | None:
        axis = 0
        if axis_slot is not None:
            stated = domains.constant(frame, node.inputs[axis_slot])
            if stated is None or not isinstance(stated.elements, bytes):
                return None
            axis = int.from_bytes(stated.elements, "little", signed=True)
        return _below(node, domains.shape(frame, node.inputs[0]), axis)

    return rule


def _classes(domains: Domains, frame: _Frame, node: Node) -> Domain | None:
    return _below(node, domains.shape(frame, node.inputs[0]), -1)


def _limit(slot: int) -> _Rule:
    def rule(domains: Domains, frame: _Frame, node: Node) -> Domain | None:
        stated = domains.constant(frame, node.inputs[slot])
        if stated is None or not isinstance(stated.elements, bytes):
            return None
        limit = int.from_bytes(stated.elements, "little", signed=True)
        return Domain("below", node.op, limit) if limit > 0 else None

    return rule


def _plain(kind: str) -> _Rule:
    return lambda domains, frame, node: Domain(kind, node.op)


def _image(domains: Domains, frame: _Frame, node: Node) -> Domain:
    jpeg = node.op in ("DecodeJpeg", "DecodeAndCropJpeg", "ExtractJpegShape")
    name = "jpeg" if jpeg else node.op.removeprefix("Decode").lower().replace("image", "png")
    return Domain("image", node.op, 0, name)


def _raw(domains: Domains, frame: _Frame, node: Node) -> Domain:
    return Domain("raw", node.op, 8)  # whole elements of every type


def _example(domains: Domains, frame: _Frame, node: Node) -> Domain | None:
    """Dense features get as many values as their shapes ask for, sparse ones any number."""
    named = domains.operands(node)
    keys: dict[str, list[str]] = {}
    for group in ("dense", "sparse"):
        texts: list[bytes] = []
        for value in named.get(f"{group}_keys", ()):
            stated = domains.constant(frame, value)
            if stated is None or not isinstance(stated.elements, tuple):
                return None
            missing = 0
            for size in stated.shape[:1]:
                missing = size - len(stated.elements)
            texts += [*stated.elements, *stated.elements[-1:] * missing]
        texts += node.attrs.value(f"{group}_keys", ("", ()))[1]  # ParseSingleExample has them as attributes
        keys[group] = [text.decode(errors="replace") for text in texts]
    shapes = node.attrs.value("dense_shapes", ("", ()))[1]
    dense = zip(keys["dense"], node.attrs.value("Tdense", ("", ()))[1], shapes, strict=False)
    features = [Feature(key, dtype, _count(shape)) for key, dtype, shape in dense]
    sparse = zip(keys["sparse"], node.attrs.value("sparse_types", ("", ()))[1], strict=False)
    features += [Feature(key, dtype, 0) for key, dtype in sparse]
    return Domain("example", node.op, 0, tuple(features))


def _count(shape: Shape | None) -> int:
    total = 1
    for size in shape or ():
        total *= max(size, 1)
    return total


_RULES: dict[tuple[str, int], _Rule] = {
    ("Gather", 1): _rows(),
    ("GatherV2", 1): _rows(axis_slot=2),
    ("ResourceGather", 1): _rows(),
    ("OneHot", 0): _limit(1),
    ("SparseSoftmaxCrossEntropyWithLogits", 1): _classes,
    ("UnsortedSegmentSum", 1): _limit(2),
    ("UnsortedSegmentMax", 1): _limit(2),
    ("UnsortedSegmentMin", 1): _limit(2),
    ("Bincount", 0): _limit(1),
    ("LookupTableFind", 1): _plain("key"),
    ("LookupTableFindV2", 1): _plain("key"),
    ("StringToNumber", 0): _plain("number"),
    ("DecodeBase64", 0): _plain("base64"),
    ("DecodeRaw", 0): _raw,
    **{(op, 0): _image for op in IMAGES},
    **{(op, 0): _example for op in ("ParseExample", "ParseExampleV2", "ParseSingleExample")},
}
