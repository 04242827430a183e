"""Attributes and constants are equal by kind and bits, never by value."""

from __future__ import annotations

import itertools

import pytest

from tfreuse.ir.attrs import NO_ATTRS, Attr, Attrs, Func, Tensor, attr_float, attr_int, attr_type
from tfreuse.testing.golden import constant_hashes

LOOK_ALIKES = [
    attr_int(1),
    attr_float(1.0),
    Attr("b", True),
    attr_type(1),
    Attr("s", b"1"),
    Attr("list", ("i", (1,))),
    Attr("list", ("b", (True,))),
    Attr("list", ("type", (1,))),
    Attr("shape", (1,)),
    Attr("shape", None),
    Attr("shape", ()),
    Attr("placeholder", "1"),
    Attr("func", Func("1", NO_ATTRS)),
    attr_int(0),
    Attr("b", False),
    attr_float(0.0),
    attr_float(-0.0),
]


@pytest.mark.parametrize(("one", "other"), [*itertools.combinations(LOOK_ALIKES, 2)])
def test_look_alikes_differ(one: Attr, other: Attr) -> None:
    assert Attrs({"a": one}) != Attrs({"a": other})
    with constant_hashes():
        assert Attrs({"a": one}) != Attrs({"a": other})
        assert len({Attrs({"a": one}), Attrs({"a": other}), Attrs({"a": one})}) == 2


def test_nan_is_equal_by_its_bits() -> None:
    nan, payload = Attr("f", bytes.fromhex("0000c07f")), Attr("f", bytes.fromhex("0100c07f"))
    assert Attrs({"a": nan}) == Attrs({"a": Attr("f", bytes.fromhex("0000c07f"))})
    assert Attrs({"a": nan}) != Attrs({"a": payload})


def test_the_order_of_names_means_nothing() -> None:
    one, other = Attrs({"a": attr_int(1), "b": attr_int(2)}), Attrs({"b": attr_int(2), "a": attr_int(1)})
    assert one == other
    assert hash(one) == hash(other)
    assert list(one) == list(other) == ["a", "b"]


def test_attributes_are_a_mapping() -> None:
    attrs = Attrs({"T": attr_type(1), "n": attr_int(2)})
    assert len(attrs) == 2
    assert "T" in attrs
    assert attrs.value("n") == 2
    assert attrs.value("absent", 7) == 7
    assert attrs["T"] == attr_type(1)
    assert attrs != {"T": attr_type(1)}
    assert Attrs() == NO_ATTRS


def test_updated_adds_replaces_and_removes() -> None:
    attrs = Attrs({"a": attr_int(1), "b": attr_int(2)})
    assert attrs.updated({"a": attr_int(3), "b": None, "c": attr_int(4)}) == Attrs({"a": attr_int(3), "c": attr_int(4)})
    assert attrs == Attrs({"a": attr_int(1), "b": attr_int(2)})


def test_functions_are_found_in_lists_too() -> None:
    f, g, h = (Func(name, NO_ATTRS) for name in "fgh")
    attrs = Attrs({"body": Attr("func", f), "branches": Attr("list", ("func", (g, h))), "n": attr_int(1)})
    assert sorted(func.name for func in attrs.functions) == ["f", "g", "h"]


@pytest.mark.parametrize(
    "other",
    [
        Tensor(1, (2,), b"\0\0\x80\x3f"),
        Tensor(1, (1, 1), b"\0\0\x80\x3f"),
        Tensor(3, (1,), b"\0\0\x80\x3f"),
        Tensor(1, (1,), b"\0\0\x80\xbf"),
        Tensor(7, (1,), (b"\0\0\x80\x3f",)),
    ],
)
def test_constants_differ_by_type_shape_and_bits(other: Tensor) -> None:
    one = Tensor(1, (1,), b"\0\0\x80\x3f")
    assert one == Tensor(1, (1,), b"\0\0\x80\x3f")
    assert hash(one) == hash(Tensor(1, (1,), b"\0\0\x80\x3f"))
    assert one != other
    assert one != "something else"
