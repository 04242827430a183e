"""One object that answers every question about an op: signature, effects, commutativity, defaults."""

from __future__ import annotations

from collections.abc import Mapping

from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ops.facts import Facts, builtin_commutative, builtin_facts
from tfreuse.ops.schema import OpSchema, Schemas

_UNKNOWN = Facts("", "unknown")


class Ops:
    """Op signatures from `schemas` (a TensorFlow registry or a table) joined with the facts tables."""

    def __init__(
        self,
        schemas: Schemas,
        facts: Mapping[str, Facts] | None = None,
        commutative: Mapping[str, frozenset[int]] | None = None,
    ) -> None:
        self._find = schemas
        self._schemas: dict[str, OpSchema | None] = {}
        self._output_types: dict[tuple[str, int], tuple[Attrs, tuple[int, ...]]] = {}
        self._facts = builtin_facts() if facts is None else facts
        self._commutative = builtin_commutative() if commutative is None else commutative

    def schema(self, op: str) -> OpSchema | None:
        """The signature, or None for an op that is not registered."""
        try:
            return self._schemas[op]
        except KeyError:
            found = self._schemas[op] = self._find(op)
            return found

    def facts(self, op: str) -> Facts:
        """What the op does; unknown for an op without a row."""
        return self._facts.get(op, _UNKNOWN)

    def commutes(self, op: str, attrs: Attrs) -> bool:
        """Whether the two operands may be swapped: known for the op and its element type."""
        types = self._commutative.get(op)
        if types is None:
            return False
        if not types:
            return True
        dtype = attrs.value("T")
        if dtype is None:
            default = self.defaults(op).get("T")
            dtype = None if default is None else default.value
        return dtype in types

    def defaults(self, op: str) -> Mapping[str, Attr]:
        """Default attributes of the op (none for an op that is not registered)."""
        schema = self.schema(op)
        return {} if schema is None else schema.defaults

    def output_types(self, op: str, attrs: Attrs) -> tuple[int, ...]:
        """The `DataType` of each output (none for an op without a signature)."""
        found = self._output_types.get((op, id(attrs)))
        if found is None:
            schema = self.schema(op)
            types = () if schema is None else schema.output_types(attrs)
            found = self._output_types[op, id(attrs)] = attrs, types  # kept alive, or another could come to have its id
        return found[1]

    def gives_ref(self, op: str) -> bool:
        """Whether an output of the op is a TF1 reference: whoever consumes it reads an aliased buffer."""
        schema = self.schema(op)
        return schema is not None and any(arg.is_ref for arg in schema.outputs)
