"""Ops that only choose and arrange elements, for the proof (`tfreuse.validate.forms`)."""

from __future__ import annotations

from collections.abc import Callable

from tfreuse.ir.graph import Node
from tfreuse.ops.integers import Integers
from tfreuse.validate.forms import Form, moved, picked, reshaped, stacked, with_axis, without_axis
from tfreuse.validate.stated import Shape


def chosen(node: Node, port: int, forms: list[Form | None], integers: Integers, stated: Shape | None) -> Form | None:
    """Output `port` of an op in `CHOICES`, from the forms of its operands; `stated` is its shape, if known."""
    numbers = [integers.list_of(operand) for operand in node.inputs]
    return CHOICES[node.op](node, port, forms, numbers, stated)


_Lists = list[list[int] | None]


def _at(axis: int | None, form: Form | None, more: int = 0) -> int | None:
    rank = 0 if form is None else len(form.lengths) + more
    return None if axis is None or not -rank <= axis < rank else axis + rank * (axis < 0)


def _one(numbers: list[int] | None) -> int | None:
    return numbers[0] if numbers is not None and len(numbers) == 1 else None


def _identity(node: Node, port: int, forms: list[Form | None], numbers: _Lists, stated: Shape | None) -> Form | None:
    return forms[0]


def _slice(node: Node, port: int, forms: list[Form | None], numbers: _Lists, stated: Shape | None) -> Form | None:
    form, begin, size = forms[0], numbers[1], numbers[2]
    if form is None or begin is None or size is None or {len(begin), len(size)} != {len(form.lengths)}:
        return None
    found: Form | None = form
    for axis, start in enumerate(begin):
        length, known = size[axis], form.lengths[axis]
        if length == -1 and start == 0:
            continue
        if length == -1:
            if known is None:
                return None
            length = known - start
        if start < 0 or length < 1 or (known is not None and start + length > known) or found is None:
            return None
        found = picked(found, axis, range(start, start + length))
    return found


def _strided(node: Node, port: int, forms: list[Form | None], numbers: _Lists, stated: Shape | None) -> Form | None:
    """The entries of the specification from left to right, as `tf.strided_slice` documents its masks."""
    form, begin, end, strides = forms[0], numbers[1], numbers[2], numbers[3]
    if form is None or begin is None or end is None or strides is None or not len(begin) == len(end) == len(strides):
        return None
    bits = {
        key: int(node.attrs.value(f"{key}_mask", 0)) for key in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }
    if bits["ellipsis"].bit_count() > 1:
        return None
    plain = [n for n in range(len(begin)) if not (bits["ellipsis"] | bits["new_axis"]) >> n & 1]
    found: Form | None = form
    axis = 0
    for n in range(len(begin)):
        if found is None:
            return None
        if bits["ellipsis"] >> n & 1:
            axis += len(form.lengths) - len(plain)
            continue
        if bits["new_axis"] >> n & 1:
            found, axis = with_axis(found, axis), axis + 1
            continue
        if axis >= len(found.lengths):
            return None
        length, step = found.lengths[axis], strides[n]
        if bits["shrink_axis"] >> n & 1:
            row = begin[n] if begin[n] >= 0 or length is None else begin[n] + length
            if row < 0 or (length is not None and row >= length):
                return None
            one = picked(found, axis, range(row, row + 1))
            found = None if one is None else without_axis(one, axis)
            continue
        opens, closes = bits["begin"] >> n & 1, bits["end"] >> n & 1
        if not (opens and closes and step == 1):
            if length is None or step == 0:
                return None
            rows = range(length)[None if opens else begin[n] : None if closes else end[n] : step]
            found = picked(found, axis, rows)
        axis += 1
    return found


def _split(node: Node, port: int, forms: list[Form | None], numbers: _Lists, stated: Shape | None) -> Form | None:
    form, axis, parts = forms[1], _at(_one(numbers[0]), forms[1]), int(node.attrs.value("num_split", 0))
    length = None if form is None or axis is None else form.lengths[axis]
    if form is None or axis is None or length is None or parts < 1 or length % parts:
        return None
    each = length // parts
    return picked(form, axis, range(port * each, port * each + each))


