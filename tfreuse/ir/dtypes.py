"""The names and numbers of TensorFlow's `DataType` enum (types.proto), for texts and sizes without TensorFlow."""

from __future__ import annotations

NAMES: dict[int, str] = {
    1: "float",
    2: "double",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    8: "complex64",
    9: "int64",
    10: "bool",
    11: "qint8",
    12: "quint8",
    13: "qint32",
    14: "bfloat16",
    15: "qint16",
    16: "quint16",
    17: "uint16",
    18: "complex128",
    19: "half",
    20: "resource",
    21: "variant",
    22: "uint32",
    23: "uint64",
    24: "float8_e5m2",
    25: "float8_e4m3fn",
    29: "int4",
    30: "uint4",
}
NUMBERS: dict[str, int] = {name: number for number, name in NAMES.items()}

_SIZES: dict[int, int] = {
    **dict.fromkeys((4, 6, 10, 11, 12, 24, 25, 29, 30), 1),
    **dict.fromkeys((5, 14, 15, 16, 17, 19), 2),
    **dict.fromkeys((1, 3, 13, 22), 4),
    **dict.fromkeys((2, 8, 9, 23), 8),
    18: 16,
}


def name_of(dtype: int) -> str:
    """`float` for 1, `float_ref` for 101, `type26` for a number that has no name."""
    if 100 < dtype <= 200:
        return name_of(dtype - 100) + "_ref"
    return NAMES.get(dtype, f"type{dtype}")


def number_of(name: str) -> int:
    """The inverse of `name_of`.

    Raises:
        KeyError: if the name is not a type.
    """
    if name.endswith("_ref"):
        return number_of(name[: -len("_ref")]) + 100
    number = name.removeprefix("type")
    return int(number) if number.isdigit() else NUMBERS[name]


def size_of(dtype: int) -> int | None:
    """Bytes of one element, or None where elements have no fixed size (strings, handles)."""
    return _SIZES.get(dtype)


DIFFERENTIABLE = frozenset(NUMBERS[name] for name in ("half", "bfloat16", "float", "double", "complex64", "complex128"))
"""Types of values that have gradients."""
