"""What graphs the fuzzer makes: the ops, and how large, ordered and entangled the graphs are."""

from __future__ import annotations

from dataclasses import dataclass

from tests.engine import generation
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.dtypes import NUMBERS

FLOAT, INT, LONG, RESOURCE = (NUMBERS[name] for name in ("float", "int32", "int64", "resource"))


def types_of(**types: int) -> Attrs:
    """Attributes that are types."""
    return Attrs({name: Attr("type", number) for name, number in types.items()})


@dataclass(frozen=True)
class Signature:
    """Operands (x a value, v a variable, t a table), attributes, how many outputs."""

    operands: str
    attrs: Attrs
    outputs: int = 1


_LOOKUP = types_of(Tin=FLOAT, Tout=FLOAT)
_GATHER = types_of(dtype=FLOAT, Tindices=FLOAT)
SIGNATURES = {
    "Neg": Signature("x", types_of(T=FLOAT)),
    "Exp": Signature("x", types_of(T=FLOAT)),
    "Identity": Signature("x", types_of(T=FLOAT)),
    "AddV2": Signature("xx", types_of(T=FLOAT)),
    "Sub": Signature("xx", types_of(T=FLOAT)),
    "Maximum": Signature("xx", types_of(T=FLOAT)),
    "Split": Signature("xx", Attrs({"T": Attr("type", FLOAT), "num_split": Attr("i", 2)}), 2),
    "NoOp": Signature("", Attrs(), 0),
    "ReadVariableOp": Signature("v", types_of(dtype=FLOAT)),
    "ResourceGather": Signature("vx", _GATHER),
    "VariableShape": Signature("v", types_of(out_type=INT)),
    "LookupTableFindV2": Signature("txx", _LOOKUP),
    "LookupTableSizeV2": Signature("t", Attrs()),
    "AssignVariableOp": Signature("vx", types_of(dtype=FLOAT), 0),
    "AssignAddVariableOp": Signature("vx", types_of(dtype=FLOAT), 0),
    "ResourceScatterAdd": Signature("vxx", _GATHER, 0),
    "LookupTableInsertV2": Signature("txx", _LOOKUP, 0),
    "StatefulUniform": Signature("vxx", types_of(dtype=FLOAT, shape_dtype=FLOAT)),
    "RandomUniform": Signature("x", types_of(dtype=FLOAT, T=FLOAT)),
    "PrintV2": Signature("x", Attrs(), 0),
    "Timestamp": Signature("", Attrs()),
}
CALLS = ("StatefulPartitionedCall", "PartitionedCall", "If", "StatelessIf", "While", "StatelessWhile")
READS = ("ReadVariableOp", "ResourceGather", "VariableShape", "LookupTableFindV2", "LookupTableSizeV2")
WRITES = ("AssignVariableOp", "AssignAddVariableOp", "ResourceScatterAdd", "LookupTableInsertV2", "StatefulUniform")
AMBIENT = ("RandomUniform", "PrintV2", "Timestamp")
PURE = ("Neg", "Exp", "Identity", "AddV2", "Sub", "Maximum", "Split", "Const", "NoOp")
MEMORY = (
    *("ReadVariableOp",) * 3, "ResourceGather", "AssignVariableOp", "AssignAddVariableOp", "Neg", "LookupTableFindV2",
)  # fmt: skip
CHAINED = (*("ReadVariableOp",) * 6, "LookupTableSizeV2", "AssignVariableOp", "AssignVariableOp")
EVERYTHING = (*READS, *READS, "ReadVariableOp", *WRITES, *AMBIENT, *PURE, "Neg", "AddV2", *CALLS, *CALLS[::2])
ARGUMENTS = {"x": "x", "a": "v", "b": "v", "t": "t"}


@dataclass(frozen=True, kw_only=True)
class Shape(generation.Shape):
    """What graphs to make."""

    name: str
    nodes: int = 12
    aliased: bool = False
    """Whether two arguments may be one variable."""
    chance: float = 0.6
    """How often a node gets control inputs at random."""
    indirect: bool = False
    """Whether nodes that must wait for others may do so by way of any third."""
    ops: tuple[str, ...] = EVERYTHING


SHAPES = (
    Shape(name="ordered", ordered=True, nodes=16, stateful=12, chance=0.3),
    Shape(name="ordered", ordered=True, nodes=10, chance=0.3),
    Shape(name="handles", ordered=True, handles=True, chance=0.3),
    Shape(name="aliased", ordered=True, reads_order=False, aliased=True, nodes=10, stateful=5),
    Shape(name="fed", ordered=True, fed=True, chance=0.3),
    Shape(name="racing", nodes=10, stateful=5),
    Shape(name="memory", calls=False, kept=False, stateful=6, ops=MEMORY),
    Shape(
        name="chained",
        ordered=True,
        calls=False,
        kept=False,
        nodes=12,
        stateful=12,
        chance=0.5,
        indirect=True,
        ops=CHAINED,
    ),
    Shape(name="indirect", ordered=True, chance=0.4, indirect=True),
    Shape(name="any argument", reads_order=False, aliased=True, nodes=9, stateful=5),
)
