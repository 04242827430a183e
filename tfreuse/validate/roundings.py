"""How many roundings lie on the longest way to a value, op by op; `tfreuse.validate.tolerance` makes a bound of it.

A convolution counts height * width * channels of the filter, a matrix product the length of its sums, a sum the number
of its terms, a product of two results adds their counts. An op that is not listed has no bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from tfreuse.analysis.shapes import Shape, ShapeOf, stated_shapes
from tfreuse.ir.graph import Graph, Module, Node, Value
from tfreuse.ir.order import topological
from tfreuse.pipeline.run import Result
from tfreuse.validate.tolerance import Unbounded

_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_SOURCES = frozenset({"Const", "Placeholder", "PlaceholderV2", "ReadVariableOp", "VarHandleOp"})

Same = Mapping[str, frozenset[str]]
"""For each graph the nodes that have equal bits in both results, if its arguments have."""


def untouched(result: Result) -> Same:
    """The nodes that a rewrite left alone, with all that they come from, or merged into such a one as equal bits."""
    found: dict[str, frozenset[str]] = {}
    for name, done in result.graphs.items():
        merged = {edit.node: edit.other for edit in done.journal if edit.kind == "merge" and not edit.lemma}
        same: set[str] = set()
        for node in map(done.before.nodes.__getitem__, topological(done.before)):
            inputs = [(merged.get(source, source), port) for source, port in node.inputs]
            other = done.after.nodes.get(node.name)
            is_left = other is not None and (other.op, list(other.inputs)) == (node.op, inputs)
            if merged.get(node.name) in same or (is_left and same.issuperset(source for source, _ in inputs)):
                same.add(node.name)
        found[name] = frozenset(same)
    return found


def roundings(module: Module, value: Value, same: Same | None = None) -> int:
    """The most roundings on any way from an input, a constant or a variable to a value of the main graph.

    `same` (see `untouched`) is asked where an op is no continuous function: the gradient of Relu is cut off where the
    activation is zero, and that has to be at one place.

    Raises:
        Unbounded: naming an op without a rule, or one whose number of terms is not known.
    """
    return _Counter(module, module.graphs[""], {}, same or {}).count(value)


def _followed(graph: Graph, stated: ShapeOf) -> ShapeOf:
    """Shapes of sums and of gradients of Relu as well, which new nodes do not state: those of an operand."""

    def shape_of(value: Value) -> Shape | None:
        found = stated(value)
        while found is None and graph.nodes[value.node].op in ("AddN", "ReluGrad"):
            value = graph.nodes[value.node].inputs[-1]
            found = stated(value)
        return found

    return shape_of


class _Counter:
    """Counts in one function, given the counts of its arguments."""

    def __init__(self, module: Module, graph: Graph, arguments: dict[str, int], same: Same) -> None:
        self._module = module
        self._same = same
        self._fixed = same.get(graph.name, frozenset()) if not any(arguments.values()) else frozenset[str]()
        self._graph = graph
        self._shape_of = _followed(graph, stated_shapes(graph))
        self._counts = arguments
        self._calls: dict[str, _Counter] = {}

    def count(self, value: Value) -> int:
        """The count of a value; a stack of our own, because graphs are deep."""
        work = [value.node]
        while work:
            node = self._graph.nodes[work[-1]]
            missing = [source.node for source in node.inputs if source.node not in self._counts]
            if node.name in self._counts or node.op in _SOURCES:
                self._counts.setdefault(node.name, 0)
            elif missing:
                if len(work) > len(self._graph.nodes):
                    raise Unbounded("a loop has no bound")
                work += missing
                continue
            else:
                self._counts[node.name] = self._node(node, [self._of(source) for source in node.inputs])
            work.pop()
        return self._of(value)

    def _of(self, value: Value) -> int:
        call = self._calls.get(value.node)
        return self._counts[value.node] if call is None else call.count(call._graph.outputs[value.port][1])

    def _node(self, node: Node, counts: list[int]) -> int:
        if node.name in self._graph.arguments:
            return 0
        if node.op in _CALLS:
            called = self._module.graphs.get(node.attrs.functions[0].name)
            if called is None:
                raise Unbounded(f"the function of {node.name} is not known")
            arguments = dict(zip(called.arguments, counts, strict=True))
            self._calls[node.name] = _Counter(self._module, called, arguments, self._same)
            return 0
        if node.op == "ReluGrad" and node.inputs[1].node not in self._fixed:
            raise Unbounded("a gradient of Relu may be cut off at another place")
        rule = RULES.get(node.op)
        if rule is None or (node.op == "RealDiv" and self._graph.nodes[node.inputs[1].node].op != "Const"):
            raise Unbounded(f"no bound is known for {node.op}")
        return rule(node, self._shape_of, counts)


_Rule = Callable[[Node, ShapeOf, list[int]], int]


def _kept(node: Node, shape_of: ShapeOf, counts: list[int]) -> int:
    return max(counts, default=0)


def _one_more(node: Node, shape_of: ShapeOf, counts: list[int]) -> int:
    return max(counts) + 1


def _added(node: Node, shape_of: ShapeOf, counts: list[int]) -> int:
    return max(counts) + len(counts) - 1


def _product(node: Node, shape_of: ShapeOf, counts: list[int]) -> int:
    return sum(counts) + 1


def _of_sums(length: Callable[[Node, ShapeOf], int]) -> _Rule:
    return lambda node, shape_of, counts: sum(counts[:2]) + length(node, shape_of)


def _known(node: Node, sizes: Shape | None) -> int:
    if sizes is None or any(size < 0 for size in sizes):
        raise Unbounded(f"the number of terms that {node.op} adds is not known")
    return prod(sizes)


def _filter_taps(node: Node, shape_of: ShapeOf) -> int:
    shape = shape_of(node.inputs[1])
    return _known(node, None if shape is None else shape[:-2] if "Depthwise" in node.op else shape[:-1])


def _inner(node: Node, shape_of: ShapeOf) -> int:
    for operand, flags, axis in ((0, ("transpose_a", "adj_x"), -1), (1, ("transpose_b", "adj_y"), -2)):
        shape = shape_of(node.inputs[operand])
        turned = any(node.attrs.value(flag) for flag in flags)
        size = None if shape is None or len(shape) < 2 else shape[-3 - axis if turned else axis]
        if size is not None and size >= 0:
            return size
    return _known(node, None)


def _reduced(node: Node, shape_of: ShapeOf, counts: list[int]) -> int:
    """The terms of a sum; the mean's division is one more rounding than a sum's additions."""
    shape, axes = shape_of(node.inputs[0]), shape_of(node.inputs[1])
    if shape is None or axes is None:
        return counts[0] + _known(node, None)
    # Which axes are summed stands in a constant; all of them are never fewer.
    return counts[0] + _known(node, shape)


def _averaged(node: Node, shape_of: ShapeOf, counts: list[int]) -> int:
    """The additions of one window, and a division."""
    return counts[0] + int(prod(node.attrs.value("ksize")[1]))


def _at(operand: int, other: int, count: Callable[[Node, Shape], int]) -> _Rule:
    """A gradient of a convolution: two factors, and as many terms as the shape of `operand` says."""

    def rule(node: Node, shape_of: ShapeOf, counts: list[int]) -> int:
        shape = shape_of(node.inputs[operand])
        terms = _known(node, None) if shape is None else count(node, shape)
        return counts[operand] + counts[other] + terms

    return rule


def _positions(node: Node, shape: Shape) -> int:
    """The elements of a batch and of space: all but the channels."""
    first = str(node.attrs.value("data_format", b"NHWC").decode()).startswith("NC")
    return _known(node, (shape[0], *shape[2:]) if first else shape[:-1])


def _taps_out(node: Node, shape: Shape) -> int:
    """Taps of a filter times the channels that one channel of the input has a part in."""
    return _known(node, (*shape[:-2], shape[-1]))


_MOVES = (
    "Abs", "ConcatV2", "EnsureShape", "ExpandDims", "ExtractImagePatches", "GatherV2", "Identity", "IdentityN", "Max",
    "MaxPool", "Maximum", "Neg", "Pack", "Pad", "Relu", "Reshape", "Slice", "Snapshot", "Split", "SplitV", "Squeeze",
    "StopGradient", "StridedSlice", "Tile", "Transpose", "Unpack", "ZerosLike",
)  # fmt: skip
RULES: dict[str, _Rule] = {
    **dict.fromkeys(_MOVES, _kept),
    **dict.fromkeys(("Add", "AddV2", "BiasAdd", "Sub"), _one_more),
    "AddN": _added,
    **dict.fromkeys(("AvgPool", "AvgPool3D"), _averaged),
    "Mul": _product,
    "RealDiv": lambda node, shape_of, counts: counts[0] + 1,
    "ReluGrad": lambda node, shape_of, counts: counts[0],
    **dict.fromkeys(("Shape", "ShapeN", "Size"), lambda node, shape_of, counts: 0),
    "BiasAddGrad": lambda node, shape_of, counts: counts[0] + _known(node, shape_of(node.inputs[0])),
    **dict.fromkeys(("Conv2DBackpropFilter", "Conv3DBackpropFilterV2"), _at(2, 0, _positions)),
    **dict.fromkeys(("Conv2DBackpropInput", "Conv3DBackpropInputV2"), _at(1, 2, _taps_out)),
    "DepthwiseConv2dNativeBackpropFilter": _at(2, 0, _positions),
    "DepthwiseConv2dNativeBackpropInput": _at(1, 2, _taps_out),
    "Square": lambda node, shape_of, counts: 2 * counts[0] + 1,
    **dict.fromkeys(("BatchMatMul", "BatchMatMulV2", "MatMul"), _of_sums(_inner)),
    **dict.fromkeys(("Conv2D", "Conv3D", "DepthwiseConv2dNative"), _of_sums(_filter_taps)),
    **dict.fromkeys(("Mean", "Sum"), _reduced),
}
"""For each op with a bound the count of its result, from those of its operands."""
