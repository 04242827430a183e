"""Attribute values that a corpus may not hold: every kind, empty and nested, and what must not compare equal."""

from __future__ import annotations

import itertools
import struct

import pytest
from google.protobuf import text_format
from tensorflow.core.framework import attr_value_pb2

from tfreuse.bridge.attrs import read_attr, read_attrs, write_attr

TEXTS = [
    "",
    's: ""',
    's: "a"',
    's: "\\377\\376"',
    "i: 0",
    "i: 1",
    "i: -1",
    "i: 9223372036854775807",
    "f: 0",
    "f: -0.0",
    "f: 1",
    "f: 1e-45",
    "f: inf",
    "f: -inf",
    "b: false",
    "b: true",
    "type: DT_INVALID",
    "type: DT_FLOAT",
    "type: DT_FLOAT_REF",
    "shape {}",
    "shape { unknown_rank: true }",
    "shape { dim { size: -1 } }",
    "shape { dim { size: 1 } dim { size: 0 } }",
    'func { name: "f" }',
    'func { name: "g" }',
    'func { name: "f" attr { key: "T" value { type: DT_INT32 } } }',
    'func { name: "f" attr { key: "g" value { func { name: "g" } } } }',
    'placeholder: "T"',
    "list {}",
    'list { s: "" }',
    'list { s: "a" s: "b" }',
    "list { i: 1 }",
    "list { i: 1 i: 1 }",
    "list { f: 1 }",
    "list { f: 0 f: -0.0 }",
    "list { b: true }",
    "list { type: DT_INT32 }",
    "list { shape {} }",
    "list { shape { unknown_rank: true } shape { dim { size: 2 } } }",
    'list { func { name: "f" } func { name: "g" attr { key: "i" value { i: 1 } } } }',
]


def parse(text: str) -> attr_value_pb2.AttrValue:
    """An `AttrValue` in text form."""
    return text_format.Parse(text, attr_value_pb2.AttrValue())


@pytest.mark.parametrize("text", TEXTS)
def test_round_trip(text: str) -> None:
    written = attr_value_pb2.AttrValue()
    write_attr(read_attr(parse(text)), written)
    assert written == parse(text)
    assert written.WhichOneof("value") == parse(text).WhichOneof("value")


def test_all_differ() -> None:
    read = {text: read_attr(parse(text)) for text in TEXTS}
    for one, other in itertools.combinations(TEXTS, 2):
        assert read[one] != read[other], (one, other)
    assert len(set(read.values())) == len(TEXTS)


def test_a_nan_equals_itself() -> None:
    proto = attr_value_pb2.AttrValue(f=float("nan"))
    assert read_attr(proto) == read_attr(parse("f: nan"))
    written = attr_value_pb2.AttrValue()
    write_attr(read_attr(proto), written)
    assert struct.pack("<f", written.f) == struct.pack("<f", proto.f)


def test_a_tensor_is_written_such_that_it_reads_the_same() -> None:
    for text in ("tensor_shape {} float_val: 1", "tensor_shape { dim { size: 5 } } float_val: [1, 2]"):
        read = read_attr(parse(f"tensor {{ dtype: DT_FLOAT {text} }}"))
        written = attr_value_pb2.AttrValue()
        write_attr(read, written)
        assert read_attr(written) == read


def test_tensors_in_lists_are_compared() -> None:
    texts = ["float_val: 1", "float_val: 2", 'tensor_content: "\\000\\000\\200?"']
    read = [read_attr(parse(f"list {{ tensor {{ dtype: DT_FLOAT tensor_shape {{}} {text} }} }}")) for text in texts]
    assert read[0] == read[2] != read[1]


def test_sets_do_not_depend_on_their_order() -> None:
    protos = [{"a": parse("i: 1"), "b": parse("b: true")}, {"b": parse("b: true"), "a": parse("i: 1")}]
    read = [read_attrs(proto) for proto in protos]
    assert read[0] == read[1] and hash(read[0]) == hash(read[1]) and list(read[0]) == ["a", "b"]
