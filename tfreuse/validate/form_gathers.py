"""Gathers and patches, for the proof (`tfreuse.validate.forms`)."""

from __future__ import annotations

from tfreuse.ir.graph import Node
from tfreuse.ops.integers import Integers
from tfreuse.validate.forms import Form, moved, picked, reshaped


def gathered(node: Node, form: Form | None, integers: Integers) -> Form | None:
    """GatherV2 with known indices."""
    rows, axis = integers.of(node.inputs[1]), integers.number_of(node.inputs[2])
    if form is None or rows is None or axis is None or node.attrs.value("batch_dims", 0):
        return None
    axis += len(form.lengths) * (axis < 0)
    length = form.lengths[axis] if 0 <= axis < len(form.lengths) else None
    # What is beyond the end is an error on one device and zeros on another.
    if length is None or not rows.elements or not 0 <= min(rows.elements) <= max(rows.elements) < length:
        return None
    found = picked(form, axis, rows.elements)
    if found is None:
        return None
    return reshaped(found, (*found.lengths[:axis], *rows.shape, *found.lengths[axis + 1 :]))


def patches(node: Node, form: Form | None) -> Form | None:
    """ExtractImagePatches: `[batch, rows, columns, height * width * depth]`, VALID only."""
    ints = {name: node.attrs.value(name, ("i", ()))[1] for name in ("ksizes", "strides", "rates")}
    if form is None or len(form.lengths) != 4 or node.attrs.value("padding") != b"VALID":
        return None
    if any(len(listed) != 4 or listed[0] != 1 or listed[3] != 1 for listed in ints.values()):
        return None
    found: Form | None = form
    for axis in (2, 1):
        length = form.lengths[axis]
        size, stride, rate = (ints[name][axis] for name in ("ksizes", "strides", "rates"))
        count = 0 if length is None else (length - (size - 1) * rate - 1) // stride + 1
        if count < 1 or found is None:
            return None
        rows = [at * stride + tap * rate for at in range(count) for tap in range(size)]
        found = picked(found, axis, rows)
        if found is not None:
            lengths = found.lengths
            found = reshaped(found, (*lengths[:axis], count, size, *lengths[axis + 1 :]))
    if found is None:
        return None
    # The axes are batch, row, tap, column, tap, depth.
    order = [0, 1, 3, 2, 4, 5]
    turned = moved(found, {old: new for new, old in enumerate(order)}, [found.lengths[old] for old in order])
    batch, rows_, columns, height, width, depth = turned.lengths
    if height is None or width is None or depth is None:
        return None
    return reshaped(turned, (batch, rows_, columns, height * width * depth))