def _split_v(node: Node, port: int, forms: list[Form | None], numbers: _Lists, stated: Shape | None) -> Form | None:
    form, sizes, axis = forms[0], numbers[1], _at(_one(numbers[2]), forms[0])
    length = None if form is None or axis is None else form.lengths[axis]
    if form is None or sizes is None or axis is None:
        return None
    if any(size < 0 for size in sizes):
        if length is None or sum(size < 0 for size in sizes) > 1:
            return None
        rest = length - sum(size for size in sizes if size >= 0)
        sizes = [rest if size < 0 else size for size in sizes]
    if length is not None and sum(sizes) != length:
        return None
    start = sum(sizes[:port])
    return picked(form, axis, range(start, start + sizes[port]))


def _unpack(node: Node, port: int, forms: list[Form | None], numbers: _Lists, stated: Shape | None) -> Form | None:
    axis = _at(int(node.attrs.value("axis", 0)), forms[0])
    one = None if forms[0] is None or axis is None else picked(forms[0], axis, range(port, port + 1))
    return None if one is None or axis is None else without_axis(one, axis)


def _tile(node: Node, port: int, forms: list[Form | None], numbers: _Lists, stated: Shape | None) -> Form | None:
    form, times = forms[0], numbers[1]
    if form is None or times is None or len(times) != len(form.lengths):
        return None
    found: Form | None = form
    for axis, count in enumerate(times):
        length = form.lengths[axis]
        if count != 1:
            if length is None or found is None:
                return None
            found = picked(found, axis, list(range(length)) * count)
    return found


def _expand(node: Node, port: int, forms: list[Form | None], numbers: _Lists, stated: Shape | None) -> Form | None:
    axis = _at(_one(numbers[1]), forms[0], 1)
    return None if forms[0] is None or axis is None else with_axis(forms[0], axis)


def _squeeze(node: Node, port: int, forms: list[Form | None], numbers: _Lists, stated: Shape | None) -> Form | None:
    form: Form | None = forms[0]
    listed = list(node.attrs.value("squeeze_dims", ("i", ()))[1])
    if form is None or (not listed and None in form.lengths):
        return None
    rank = len(form.lengths)
    axes = {axis % rank for axis in listed} if listed else {n for n, length in enumerate(form.lengths) if length == 1}
    for axis in sorted(axes, reverse=True):
        form = None if form is None else without_axis(form, axis)
    return form


def _transpose(node: Node, port: int, forms: list[Form | None], numbers: _Lists, stated: Shape | None) -> Form | None:
    form, order = forms[0], numbers[1]
    if form is None or order is None or sorted(order) != list(range(len(form.lengths))):
        return None
    return moved(form, {old: new for new, old in enumerate(order)}, [form.lengths[old] for old in order])


def _pack(node: Node, port: int, forms: list[Form | None], numbers: _Lists, stated: Shape | None) -> Form | None:
    axis = _at(int(node.attrs.value("axis", 0)), forms[0], 1)
    known = [form for form in forms if form is not None]
    if axis is None or len(known) < len(forms) or len({len(form.lengths) for form in known}) > 1:
        return None
    return stacked([with_axis(form, axis) for form in known], axis)


def _concat(node: Node, port: int, forms: list[Form | None], numbers: _Lists, stated: Shape | None) -> Form | None:
    axis = _at(_one(numbers[-1]), forms[0])
    known = [form for form in forms[:-1] if form is not None]
    if axis is None or len(known) < len(forms) - 1 or len({len(form.lengths) for form in known}) > 1:
        return None
    return stacked(known, axis)


def _reshape(node: Node, port: int, forms: list[Form | None], numbers: _Lists, stated: Shape | None) -> Form | None:
    form, target = forms[0], numbers[1] if numbers[1] is not None else (list(stated) if stated is not None else None)
    if form is None or target is None or min(target, default=0) < -1:
        return None
    lengths: list[int | None] = [None if size < 0 else size for size in target]
    if None in lengths and None not in form.lengths and lengths.count(None) == 1:
        total, known = 1, 1
        for length in form.lengths:
            total *= length or 0
        for length in lengths:
            known *= 1 if length is None else length
        if not known or total % known:
            return None
        lengths[lengths.index(None)] = total // known
    return reshaped(form, tuple(lengths))


_Rule = Callable[[Node, int, "list[Form | None]", _Lists, "Shape | None"], "Form | None"]
CHOICES: dict[str, _Rule] = {
    "ConcatV2": _concat,
    "ExpandDims": _expand,
    "Identity": _identity,
    "Pack": _pack,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "SplitV": _split_v,
    "Squeeze": _squeeze,
    "StridedSlice": _strided,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unpack": _unpack,
}
"""Rules by op; `form_gathers` has those of GatherV2 and ExtractImagePatches."""
