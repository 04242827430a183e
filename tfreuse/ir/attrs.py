"""Attribute values with a type tag and exact bits, so that 1, 1.0 and True, or 0.0 and -0.0, never compare equal."""

from __future__ import annotations

import struct
from collections.abc import ItemsView, Iterator, Mapping
from typing import Any, NamedTuple


class Attr(NamedTuple):
    """One attribute value.

    `kind` is the field of TensorFlow's `AttrValue` that holds it; `value` is, by kind: ``s`` bytes, ``i`` int,
    ``f`` four bytes (little-endian IEEE float32), ``b`` bool, ``type`` int (`DataType`), ``shape`` a tuple of
    dimension sizes (-1 unknown) or None (unknown rank), ``tensor`` a `Tensor`, ``func`` a `Func`,
    ``placeholder`` str, and ``list`` a pair (kind of the elements, tuple of their values).
    """

    kind: str
    value: Any


class Func(NamedTuple):
    """A function named by an attribute, with the attributes that instantiate it."""

    name: str
    attrs: Attrs


class Tensor:
    """A constant's value, bit for bit, independent of how the protocol buffer spelled it.

    `elements` holds the little-endian element bytes in row-major order (strings: a tuple of bytes) up to the
    last element that differs from the one after it; the final element repeats to fill `shape`.
    """

    __slots__ = ("_hash", "dtype", "elements", "shape")

    def __init__(self, dtype: int, shape: tuple[int, ...], elements: bytes | tuple[bytes, ...]) -> None:
        self.dtype = dtype
        self.shape = shape
        self.elements = elements
        self._hash: int | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tensor):
            return NotImplemented
        return (self.dtype, self.shape) == (other.dtype, other.shape) and self.elements == other.elements

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((self.dtype, self.shape, self.elements))
        return self._hash

    def __repr__(self) -> str:
        return f"Tensor({self.dtype}, {self.shape}, {len(self.elements)} stored)"


GRADIENT = "_gradient_op_type"
"""The attribute that names a gradient which the user wrote (ops.py of TensorFlow)."""


class Attrs(Mapping[str, Attr]):
    """An immutable set of named attributes, hashed once; equal sets are shared by the reader of a graph.

    `functions` are all that the attributes name, in lists too (`Case` names its branches in a list). A plain set
    names no function and no gradient.
    """

    __slots__ = ("_hash", "_items", "functions", "is_colocated", "is_plain")

    def __init__(self, items: Mapping[str, Attr] | None = None) -> None:
        self._items: dict[str, Attr] = dict(sorted(items.items())) if items else {}
        self._hash: int | None = None
        functions: tuple[Func, ...] = ()
        for kind, value in self._items.values():
            if kind == "func":
                functions += (value,)
            elif kind == "list" and value[0] == "func":
                functions += value[1]
        self.functions = functions
        self.is_colocated = "_class" in self._items and self._items["_class"].kind == "list"
        self.is_plain = not functions and GRADIENT not in self._items

    def __getitem__(self, name: str) -> Attr:
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Attrs) and self._items == other._items

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(tuple(self._items.items()))
        return self._hash

    def __repr__(self) -> str:
        return f"Attrs({self._items!r})"

    def items(self) -> ItemsView[str, Attr]:
        """The names and attributes, in the order of the names."""
        return self._items.items()

    def value(self, name: str, default: Any = None) -> Any:
        """The bare value of attribute `name`, or `default` where it is absent."""
        found = self._items.get(name)
        return default if found is None else found.value

    def replaced(self, name: str, attr: Attr) -> Attrs:
        """A copy in which the attribute `name`, which is there, has another value."""
        if not self.is_plain or self.is_colocated or attr.kind in ("func", "list"):
            return self.updated({name: attr})
        copy = Attrs.__new__(Attrs)
        copy._items = {**self._items, name: attr}
        copy._hash, copy.functions, copy.is_colocated, copy.is_plain = None, (), False, True
        return copy

    def updated(self, changes: Mapping[str, Attr | None]) -> Attrs:
        """A copy with `changes` applied; None removes a name."""
        merged: dict[str, Attr | None] = {**self._items, **changes}
        return Attrs({name: attr for name, attr in merged.items() if attr is not None})


NO_ATTRS = Attrs()


def attr_int(value: int) -> Attr:
    """An integer attribute."""
    return Attr("i", value)


def attr_type(dtype: int) -> Attr:
    """A `DataType` attribute."""
    return Attr("type", dtype)


def attr_float(value: float) -> Attr:
    """A float32 attribute, kept as its four bytes."""
    return Attr("f", struct.pack("<f", value))
