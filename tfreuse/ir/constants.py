"""Numbers out of constants: whole numbers of a tensor, row by row."""

from __future__ import annotations

import struct
from math import prod

from tfreuse.ir.attrs import Attr, Attrs, Tensor
from tfreuse.ir.graph import Node

_CODES = {3: "<i", 4: "<B", 5: "<h", 6: "<b", 9: "<q", 17: "<H", 22: "<I", 23: "<Q"}
INT32 = 3
"""The `DataType` of 32-bit whole numbers."""
MAX_ELEMENTS = 1 << 20
"""Larger constants are no indices or sizes that anybody wants to look at."""


def whole_numbers(tensor: Tensor) -> tuple[int, ...] | None:
    """The elements in row-major order; None for other types, and for more than `MAX_ELEMENTS`."""
    code = _CODES.get(tensor.dtype)
    count = prod(tensor.shape)
    if code is None or not isinstance(tensor.elements, bytes) or count > MAX_ELEMENTS:
        return None
    stored = [number for (number,) in struct.iter_unpack(code, tensor.elements)]
    return tuple(stored[:count] + stored[-1:] * (count - len(stored)))


def int32_tensor(shape: tuple[int, ...], numbers: tuple[int, ...]) -> Tensor:
    """A tensor of 32-bit whole numbers, in the form that equal ones share (see `Tensor`).

    Raises:
        struct.error: if a number needs more than 32 bits.
    """
    return _tensor(INT32, shape, numbers)


def int32_constant(name: str, shape: tuple[int, ...], numbers: tuple[int, ...], device: str = "") -> Node:
    """A `Const` node of 32-bit whole numbers."""
    return whole_constant(name, shape, numbers, INT32, device)


def whole_constant(name: str, shape: tuple[int, ...], numbers: tuple[int, ...], dtype: int, device: str = "") -> Node:
    """A `Const` node of whole numbers of the `DataType` `dtype`.

    Raises:
        struct.error: if a number needs more bits.
    """
    attrs = {"dtype": Attr("type", dtype), "value": Attr("tensor", _tensor(dtype, shape, numbers))}
    return Node(name, "Const", attrs=Attrs(attrs), device=device)


def _tensor(dtype: int, shape: tuple[int, ...], numbers: tuple[int, ...]) -> Tensor:
    stored = list(numbers)
    while len(stored) > 1 and stored[-1] == stored[-2]:
        stored.pop()
    return Tensor(dtype, shape, struct.pack(f"<{len(stored)}{_CODES[dtype][1:]}", *stored))
