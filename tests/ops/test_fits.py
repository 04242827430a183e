"""What surely fits runs; what may not fit, by the shapes that are known, is said to be so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.graph import Node, Value
from tfreuse.ops.fits import fails_by_shape, surely_fits

VALID, SAME = Attr("s", b"VALID"), Attr("s", b"SAME")
TURNED = {"transpose_a": Attr("b", True)}

FITS = [
    ("Relu", [None], {}),
    ("AddV2", [(2, -1), (1,)], {}),
    ("Mul", [None, ()], {}),
    ("MatMul", [(-1, 4), (4, -1)], {}),
    ("MatMul", [(4, -1), (4, -1)], TURNED),
    ("BatchMatMulV2", [(1, -1, 4), (3, 4, 2)], {}),
    ("Conv2D", [(-1, -1, -1, 3), (3, 3, 3, 2)], {"padding": SAME}),
    ("Conv2D", [(-1, -1, -1, 4), (1, 1, 2, 2)], {"padding": VALID}),
    ("Conv2D", [(-1, 5, 5, 3), (3, 3, 3, 2)], {"padding": VALID}),
    ("BiasAdd", [(-1, -1, 3), (3,)], {}),
    ("MaxPool", [(-1, 4, 4, 1)], {"padding": VALID}),
]
MAY_NOT_FIT = [
    ("AddV2", [(2, -1), (2, 3)], {}, [(2, 2), (2, 3)]),
    ("Mul", [None, (2,)], {}, [(3,), (2,)]),
    ("MatMul", [(2, -1), (4, 2)], {}, [(2, 3), (4, 2)]),
    ("MatMul", [None, (4, 2)], {}, [(2, 3), (4, 2)]),
    ("MatMul", [(4, -1), (-1, 4)], TURNED, [(4, 2), (5, 4)]),
    ("BatchMatMulV2", [(-1, 2, 4), (3, 4, 2)], {}, [(2, 2, 4), (3, 4, 2)]),
    ("Conv2D", [(1, 5, 5, -1), (3, 3, 3, 2)], {"padding": SAME}, [(1, 5, 5, 4), (3, 3, 3, 2)]),
    ("Conv2D", [(1, -1, 5, 3), (3, 3, 3, 2)], {"padding": VALID}, [(1, 1, 5, 3), (3, 3, 3, 2)]),
    ("BiasAdd", [(2, -1), (3,)], {}, [(2, 2), (3,)]),
]


def says(op: str, shapes: list[Any], attrs: dict[str, Attr]) -> bool:
    names = [Value(f"v{number}") for number in range(len(shapes))]
    return surely_fits(Node("n", op, tuple(names), attrs=Attrs(attrs)), dict(zip(names, shapes, strict=True)).get)


def runs(op: str, shapes: list[Any], attrs: dict[str, Attr]) -> None:
    more: dict[str, Any] = {key: attr.value for key, attr in attrs.items()}
    if op in ("Conv2D", "MaxPool"):
        more["strides"] = [1, 1, 1, 1]
    if op == "MaxPool":
        more["ksize"] = [1, 2, 2, 1]
    names = {
        "Relu": ["features"],
        "MatMul": "ab",
        "Conv2D": ["input", "filter"],
        "BiasAdd": ["value", "bias"],
        "MaxPool": ["input"],
    }
    operands = {name: np.ones(shape, np.float32) for name, shape in zip(names.get(op, ["x", "y"]), shapes, strict=True)}
    getattr(tf.raw_ops, op)(**operands, **more)


@pytest.mark.parametrize(("op", "shapes", "attrs"), FITS)
@pytest.mark.parametrize("size", [0, 1, 7])
def test_what_fits_runs(op: str, shapes: list[Any], attrs: dict[str, Attr], size: int) -> None:
    assert says(op, shapes, attrs)
    runs(op, [tuple(size if count < 0 else count for count in shape or ()) for shape in shapes], attrs)


@pytest.mark.parametrize(("op", "shapes", "attrs", "actual"), MAY_NOT_FIT)
def test_what_may_not_fit_fails(op: str, shapes: list[Any], attrs: dict[str, Attr], actual: list[Any]) -> None:
    assert not says(op, shapes, attrs)
    with pytest.raises(tf.errors.InvalidArgumentError):
        runs(op, actual, attrs)


def test_what_fails_by_its_shape() -> None:
    """`Slice` does, where begin and size are constants; a check of values does not, nor what takes its numbers from
    elsewhere."""
    nodes = {"x": Node("x", "_Arg"), "two": Node("two", "Const"), "one": Node("one", "Const")}
    known, moved = Value("two"), Value("x")
    assert fails_by_shape(Node("s", "Slice", (Value("x"), known, Value("one"))), nodes)
    assert not fails_by_shape(Node("s", "Slice", (Value("x"), moved, Value("one"))), nodes)
    assert not fails_by_shape(Node("c", "CheckNumerics", (Value("x"),)), nodes)
