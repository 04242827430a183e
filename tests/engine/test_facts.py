"""The tables of op facts: how they read, what they refuse, how others add to them."""

from __future__ import annotations

import pytest

from tests.engine.build import run
from tfreuse.errors import GraphError, InputError
from tfreuse.ir.attrs import Attrs, attr_int, attr_type
from tfreuse.ir.dtypes import NUMBERS, name_of, number_of, size_of
from tfreuse.ops.facts import Access, Facts, builtin_facts, merge_facts, parse_commutative, parse_facts
from tfreuse.ops.families import op_filter
from tfreuse.ops.schema import Arg, OpSchema
from tfreuse.testing.schemas import snapshot_ops


@pytest.mark.parametrize(
    ("row", "facts"),
    [
        ("Op pure", Facts("Op", "pure")),
        ("Op  pure   raises # why", Facts("Op", "pure", (), frozenset({"raises"}))),
        ("Op reads:resource", Facts("Op", "effects", (Access("read", "resource"),))),
        ("Op writes:a writes:b", Facts("Op", "effects", (Access("write", "a"), Access("write", "b")))),
        ("Op writes:@rng", Facts("Op", "effects", (Access("write", "@rng"),))),
        ("Op allocates writes:h", Facts("Op", "allocates", (Access("write", "h"),))),
        ("Op unknown", Facts("Op", "unknown")),
    ],
)
def test_rows(row: str, facts: Facts) -> None:
    assert parse_facts(f"# a table\n\n{row}\n") == {"Op": facts}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Op", "cannot read the row 'Op'"),
        ("Op pur", "cannot read the row"),
        ("Op pure control", "cannot read the row"),
        ("Op raises", "cannot read the row"),
        ("Op sees:x", "cannot read the effect 'sees:x'"),
        ("Op reads:", "cannot read the effect"),
        ("Op pure\nOp pure", "Op has two rows"),
    ],
)
def test_rows_that_do_not_read(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_facts(text)


def test_commutative_rows() -> None:
    rows = parse_commutative("Mul float half # bits\nLogicalAnd\n# nothing\n")
    assert rows == {"Mul": frozenset({NUMBERS["float"], NUMBERS["half"]}), "LogicalAnd": frozenset()}
    with pytest.raises(InputError, match="unknown type"):
        parse_commutative("Mul flaot")


def test_others_add_rows_and_change_none() -> None:
    extra = Facts("MyCompanysOp", "pure")
    merged = merge_facts(builtin_facts(), [extra], "mine")
    assert merged["MyCompanysOp"] == extra
    assert "MyCompanysOp" not in builtin_facts()
    with pytest.raises(InputError, match=r"mine.*Exp has a row"):
        merge_facts(builtin_facts(), [Facts("Exp", "unknown")], "mine")


TEXT = """
x = _Arg()
a = MyCompanysOp(x) {T: float}
b = MyCompanysOp(x) {T: float}
y = Sub(a, b) {T: float}
argument x
output y = y
"""
SCHEMA = OpSchema("MyCompanysOp", (Arg("x", type_attr="T"),), (Arg("y", type_attr="T"),))


def test_an_op_without_a_row_is_kept_and_one_with_a_row_is_merged() -> None:
    assert "b" in run(TEXT).after.graphs[""].nodes
    assert "b" in run(TEXT, ops=snapshot_ops([SCHEMA])).after.graphs[""].nodes
    known = snapshot_ops([SCHEMA], [Facts("MyCompanysOp", "pure")])
    assert "b" not in run(TEXT, ops=known).after.graphs[""].nodes


def test_the_questions_about_an_op() -> None:
    ops = snapshot_ops()
    assert ops.facts("Exp").kind == "pure"
    assert ops.facts("MyCompanysOp").kind == "unknown"
    assert ops.schema("MyCompanysOp") is None
    assert ops.defaults("MyCompanysOp") == {}
    assert ops.output_types("MyCompanysOp", Attrs()) == ()
    assert ops.commutes("AddV2", Attrs({"T": attr_type(NUMBERS["float"])}))
    assert not ops.commutes("Add", Attrs({"T": attr_type(NUMBERS["string"])}))
    assert not ops.commutes("AddV2", Attrs())
    assert ops.commutes("LogicalAnd", Attrs())
    assert not ops.commutes("Sub", Attrs({"T": attr_type(NUMBERS["float"])}))
    assert ops.gives_ref("VariableV2")
    assert not ops.gives_ref("VarHandleOp")


def test_types_of_outputs() -> None:
    ops = snapshot_ops()
    floats = attr_type(NUMBERS["float"])
    assert ops.output_types("Split", Attrs({"T": floats, "num_split": attr_int(3)})) == (1, 1, 1)
    assert ops.output_types("AssignVariableOp", Attrs()) == ()
    assert ops.output_types("VariableV2", Attrs({"dtype": floats})) == (101,)
    with pytest.raises(GraphError, match="'T' is missing"):
        ops.output_types("Exp", Attrs())
    schema = ops.schema("Split")
    assert schema is not None
    assert schema.input_ranges(Attrs({"T": floats, "num_split": attr_int(3)})) == {"split_dim": (0, 1), "value": (1, 1)}
    assert schema.output_ranges(Attrs({"T": floats, "num_split": attr_int(3)})) == {"output": (0, 3)}


def test_names_and_sizes_of_types() -> None:
    assert name_of(1) == "float"
    assert name_of(101) == "float_ref"
    assert number_of("float_ref") == 101
    assert all(number_of(name_of(number)) == number for number in NUMBERS.values())
    assert (size_of(NUMBERS["half"]), size_of(NUMBERS["complex128"]), size_of(NUMBERS["string"])) == (2, 16, None)


def test_families() -> None:
    assert op_filter(("conv",))("Conv2D")
    assert op_filter(("conv",))("BiasAdd")
    assert not op_filter(("conv",))("MatMul")
    assert op_filter(("conv", "MatMul"))("MatMul")
    assert not op_filter(("MatMul",))("Conv2D")
