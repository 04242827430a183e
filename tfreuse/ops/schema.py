"""An op's signature, and from it the flat output ports of a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tfreuse.errors import GraphError
from tfreuse.ir.attrs import Attr, Attrs

RESOURCE = 20
VARIANT = 21
REF_OFFSET = 100
"""`DataType` values of resource and variant handles, and the offset of reference types (types.proto)."""

MAX_TENSORS = 1 << 20
"""More tensors than any argument has; a damaged attribute may ask for billions."""


@dataclass(frozen=True)
class Arg:
    """One declared input or output: a single tensor, `number_attr` of them, or a list typed by `type_list_attr`."""

    name: str
    type: int = 0
    type_attr: str = ""
    number_attr: str = ""
    type_list_attr: str = ""
    is_ref: bool = False

    @property
    def is_list(self) -> bool:
        """Whether an attribute says how many tensors it has."""
        return bool(self.number_attr or self.type_list_attr)

    def types(self, attrs: Attrs, defaults: Mapping[str, Attr]) -> tuple[int, ...]:
        """The `DataType` of each flat tensor of this argument.

        Raises:
            GraphError: if an attribute that the signature needs is absent, of another kind or out of range.
        """
        if self.type_list_attr:
            kind_and_types = _attr(attrs, defaults, self.type_list_attr, "list")
            return tuple(kind_and_types[1])
        dtype = self.type or _attr(attrs, defaults, self.type_attr, "type")
        count = _attr(attrs, defaults, self.number_attr, "i") if self.number_attr else 1
        if not 0 <= count <= MAX_TENSORS:
            raise GraphError(f"attribute {self.number_attr!r} is {count}, which is no number of tensors")
        return (dtype + REF_OFFSET if self.is_ref and dtype < REF_OFFSET else dtype,) * count


@dataclass(frozen=True)
class OpSchema:
    """The part of TensorFlow's `OpDef` that a rewriter needs (op_def.proto)."""

    name: str
    inputs: tuple[Arg, ...] = ()
    outputs: tuple[Arg, ...] = ()
    defaults: Mapping[str, Attr] = field(default_factory=dict)
    is_stateful: bool = False

    def output_types(self, attrs: Attrs) -> tuple[int, ...]:
        """The `DataType` of each flat output of a node with these attributes."""
        return tuple(t for arg in self.outputs for t in arg.types(attrs, self.defaults))

    def output_ranges(self, attrs: Attrs) -> dict[str, tuple[int, int]]:
        """For each declared output its first flat port and the number of its tensors."""
        return self._ranges(self.outputs, attrs)

    def input_ranges(self, attrs: Attrs) -> dict[str, tuple[int, int]]:
        """For each declared input its first flat operand and the number of its tensors."""
        return self._ranges(self.inputs, attrs)

    def _ranges(self, args: tuple[Arg, ...], attrs: Attrs) -> dict[str, tuple[int, int]]:
        ranges: dict[str, tuple[int, int]] = {}
        start = 0
        for arg in args:
            count = len(arg.types(attrs, self.defaults))
            ranges[arg.name] = (start, count)
            start += count
        return ranges


Schemas = Callable[[str], "OpSchema | None"]
"""Finds the signature of an op by name; None for an op that is not registered."""


def _attr(attrs: Attrs, defaults: Mapping[str, Attr], name: str, kind: str) -> Any:
    found = attrs.get(name) or defaults.get(name)
    if found is None:
        raise GraphError(f"attribute {name!r} is missing")
    if found.kind != kind or (kind == "list" and found.value[0] not in ("type", "")):
        raise GraphError(f"attribute {name!r} is of kind {found.kind!r}, where {kind!r} is needed")
    return found.value
