"""Sets of attributes read from their bytes are those that the protocol-buffer library gives, in any sequence."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import node_def_pb2

from tests.bridge.test_attrs import TEXTS
from tfreuse.bridge.attrs import read_attrs
from tfreuse.bridge.nodes import NodeReader
from tfreuse.errors import GraphError
from tfreuse.ir.attrs import Attrs
from tfreuse.ir.graph import Value

LONG = "x" * 130
TENSORS = [
    "",
    "float_val: 1",
    "float_val: nan",
    "float_val: -0.0",
    "tensor_shape { dim { size: 2 } } float_val: 1",
    "tensor_shape { dim { size: 2 } } float_val: 1 float_val: 1",
    "tensor_shape { dim { size: 2 } } float_val: 1 float_val: 2",
    'tensor_shape { dim { size: 2 } } tensor_content: "\\000\\000\\200\\077\\000\\000\\200\\077"',
    "tensor_shape { dim { size: 40 } } " + "float_val: 1 float_val: 2 " * 20,
    "tensor_shape { dim { size: -1 } } float_val: 1",
    "tensor_shape { unknown_rank: true } float_val: 1",
    "version_number: 3 float_val: 1",
]
OTHERS = [
    "dtype: DT_DOUBLE double_val: 1",
    "dtype: DT_DOUBLE double_val: 2",
    "dtype: DT_DOUBLE",
    "dtype: DT_INT32 int_val: 1",
    "dtype: DT_INT32 int_val: -1",
    "dtype: DT_HALF half_val: 15360",
    "dtype: DT_COMPLEX64 scomplex_val: 1 scomplex_val: 2",
    'dtype: DT_STRING string_val: "a"',
    'dtype: DT_STRING string_val: "*"',
]
VALUES = [
    *TEXTS,
    f's: "{LONG}"',
    *(f"tensor {{ dtype: DT_FLOAT {text} }}" for text in TENSORS),
    *(f"tensor {{ {text} }}" for text in OTHERS),
]
NAMES = ["T", "value", "shared_name", "_class", "_gradient_op_type", LONG]


def node(number: int, op: str, device: str, attrs: dict[str, str]) -> Any:
    """A `NodeDef` whose attributes are given in text form."""
    proto = node_def_pb2.NodeDef(name=f"n{number}", op=op, device=device)
    for name, text in attrs.items():
        text_format.Parse(text, proto.attr[name])
    return proto


def read(protos: list[Any]) -> list[Attrs]:
    """Their attributes, read by one reader."""
    nodes = NodeReader().read(protos, lambda text: (Value(text),))
    return [found.attrs for found in nodes.values()]


def assert_as_the_library(protos: list[Any]) -> None:
    for proto, attrs in zip(protos, read(protos), strict=True):
        plain = read_attrs(proto.attr)
        assert attrs == plain
        assert hash(attrs) == hash(plain)
        assert list(attrs) == list(plain)
        assert (attrs.functions, attrs.is_plain, attrs.is_colocated) == (
            plain.functions,
            plain.is_plain,
            plain.is_colocated,
        )


@pytest.mark.parametrize("name", NAMES)
def test_one_attribute_after_another(name: str) -> None:
    """Each value twice, beside an attribute in front of it and one behind it by name: the second set is a template."""
    sets = [{"A": "i: 1", name: text, "z": "b: true"} for text in VALUES for _ in range(2)]
    assert_as_the_library([node(number, "Op", "", attrs) for number, attrs in enumerate(sets)])


@pytest.mark.parametrize(("first", "second"), [("aab", "bcc"), ("bcc", "aab"), ("abc", "aab"), ("aab", "abc")])
def test_a_template_has_to_fit_on_both_sides(first: str, second: str) -> None:
    """The last of three sets differs from a template in both attributes, and in no length."""
    sets = [{"T": f's: "{one}"', "value": f's: "{other}"'} for one, other in zip(first, second, strict=True)]
    assert_as_the_library([node(number, "Op", "", attrs) for number, attrs in enumerate(sets)])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Const", "Op", LONG]),
            st.sampled_from(["", "/cpu:0"]),
            st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES)),
        ),
        max_size=12,
    )
)
def test_any_sequence(nodes: list[tuple[str, str, dict[str, str]]]) -> None:
    assert_as_the_library([node(number, *parts) for number, parts in enumerate(nodes)])


@pytest.mark.parametrize("bad", ["float_val: 1 float_val: 2", 'tensor_content: "abc"', 'tensor_content: "abcdefgh"'])
def test_what_does_not_fit_the_shape_is_refused_behind_a_template_too(bad: str) -> None:
    good = [{"value": f"tensor {{ dtype: DT_FLOAT tensor_shape {{}} float_val: {number} }}"} for number in (1, 2)]
    wrong = {"value": f"tensor {{ dtype: DT_FLOAT tensor_shape {{}} {bad} }}"}
    protos = [node(number, "Const", "", attrs) for number, attrs in enumerate([*good, wrong])]
    with pytest.raises(GraphError, match="tensor of shape"):
        read(protos)


def test_bits_of_a_number_that_is_none_stay_apart() -> None:
    """A NaN that signals and one that does not, as lists of one number and as content."""
    bits = [b"\x01\x00\xa0\x7f", b"\x01\x00\xe0\x7f"]
    protos = []
    for number, four in enumerate([b"\0\0\x80?", *bits, *bits]):
        proto = node(number, "Const", "", {"value": "tensor { dtype: DT_FLOAT tensor_shape { } }"})
        if number < 3:  # float_val, packed
            proto.attr["value"].tensor.MergeFromString(b"\x2a\x04" + four)
        else:
            proto.attr["value"].tensor.tensor_content = four
        protos.append(proto)
    elements = [attrs["value"].value.elements for attrs in read(protos)]
    assert elements[3:] == bits
    assert elements[1:3] == bits
