"""Whole numbers that a graph computes from constants alone: indices and shapes as TensorFlow's Python code builds them.

`tf.signal.frame`, `tf.repeat` and `tf.image.crop_to_bounding_box` leave a dozen small ops behind where the caller wrote
numbers. Only what they use is known here; results that need more than 32 bits, and large ones, are given up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from math import prod
from typing import NamedTuple

from tfreuse.ir.constants import MAX_ELEMENTS, whole_numbers
from tfreuse.ir.graph import Node, Value

_MAX_DEPTH = 64


class Numbers(NamedTuple):
    """A tensor of whole numbers in row-major order."""

    shape: tuple[int, ...]
    elements: tuple[int, ...]


class Integers:
    """Evaluates values of one graph; `arguments` are nodes whose value comes from outside."""

    def __init__(self, nodes: Mapping[str, Node], arguments: Collection[str]) -> None:
        self._nodes = nodes
        self._known: dict[Value, Numbers | None] = {}
        self._arguments = frozenset(arguments)

    def of(self, value: Value, depth: int = 0) -> Numbers | None:
        """The value, or None where it is not known."""
        if value not in self._known:
            found = self._compute(value, depth)
            if found is not None and any(abs(number) >= 1 << 31 for number in found.elements):
                found = None
            self._known[value] = found
        return self._known[value]

    def list_of(self, value: Value) -> list[int] | None:
        """The elements of a vector (or of a scalar, as one)."""
        found = self.of(value)
        return None if found is None or len(found.shape) > 1 else list(found.elements)

    def list_of_pairs(self, value: Value) -> list[tuple[int, int]] | None:
        """The rows of a matrix with two columns, as paddings are given."""
        found = self.of(value)
        if found is None or len(found.shape) != 2 or found.shape[1] != 2:
            return None
        return list(zip(found.elements[::2], found.elements[1::2], strict=True))

    def number_of(self, value: Value) -> int | None:
        """A single number."""
        found = self.of(value)
        return None if found is None or len(found.elements) != 1 else found.elements[0]

    def _compute(self, value: Value, depth: int) -> Numbers | None:
        node = self._nodes[value.node]
        if value.port or depth > _MAX_DEPTH or value.node in self._arguments:
            return None
        if node.op == "Const":
            tensor = node.attrs.value("value")
            numbers = whole_numbers(tensor) if hasattr(tensor, "elements") else None
            return None if numbers is None else Numbers(tensor.shape, numbers)
        rule = _RULES.get(node.op)
        if rule is None:
            return None
        operands: list[Numbers] = []
        for source in node.inputs:
            operand = self.of(source, depth + 1)
            if operand is None:
                return None
            operands.append(operand)
        return rule(node, operands)


_Rule = Callable[[Node, list[Numbers]], "Numbers | None"]


def _pairwise(combine: Callable[[int, int], int]) -> _Rule:
    def rule(node: Node, operands: list[Numbers]) -> Numbers | None:
        one, other = operands
        rank = max(len(one.shape), len(other.shape))
        shapes = [(1,) * (rank - len(numbers.shape)) + numbers.shape for numbers in operands]
        if any(a != b and 1 not in (a, b) for a, b in zip(*shapes, strict=True)):
            return None
        shape = tuple(b if a == 1 else a for a, b in zip(*shapes, strict=True))
        if prod(shape) > MAX_ELEMENTS:
            return None
        left, right = (_spread(numbers.elements, old, shape) for numbers, old in zip(operands, shapes, strict=True))
        return Numbers(shape, tuple(map(combine, left, right)))

    return rule


def _spread(elements: tuple[int, ...], old: tuple[int, ...], shape: tuple[int, ...]) -> list[int]:
    found, inner = list(elements), 1
    for axis in reversed(range(len(shape))):
        if old[axis] != shape[axis]:
            blocks = [found[start : start + inner] for start in range(0, len(found), inner)]
            found = [number for block in blocks for number in block * shape[axis]]
        inner *= shape[axis]
    return found


def _floor_div(one: int, other: int) -> int:
    return one // other if other else 1 << 40  # out of range, so given up


def _range(node: Node, operands: list[Numbers]) -> Numbers | None:
    start, limit, delta = (numbers.elements[0] for numbers in operands)
    if not delta or abs(limit - start) > MAX_ELEMENTS:
        return None
    found = tuple(range(start, limit, delta))
    return Numbers((len(found),), found)


def _pack(node: Node, operands: list[Numbers]) -> Numbers | None:
    if node.attrs.value("axis", 0) or any(numbers.shape != operands[0].shape for numbers in operands):
        return None
    return Numbers((len(operands), *operands[0].shape), tuple(n for numbers in operands for n in numbers.elements))


def _concat(node: Node, operands: list[Numbers]) -> Numbers | None:
    *parts, axis = operands
    if axis.elements not in ((0,), (-1,)) or any(len(numbers.shape) != 1 for numbers in parts):
        return None
    found = tuple(number for numbers in parts for number in numbers.elements)
    return Numbers((len(found),), found)


def _reshape(node: Node, operands: list[Numbers]) -> Numbers | None:
    data, shape = operands
    known = prod(size for size in shape.elements if size >= 0)
    sizes = tuple(len(data.elements) // known if size < 0 and known else size for size in shape.elements)
    return Numbers(sizes, data.elements) if prod(sizes) == len(data.elements) else None


def _fill(node: Node, operands: list[Numbers]) -> Numbers | None:
    shape, value = operands
    if prod(shape.elements) > MAX_ELEMENTS or any(size < 0 for size in shape.elements):
        return None
    return Numbers(shape.elements, value.elements[:1] * prod(shape.elements))


def _strided_slice(node: Node, operands: list[Numbers]) -> Numbers | None:
    """Of a vector only."""
    data, begin, end, strides = operands
    masks = [node.attrs.value(f"{name}_mask", 0) for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")]
    if len(data.shape) != 1 or len(begin.elements) != 1 or masks[2] or masks[3] or not strides.elements[0]:
        return None
    if masks[4]:
        place = begin.elements[0]
        return Numbers((), (data.elements[place],)) if -len(data.elements) <= place < len(data.elements) else None
    first, last = (None if mask else number.elements[0] for mask, number in zip(masks, (begin, end), strict=False))
    found = data.elements[first : last : strides.elements[0]]
    return Numbers((len(found),), found)


def _cast(node: Node, operands: list[Numbers]) -> Numbers | None:
    return operands[0] if node.attrs.value("DstT") in (3, 9) else None


_RULES: dict[str, _Rule] = {
    **dict.fromkeys(("Add", "AddV2"), _pairwise(lambda one, other: one + other)),
    "Sub": _pairwise(lambda one, other: one - other),
    "Mul": _pairwise(lambda one, other: one * other),
    "FloorDiv": _pairwise(_floor_div),
    "Maximum": _pairwise(max),
    "Minimum": _pairwise(min),
    "Identity": lambda node, operands: operands[0],
    "Cast": _cast,
    "Range": _range,
    "Pack": _pack,
    "ConcatV2": _concat,
    "Reshape": _reshape,
    "Fill": _fill,
    "StridedSlice": _strided_slice,
}
