"""Dilated convolutions as Keras and `tf.nn.convolution` lower them: a plain one between two rearrangements of rows.

SpaceToBatchND puts every `block`-th element of an axis into an example of its own, BatchToSpaceND puts the results back
in their order (definitions: array_ops.cc, and `tf.nn.with_space_to_batch`, whose text says that this is a convolution
of `rate = block`). With `paddings` (p, q) before and `crops` (c, d) behind, element j of the result depends on elements
`j + c - p + tap * block`: a window of dilation `block` and padding (p - c, q - d). What is padded only to have a length
that `block` divides is cropped again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tfreuse.analysis.receptive import Window
from tfreuse.analysis.receptive_ops import CONVOLUTIONS, AxisKind, Refusal, axes_of
from tfreuse.analysis.shapes import ShapeOf
from tfreuse.ir.constants import INT32
from tfreuse.ir.graph import Graph, Node, Value
from tfreuse.ops.integers import Integers

FIRST, LAST = "SpaceToBatchND", "BatchToSpaceND"
_PLAIN, _OVER_TIME = (FIRST, LAST), (FIRST, "ExpandDims", "Squeeze", LAST)

Pairs = tuple[tuple[int, int], ...]


class Dilated(NamedTuple):
    """The nodes from SpaceToBatchND to BatchToSpaceND, that one which multiplies, and the kinds of the axes of
    the first one's operand; `blocks`, `paddings` and `crops` are those of axis 1 and on."""

    nodes: tuple[Node, ...]
    convolution: Node
    kinds: tuple[AxisKind, ...]
    blocks: tuple[int, ...]
    paddings: Pairs
    crops: Pairs

    @property
    def operands(self) -> tuple[Value, ...]:
        """What it is computed from: the value that is rearranged, and the filter."""
        return (self.nodes[0].inputs[0], *self.convolution.inputs[1:])

    def rearranged(self, lengths: dict[int, int]) -> tuple[Pairs, Pairs]:
        """Paddings and crops for an operand that has other lengths on some axes, on which nothing else is padded."""
        axes = range(1, len(self.blocks) + 1)
        more = {axis: -lengths[axis] % self.blocks[axis - 1] for axis in axes if axis in lengths}
        paddings = tuple((0, more[axis]) if axis in more else self.paddings[axis - 1] for axis in axes)
        return paddings, tuple((0, more[axis]) if axis in more else self.crops[axis - 1] for axis in axes)


def dilated(
    graph: Graph, last: Node, integers: Integers, shape_of: ShapeOf, rank_of: Callable[[Value], int | None]
) -> Dilated | None:
    """The convolution that ends with the BatchToSpaceND `last`, if it is one."""
    nodes = [last]
    while nodes[0].op != FIRST:
        above = nodes[0].inputs[0]
        if above.port or len(nodes) == 5 or not graph.nodes[above.node].inputs:
            return None
        nodes.insert(0, graph.nodes[above.node])
    ops = tuple(node.op for node in nodes)
    middle = len(nodes) // 2
    convolution = nodes[middle]
    if convolution.op not in CONVOLUTIONS or ops[:middle] + ops[middle + 1 :] not in (_PLAIN, _OVER_TIME):
        return None
    types = (nodes[0].attrs.value("Tpaddings", INT32), last.attrs.value("Tcrops", INT32))
    if types != (INT32, INT32) or len({node.device for node in nodes}) > 1:  # the union's are made alike
        return None
    blocks, again = (integers.list_of(node.inputs[1]) for node in (nodes[0], last))
    paddings, crops = (integers.list_of_pairs(node.inputs[2]) for node in (nodes[0], last))
    rank = rank_of(nodes[0].inputs[0])
    if blocks is None or paddings is None or crops is None or rank is None:
        return None
    if blocks != again or not len(blocks) == len(paddings) == len(crops) < rank:
        return None
    kinds = _kinds(nodes, convolution, rank, integers, shape_of)
    if kinds is None:
        return None
    for axis, (block, padding, crop) in enumerate(zip(blocks, paddings, crops, strict=True), 1):
        kind, pads = kinds[axis], (padding[0] - crop[0], padding[1] - crop[1])
        if not isinstance(kind, Window) or kind != Window(kind.size) or min(pads) < 0 or block < 1:
            return None
        kinds[axis] = Window(kind.size, 1, block, pads)
    return Dilated(tuple(nodes), convolution, tuple(kinds), tuple(blocks), tuple(paddings), tuple(crops))


def _kinds(
    nodes: list[Node], convolution: Node, rank: int, integers: Integers, shape_of: ShapeOf
) -> list[AxisKind] | None:
    """What the convolution does on the axes of the value before an axis was added for it."""
    if len(nodes) == 3:
        kinds = axes_of(convolution, rank, shape_of)
        return None if isinstance(kinds, Refusal) else list(kinds)
    added, dropped = integers.number_of(nodes[1].inputs[1]), nodes[3].attrs.value("squeeze_dims", ("i", ()))[1]
    kinds = axes_of(convolution, rank + 1, shape_of)
    if added is None or len(dropped) != 1 or isinstance(kinds, Refusal):
        return None
    at = added % (rank + 1)
    alone = kinds[at]
    if at != dropped[0] % (rank + 1) or not isinstance(alone, Window) or alone.size != 1 or not alone.never_pads:
        return None
    return [*kinds[:at], *kinds[at + 1 :]]
