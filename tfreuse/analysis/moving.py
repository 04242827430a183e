"""Windows that a loop's body cuts where its counters say, and what they have in common."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

from tfreuse.analysis.cost import HEAVY
from tfreuse.analysis.loops import Line, Loop
from tfreuse.ir.graph import Node
from tfreuse.ir.order import data_ancestors


class Moving(NamedTuple):
    """A window's axis on which it moves: how far in each iteration, and how long it is."""

    axis: int
    step: int
    length: int


class Slice(NamedTuple):
    """A node of the body that cuts a moving window: what is known of it, and whether that is all that there is to."""

    node: str
    detail: str
    is_known: bool


def moving(loop: Loop, call: Node, least: float) -> Iterator[Slice]:
    """The slices of the body of the loop `call` that move and lead to something that multiplies. Not those that are
    known to have less than `least` in common."""
    heavy = data_ancestors(loop.body, [node.name for node in loop.body.nodes.values() if node.op in HEAVY])
    for node in loop.body.nodes.values():
        if node.op not in ("Slice", "StridedSlice") or node.name not in heavy or _is_small(call, loop, node):
            continue
        if loop.changes(data_ancestors(loop.body, [source for source, _ in node.inputs[1:]])):
            found = _slice(loop, node, least)
            if found is not None:
                yield found


def _slice(loop: Loop, node: Node, least: float) -> Slice | None:
    if loop.changes(data_ancestors(loop.body, [node.inputs[0].node])):
        return Slice(node.name, "the value that it cuts from changes from step to step", False)
    found, trips = _windows(loop, node), loop.trips
    if found is None:
        return Slice(node.name, "where it starts and ends is not known to move by one number in each step", False)
    where = ", ".join(f"{length} long, {step} apart on axis {axis}" for axis, step, length in found)
    if any(abs(step) >= length for _, step, length in found):
        return None
    if trips is None:
        return Slice(node.name, f"windows {where}; how often the loop runs is not known", False)
    union = prod(max(trips - 1, 0) * abs(step) + length for _, step, length in found)
    overlap = trips * prod(length for _, _, length in found) / union
    if overlap < least:
        return None
    return Slice(node.name, f"{trips} windows {where}, each element {overlap:.3g} times", True)


def _is_small(call: Node, loop: Loop, node: Node) -> bool:
    """Whether it cuts a vector, as indices and shapes are cut up everywhere."""
    place, (_, shapes) = loop.place_of(node.inputs[0]), call.attrs.value("output_shapes", ("shape", ()))
    shape = shapes[place] if place is not None and place < len(shapes) else None
    return shape is not None and len(shape) < 2


def _windows(loop: Loop, node: Node) -> list[Moving] | None:
    """The axes on which a slice moves; None where that is not known."""
    begin, end = loop.lines(node.inputs[1]), loop.lines(node.inputs[2])
    if begin is None or end is None or len(begin) != len(end):
        return None
    lengths: list[Line | None] = list(end)
    if node.op == "StridedSlice":
        strides = loop.lines(node.inputs[3])
        names = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
        opens, closes, ellipsis, added, shrinks = (int(node.attrs.value(f"{name}_mask", 0)) for name in names)
        if strides is None or any(stride != Line(1) for stride in strides) or ellipsis or added:
            return None
        for axis, (first, last) in enumerate(zip(begin, end, strict=True)):
            length = Line(1) if shrinks >> axis & 1 else Line(last.first - first.first, last.by - first.by)
            lengths[axis] = None if (opens | closes) >> axis & 1 else length
    found = []
    for axis, (first, known) in enumerate(zip(begin, lengths, strict=True)):
        if known is not None and first.by and not known.by and known.first > 0:
            found.append(Moving(axis, first.by, known.first))
        elif first.by or (known is not None and known.by):
            return None
    return found or None
