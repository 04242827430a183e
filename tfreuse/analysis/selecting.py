"""Ops that only choose and arrange elements, as selections of their operand (`tfreuse.analysis.selections`).

Definitions: the documentation of the ops in TensorFlow's array_ops.cc; of StridedSlice's masks, that of
`tf.strided_slice`. A rule gives None where a constant or a size that it needs is not known.
"""

from __future__ import annotations

from collections.abc import Callable

from tfreuse.analysis.receptive import Window
from tfreuse.analysis.selections import (
    View,
    as_range,
    drop_axis,
    folded,
    insert_axis,
    joined,
    take,
    transposed,
    unfolded,
)  # fmt: skip
from tfreuse.ir.graph import Node
from tfreuse.ops.integers import Integers

ViewOf = Callable[[int], "View | None"]
"""Gives the view of an operand, by its place."""


def selected(node: Node, port: int, view_of: ViewOf, integers: Integers) -> View | None:
    """The result `port` of a selecting op as a view."""
    rule = _RULES[node.op]
    return rule(node, port, view_of, integers)


def _slice(node: Node, port: int, view_of: ViewOf, integers: Integers) -> View | None:
    view, begin, size = view_of(0), integers.list_of(node.inputs[1]), integers.list_of(node.inputs[2])
    if view is None or begin is None or size is None or not len(begin) == len(size) == len(view.sizes):
        return None
    for axis, (start, count, known) in enumerate(zip(begin, size, view.sizes, strict=True)):
        if start == 0 and count in (-1, known):
            continue
        end = known if count < 0 else start + count
        if end < 0 or 0 <= known < end or view is None:
            return None
        view = take(view, axis, range(start, end))
    return view


def _strided_slice(node: Node, port: int, view_of: ViewOf, integers: Integers) -> View | None:
    view = view_of(0)
    bounds = [integers.list_of(operand) for operand in node.inputs[1:4]]
    if view is None or bounds[0] is None or bounds[1] is None or bounds[2] is None:
        return None
    begin, end, strides = bounds[0], bounds[1], bounds[2]
    if not len(begin) == len(end) == len(strides):
        return None
    masks = {
        name: int(node.attrs.value(f"{name}_mask", 0))
        for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }

    def has(name: str, place: int) -> bool:
        return bool(masks[name] >> place & 1)

    rank, taken = (
        len(view.sizes),
        sum(not has("ellipsis", place) and not has("new_axis", place) for place in range(len(begin))),
    )
    axis = 0  # of the view as it is by then
    for place, (first, last, stride) in enumerate(zip(begin, end, strides, strict=True)):
        if view is None:
            return None
        if has("ellipsis", place):
            axis += rank - taken
        elif has("new_axis", place):
            view = insert_axis(view, axis)
            axis += 1
        elif has("shrink_axis", place):
            known = view.sizes[axis]
            if first < 0 and known < 0:
                return None
            row = first + known if first < 0 else first
            if row < 0 or 0 <= known <= row:
                return None
            chosen = take(view, axis, range(row, row + 1))
            view = None if chosen is None else drop_axis(chosen, axis)
        else:
            bound = slice(None if has("begin", place) else first, None if has("end", place) else last, stride or None)
            if (bound.start, bound.stop, bound.step) != (None, None, 1):
                if view.sizes[axis] < 0 or not stride:
                    return None
                rows = range(view.sizes[axis])[bound]
                if rows != range(view.sizes[axis]):
                    view = take(view, axis, rows)
            axis += 1
    return view


def _split(node: Node, port: int, view_of: ViewOf, integers: Integers) -> View | None:
    view, axis = view_of(1), integers.number_of(node.inputs[0])
    parts = int(node.attrs.value("num_split", 0))
    place = _axis(axis, view)
    if view is None or place is None or view.sizes[place] < 0 or not parts:
        return None
    count = view.sizes[place] // parts
    return take(view, place, range(port * count, (port + 1) * count))


def _split_v(node: Node, port: int, view_of: ViewOf, integers: Integers) -> View | None:
    view, counts, axis = view_of(0), integers.list_of(node.inputs[1]), integers.number_of(node.inputs[2])
    place = _axis(axis, view)
    if view is None or counts is None or place is None:
        return None
    if -1 in counts:
        if view.sizes[place] < 0 or counts.count(-1) > 1:
            return None
        counts[counts.index(-1)] = view.sizes[place] - sum(counts) - 1
    start = sum(counts[:port])
    return take(view, place, range(start, start + counts[port]))


def _unpack(node: Node, port: int, view_of: ViewOf, integers: Integers) -> View | None:
    view = view_of(0)
    place = _axis(int(node.attrs.value("axis", 0)), view)
    if view is None or place is None:
        return None
    chosen = take(view, place, range(port, port + 1))
    return None if chosen is None else drop_axis(chosen, place)


def _gather(node: Node, port: int, view_of: ViewOf, integers: Integers) -> View | None:
    view, rows, axis = view_of(0), integers.of(node.inputs[1]), integers.number_of(node.inputs[2])
    place = _axis(axis, view)
    if view is None or rows is None or place is None or node.attrs.value("batch_dims", 0) or not rows.elements:
        return None
    if min(rows.elements) < 0 or max(rows.elements) >= view.sizes[place]:
        return None
    chosen = take(view, place, _steps(rows.elements))
    if chosen is None:
        return None
    return unfolded(chosen, place, rows.shape) if rows.shape else drop_axis(chosen, place)


