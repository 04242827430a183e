"""Op signatures as TensorFlow's registry states them, and the flat ports that follow from them."""

from __future__ import annotations

import pytest
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from tfreuse.bridge.opdefs import read_op_def, registered, with_functions
from tfreuse.errors import GraphError
from tfreuse.ir.attrs import Attr, Attrs, attr_int, attr_type
from tfreuse.ops.schema import OpSchema

FLOAT, INT32, REF = 1, 3, 100
USED = [
    "Conv2D",
    "ReadVariableOp",
    "Assign",
    "VariableV2",
    "Split",
    "ParseExampleV2",
    "While",
    "Switch",
    "AddN",
    "Const",
]


def test_an_op_that_nobody_registered() -> None:
    assert registered("SomebodysOp") is None


@pytest.mark.parametrize("op", USED)
def test_fields(op: str) -> None:
    proto, schema = op_def_registry.get(op), registered(op)
    assert schema is not None
    assert schema.name == op and schema.is_stateful == proto.is_stateful
    for args, protos in ((schema.inputs, proto.input_arg), (schema.outputs, proto.output_arg)):
        for arg, other in zip(args, protos, strict=True):
            for field in ("name", "type", "type_attr", "number_attr", "type_list_attr", "is_ref"):
                assert getattr(arg, field) == getattr(other, field)
    assert set(schema.defaults) == {attr.name for attr in proto.attr if attr.HasField("default_value")}


def test_defaults() -> None:
    schema = registered("Conv2D")
    assert schema is not None
    assert schema.defaults["dilations"] == Attr("list", ("i", (1, 1, 1, 1)))
    assert schema.defaults["data_format"] == Attr("s", b"NHWC")
    assert schema.defaults["use_cudnn_on_gpu"] == Attr("b", True)
    assert "strides" not in schema.defaults


@pytest.mark.parametrize(
    ("op", "attrs", "types"),
    [
        ("Sin", {"T": attr_type(FLOAT)}, (FLOAT,)),
        ("Split", {"T": attr_type(FLOAT), "num_split": attr_int(3)}, (FLOAT,) * 3),
        ("Split", {"T": attr_type(FLOAT), "num_split": attr_int(0)}, ()),
        ("TopKV2", {"T": attr_type(FLOAT)}, (FLOAT, INT32)),
        ("While", {"T": Attr("list", ("type", (INT32, FLOAT)))}, (INT32, FLOAT)),
        ("While", {"T": Attr("list", ("", ()))}, ()),
        ("VariableV2", {"dtype": attr_type(FLOAT)}, (FLOAT + REF,)),
        ("RefSwitch", {"T": attr_type(FLOAT)}, (FLOAT + REF,) * 2),
        ("RefSwitch", {"T": attr_type(FLOAT + REF)}, (FLOAT + REF,) * 2),
        ("NoOp", {}, ()),
    ],
)
def test_output_types(op: str, attrs: dict[str, Attr], types: tuple[int, ...]) -> None:
    schema = registered(op)
    assert schema is not None and schema.output_types(Attrs(attrs)) == types


def test_ranges() -> None:
    schema = registered("ParseExampleV2")
    assert schema is not None
    attrs = {
        "num_sparse": attr_int(2),
        "Tdense": Attr("list", ("type", (FLOAT,) * 3)),
        "sparse_types": Attr("list", ("type", (FLOAT, INT32))),
        "ragged_value_types": Attr("list", ("", ())),
        "ragged_split_types": Attr("list", ("", ())),
    }
    assert list(schema.output_ranges(Attrs(attrs)).items()) == [
        ("sparse_indices", (0, 2)),
        ("sparse_values", (2, 2)),
        ("sparse_shapes", (4, 2)),
        ("dense_values", (6, 3)),
        ("ragged_values", (9, 0)),
        ("ragged_row_splits", (9, 0)),
    ]
    assert schema.input_ranges(Attrs(attrs))["dense_defaults"] == (5, 3)


def test_ranges_agree_with_tensorflow() -> None:
    """For every node of a graph with ops of all kinds: as many outputs, of the same types."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [4, 4])
        tf.split(x, 2)
        tf.raw_ops.TopKV2(input=x, k=2)
        tf.linalg.svd(x)
        tf.while_loop(lambda i, s: i < 3, lambda i, s: (i + 1, s + x), [tf.constant(0), x])
        tf.compat.v1.get_variable("v", [2], use_resource=False).assign_add([1.0, 2.0])
        tf.io.parse_example(tf.constant([b""]), {"a": tf.io.VarLenFeature(tf.int64)})
        tf.unique_with_counts(tf.reshape(x, [-1]))
        tf.raw_ops.FusedBatchNormV3(
            x=x[None, None], scale=[1.0] * 4, offset=[1.0] * 4, mean=[0.0] * 4, variance=[1.0] * 4
        )
    from tfreuse.bridge.attrs import read_attrs

    for operation in graph.get_operations():
        schema = registered(operation.type)
        assert schema is not None
        types = schema.output_types(read_attrs(operation.node_def.attr))
        assert types == tuple(output.dtype.as_datatype_enum for output in operation.outputs), operation.name
        ranges = schema.output_ranges(read_attrs(operation.node_def.attr))
        assert sum(count for _, count in ranges.values()) == len(operation.outputs)


def test_missing_attribute() -> None:
    schema = registered("Split")
    assert schema is not None
    with pytest.raises(GraphError, match="'num_split' is missing"):
        schema.output_types(Attrs({"T": attr_type(FLOAT)}))


def test_all_registered_ops_can_be_read() -> None:
    names = [name for name in dir(tf.raw_ops) if op_def_registry.get(name) is not None]
    assert len(names) > 1000
    for name in names:
        schema = read_op_def(op_def_registry.get(name))
        assert schema == registered(name)
        assert hash(schema.outputs) is not None


def test_functions_stand_beside_the_registry() -> None:
    mine = OpSchema("Mine")
    find = with_functions({"Mine": mine, "Sin": mine})
    assert find("Mine") is mine
    assert find("Sin") == registered("Sin")  # the registry comes first, as in TensorFlow
    assert find("Nobodys") is None
