"""Compares what two programs gave: bit for bit, and where they differ, by how much and where first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_FLOATS = {"float16": 5, "bfloat16": 8, "float32": 8, "float64": 11}
"""Floating-point types in IEEE 754 layout, and the width of their exponents (bfloat16 is not NumPy's own)."""


@dataclass(frozen=True)
class Difference:
    """How an array differs from what was expected.

    `ulps` is the largest distance in units in the last place (None where it has no meaning: another shape or type,
    a string, a NaN for a number). `payloads_only`: every element that differs is a NaN for a NaN of other bits.
    `first` says in words which element differs first.
    """

    first: str
    count: int
    ulps: int | None = None
    payloads_only: bool = False

    def __str__(self) -> str:
        distance = "" if self.ulps is None else f", the largest by {self.ulps} ulp"
        return f"{self.first}; {self.count} element{'s' * (self.count != 1)} in all{distance}"


def compare(expected: Any, actual: Any) -> Difference | None:
    """None for equal bits: type, shape, signs of zeros and payloads of NaNs included."""
    left, right = np.asarray(expected), np.asarray(actual)
    if kind_of(left) != kind_of(right):
        return Difference(f"type {kind_of(left)} became {kind_of(right)}", max(left.size, 1))
    if left.shape != right.shape:
        return Difference(f"shape {list(left.shape)} became {list(right.shape)}", max(left.size, right.size))
    differs = differing(left, right)
    if not differs.any():
        return None
    place = tuple(int(index) for index in np.argwhere(differs)[0])
    where = f"element {list(place)}" if place else "the value"
    first = f"{where}: {_spell(left[place])} became {_spell(right[place])}"
    count = int(differs.sum())
    if left.dtype.kind == "O":
        return Difference(first, count)
    one, other = left[differs], right[differs]
    if exponent_bits(left) is None:
        return Difference(first, count, None if left.dtype.kind == "b" else _steps(one, other))
    one, other = parts(one), parts(other)
    nans = np.isnan(one), np.isnan(other)
    if (nans[0] != nans[1]).any():
        return Difference(first, count)
    both = nans[0]
    ulps = ulp_distance(one[~both], other[~both])
    # Of a complex number one half may be equal and the other differ in its payload.
    return Difference(first, count, ulps, payloads_only=ulps == 0)


def differing(left: Array, right: Array) -> NDArray[np.bool_]:
    """Which elements of two arrays of one shape and type differ in any bit."""
    if left.dtype.kind in "OSU":
        one, other = left.astype(object), right.astype(object)
        found = [_text(a) != _text(b) for a, b in zip(one.ravel(), other.ravel(), strict=True)]
        return np.array(found, dtype=bool).reshape(left.shape)
    word = next(size for size in (8, 4, 2, 1) if left.dtype.itemsize % size == 0)
    words = [np.ascontiguousarray(array).reshape(-1).view(f"u{word}") for array in (left, right)]
    differs = words[0] != words[1]
    if left.dtype.itemsize > word:
        differs = differs.reshape(-1, left.dtype.itemsize // word).any(axis=1)
    return np.asarray(differs.reshape(left.shape))


def ulp_distance(left: Array, right: Array) -> int:
    """The largest number of representable numbers that two arrays without NaNs lie apart; 0.0 and -0.0 lie one apart.

    The bits of IEEE 754 numbers, read as sign and magnitude, are ordered as the numbers are.
    """
    if not left.size:
        return 0
    places = []
    for array in (left, right):
        width = array.dtype.itemsize
        raw = np.frombuffer(array.tobytes(), f"<u{width}")
        sign = 1 << (8 * width - 1)
        magnitude = (raw & np.array(sign - 1, raw.dtype)).astype(object)
        places.append(np.where(raw & np.array(sign, raw.dtype), -1 - magnitude, magnitude))
    return int(np.max(np.abs(places[0] - places[1])))


def kind_of(array: Array) -> str:
    """The name of the element type; all kinds of text are one."""
    return "string" if array.dtype.kind in "OSU" else str(array.dtype)


def exponent_bits(array: Array) -> int | None:
    """The width of the exponent, for floating-point types and complex ones; None for the others."""
    name = {"complex64": "float32", "complex128": "float64"}.get(str(array.dtype), str(array.dtype))
    return _FLOATS.get(name)


def parts(array: Array) -> Array:
    """The real numbers in an array: of complex ones the two halves in turn."""
    return np.ascontiguousarray(array).view(array.real.dtype) if array.dtype.kind == "c" else array


def _steps(left: Array, right: Array) -> int | None:
    try:
        return int(np.max(np.abs(left.astype(object) - right.astype(object))))
    except TypeError:  # a type that NumPy cannot compute with
        return None


def _spell(value: Any) -> str:
    array = np.asarray(value)
    if exponent_bits(array) is not None and np.isnan(array):
        return f"{value} (0x{int.from_bytes(array.tobytes(), 'little'):0{2 * array.dtype.itemsize}x})"
    text = repr(value.item() if isinstance(value, np.generic) and value.dtype.itemsize != 4 else value)
    text = text[text.index("(") + 1 : -1] if text.startswith("np.") else text
    return text if len(text) <= 60 else text[:57] + "..."


def _text(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)
