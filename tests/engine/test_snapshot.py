"""The snapshot of op signatures against the installed TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tfreuse.ir.attrs import Attrs
from tfreuse.ir.text import print_attrs
from tfreuse.ops.schema import Arg, OpSchema
from tfreuse.testing.schemas import read_snapshot, snapshot, write_snapshot

SNAPSHOT_VERSION = (2, 21)


def test_the_snapshot_is_written_as_it_reads() -> None:
    assert read_snapshot(write_snapshot(snapshot().values())) == snapshot()


def test_an_op_comes_back_whole() -> None:
    schema = snapshot()["Conv2D"]
    assert [arg.name for arg in schema.inputs] == ["input", "filter"]
    assert schema.defaults["dilations"].value == ("i", (1, 1, 1, 1))
    assert snapshot()["ReadVariableOp"].is_stateful
    assert snapshot()["Assign"].inputs[0].is_ref


@pytest.mark.tensorflow
def test_the_snapshot_agrees_with_the_registry() -> None:
    """Ops that this TensorFlow does not have are passed over, and so are attributes that only one of the two has."""
    tf = pytest.importorskip("tensorflow", reason="the registry is TensorFlow's")
    from tfreuse.bridge.opdefs import registered

    same_version = tuple(int(part) for part in tf.__version__.split(".")[:2]) == SNAPSHOT_VERSION
    compared = 0
    for name, schema in snapshot().items():
        found = registered(name)
        if found is None:
            assert not same_version, f"{name} is not registered; run python -m tools.snapshot_ops"
            continue
        compared += 1
        assert comparable(found, schema) == comparable(schema, found), name
        if same_version:
            assert found == schema, f"{name} has changed; run python -m tools.snapshot_ops"
    assert compared > 100


@pytest.mark.tensorflow
def test_the_snapshot_holds_the_ops_that_the_tests_use() -> None:
    pytest.importorskip("tensorflow", reason="the registry is TensorFlow's")
    from tools.snapshot_ops import schemas

    assert {schema.name for schema in schemas()} == snapshot().keys(), "run python -m tools.snapshot_ops"


def comparable(schema: OpSchema, reference: OpSchema) -> tuple[object, ...]:
    """Operands, results, and the defaults that `reference` has too."""
    defaults = Attrs({name: attr for name, attr in schema.defaults.items() if name in reference.defaults})
    ends = [described(*pair) for pair in ((schema.inputs, reference.inputs), (schema.outputs, reference.outputs))]
    return *ends, print_attrs(defaults), schema.is_stateful


def described(args: Sequence[Arg], reference: Sequence[Arg]) -> list[object]:
    """Each operand; the type of one that takes several types in one of the two versions only is passed over."""
    if len(args) != len(reference):
        return [arg.name for arg in args]
    pairs = zip(args, reference, strict=True)
    return [arg if arg.type_attr == other.type_attr else replace(arg, type=0, type_attr="") for arg, other in pairs]
