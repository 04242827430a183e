"""Dilated convolutions in three or five nodes, for the proof (`tfreuse.validate.forms`).

`SpaceToBatchND` with block b lays element `i * b + k` of its padded operand at row i of example group k; a convolution
of stride 1 and no dilation sums rows i, i + 1 and so on of one group; `BatchToSpaceND` lays row i of group k at
element `i * b + k`. So element e of what is laid back sums the padded elements e, e + b, e + 2b and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple

from tfreuse.ir.graph import Node, Value
from tfreuse.ops.integers import Integers
from tfreuse.validate.form_kinds import WHOLE, Kind, kinds_of

Lengths = tuple[int | None, ...]


class Between(NamedTuple):
    """The nodes of one such convolution in their order, what it takes beside its first operand, the kinds of the first
    operand's axes, and what no attribute says: block and padding of each axis."""

    nodes: tuple[Node, ...]
    others: tuple[Value, ...]
    kinds: list[Kind]
    numbers: Hashable


def span(last: Node, nodes: Mapping[str, Node]) -> tuple[Node, ...] | None:
    """The nodes from SpaceToBatchND to the BatchToSpaceND `last`; None if it is another use of that."""
    found = [last]
    for _ in range(4):
        value = found[-1].inputs[0]
        if value.port or not nodes[value.node].inputs:
            return None
        found.append(nodes[value.node])
        if found[-1].op == "SpaceToBatchND":
            ends = [node.op for node in found[1:-1]]
            sound = len(ends) == 1 or (len(ends) == 3 and (ends[0], ends[2]) == ("Squeeze", "ExpandDims"))
            return tuple(reversed(found)) if sound else None
    return None


def between(
    nodes: tuple[Node, ...], lengths: Lengths, integers: Integers, shape: Callable[[Value], tuple[int, ...] | None]
) -> Between | None:
    """The nodes that `span` found, on an operand of axes of `lengths`."""
    first, last, convolution, rank = nodes[0], nodes[-1], nodes[len(nodes) // 2], len(lengths)
    if not convolution.op.startswith(("Conv", "DepthwiseConv")):
        return None
    kinds = kinds_of(convolution, rank + (len(nodes) == 5), shape(convolution.inputs[1]))
    if kinds is None:
        return None
    if len(nodes) == 5:
        place, gone = integers.number_of(nodes[1].inputs[1]), list(nodes[3].attrs.value("squeeze_dims", ("i", ()))[1])
        if place is None or len(gone) != 1 or (place - gone[0]) % len(kinds):
            return None
        if kinds.pop(place % len(kinds))[:2] != (1, 1):
            return None
    blocks, again = integers.list_of(first.inputs[1]), integers.list_of(last.inputs[1])
    pads, crops = integers.list_of_pairs(first.inputs[2]), integers.list_of_pairs(last.inputs[2])
    if blocks is None or pads is None or crops is None or blocks != again:
        return None
    if not len(blocks) == len(pads) == len(crops) < rank:
        return None
    around = []
    for axis, (block, pad, crop) in enumerate(zip(blocks, pads, crops, strict=True), 1):
        kind, length = kinds[axis], lengths[axis]
        if isinstance(kind, str) or kind[1:] != (1, 1) or length is None or min(block - 1, *pad, *crop) < 0:
            return None
        padded, reach = length + sum(pad), (kind[0] - 1) * block + 1
        if padded % block or padded - reach + 1 <= sum(crop):  # TensorFlow refuses to run it, or nothing is left
            return None
        around.append((block, pad[0] - crop[0], pad[1] - crop[1]))
        kinds[axis] = (kind[0], 1, block) if around[-1][1:] == (0, 0) else WHOLE
    return Between(nodes, convolution.inputs[1:], kinds, tuple(around))