def _patches(node: Node, port: int, view_of: ViewOf, integers: Integers) -> View | None:
    """The last axis holds rows, columns and depth of each patch, as ExtractImagePatches documents it."""
    view = view_of(0)
    listed = [list(node.attrs.value(name, ("i", ()))[1]) for name in ("ksizes", "strides", "rates")]
    if view is None or len(view.sizes) != 4 or min(view.sizes[1:]) < 1 or node.attrs.value("padding") != b"VALID":
        return None
    if any(len(numbers) != 4 or numbers[0] != 1 or numbers[3] != 1 for numbers in listed):
        return None
    found: View | None = view
    for axis in (2, 1):
        window = Window(listed[0][axis], listed[1][axis], listed[2][axis])
        count = window.result_length(view.sizes[axis])
        rows = tuple(row * window.stride + tap * window.dilation for row in range(count) for tap in range(window.size))
        found = None if found is None or not rows else take(found, axis, rows)
        found = None if found is None else unfolded(found, axis, (count, window.size))
    return None if found is None else folded(transposed(found, [0, 1, 3, 2, 4, 5]), 3, 3)


def _tile(node: Node, port: int, view_of: ViewOf, integers: Integers) -> View | None:
    view, multiples = view_of(0), integers.list_of(node.inputs[1])
    if view is None or multiples is None or len(multiples) != len(view.sizes):
        return None
    for axis, times in enumerate(multiples):
        if times != 1 and view is not None:
            if view.sizes[axis] < 0:
                return None
            view = take(view, axis, _steps(tuple(range(view.sizes[axis])) * times))
    return view


def _expand_dims(node: Node, port: int, view_of: ViewOf, integers: Integers) -> View | None:
    view, axis = view_of(0), integers.number_of(node.inputs[1])
    if view is None or axis is None or not -len(view.sizes) - 1 <= axis <= len(view.sizes):
        return None
    return insert_axis(view, axis + len(view.sizes) + 1 if axis < 0 else axis)


def _squeeze(node: Node, port: int, view_of: ViewOf, integers: Integers) -> View | None:
    view = view_of(0)
    _, listed = node.attrs.value("squeeze_dims", ("i", ()))
    if view is None:
        return None
    if not listed and min(view.sizes, default=1) < 0:
        return None
    axes = [axis % len(view.sizes) for axis in listed] or [axis for axis, size in enumerate(view.sizes) if size == 1]
    for axis in sorted(axes, reverse=True):
        view = None if view is None else drop_axis(view, axis)
    return view


def _transpose(node: Node, port: int, view_of: ViewOf, integers: Integers) -> View | None:
    view, order = view_of(0), integers.list_of(node.inputs[1])
    if view is None or order is None or sorted(order) != list(range(len(view.sizes))):
        return None
    return transposed(view, order)


def _pack(node: Node, port: int, view_of: ViewOf, integers: Integers) -> View | None:
    views: list[View] = []
    for place in range(len(node.inputs)):
        view = view_of(place)
        if view is None:
            return None
        axis = int(node.attrs.value("axis", 0))
        views.append(insert_axis(view, axis + len(view.sizes) + 1 if axis < 0 else axis))
    at = int(node.attrs.value("axis", 0))
    return joined(views, at + len(views[0].sizes) if at < 0 else at)


def _concat(node: Node, port: int, view_of: ViewOf, integers: Integers) -> View | None:
    views = [view_of(place) for place in range(len(node.inputs) - 1)]
    place = _axis(integers.number_of(node.inputs[-1]), views[0])
    known = [view for view in views if view is not None]
    if place is None or len(known) < len(views) or len({len(view.sizes) for view in known}) > 1:
        return None
    return joined(known, place)


def _identity(node: Node, port: int, view_of: ViewOf, integers: Integers) -> View | None:
    return view_of(0)


def _axis(axis: int | None, view: View | None) -> int | None:
    if axis is None or view is None or not -len(view.sizes) <= axis < len(view.sizes):
        return None
    return axis % len(view.sizes)


def _steps(numbers: tuple[int, ...]) -> range | tuple[int, ...]:
    shifted = as_range(numbers)
    if isinstance(shifted, range):
        return range(numbers[0], numbers[0] + shifted.step * len(numbers), shifted.step)
    return numbers


_Rule = Callable[[Node, int, ViewOf, Integers], "View | None"]
_RULES: dict[str, _Rule] = {
    "ConcatV2": _concat,
    "ExpandDims": _expand_dims,
    "ExtractImagePatches": _patches,
    "GatherV2": _gather,
    "Identity": _identity,
    "Pack": _pack,
    "Slice": _slice,
    "Split": _split,
    "SplitV": _split_v,
    "Squeeze": _squeeze,
    "StridedSlice": _strided_slice,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unpack": _unpack,
}
SELECTING = frozenset(_RULES)
"""Ops that `selected` knows."""
SOURCES = SELECTING - {"ExpandDims", "Identity", "Pack", "ConcatV2", "Squeeze", "Transpose"}
"""Those that a selection may begin with."""
