"""`TensorProto` to the canonical bits of `ir.attrs.Tensor`, without materialising what the proto abbreviates."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfreuse.errors import GraphError
from tfreuse.ir import dtypes
from tfreuse.ir.attrs import Tensor

_STRING = dtypes.NUMBERS["string"]
_FIELDS: dict[str, tuple[str, str]] = {
    "float": ("float_val", "<f4"),
    "double": ("double_val", "<f8"),
    "int32": ("int_val", "<i4"),
    "int16": ("int_val", "<i2"),
    "int8": ("int_val", "<i1"),
    "uint8": ("int_val", "<u1"),
    "uint16": ("int_val", "<u2"),
    "qint8": ("int_val", "<i1"),
    "quint8": ("int_val", "<u1"),
    "qint16": ("int_val", "<i2"),
    "quint16": ("int_val", "<u2"),
    "qint32": ("int_val", "<i4"),
    "int64": ("int64_val", "<i8"),
    "uint32": ("uint32_val", "<u4"),
    "uint64": ("uint64_val", "<u8"),
    "bool": ("bool_val", "?"),
    "half": ("half_val", "<u2"),
    "bfloat16": ("half_val", "<u2"),
    "complex64": ("scomplex_val", "<f4"),
    "complex128": ("dcomplex_val", "<f8"),
}


def read_tensor(proto: Any) -> Tensor | None:
    """The value of a `TensorProto`, equal for equal bits however they are spelled; None where that cannot be told.

    Values may be given as raw content, or as a list of which the last element repeats (tensor.proto).

    Raises:
        GraphError: if the elements do not fit the shape.
    """
    if proto.tensor_shape.unknown_rank:
        return None
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    count = 1
    for size in shape:
        if size < 0:
            return None
        count *= size
    if proto.dtype == _STRING:
        return _read_strings(list(proto.string_val), count, shape)
    width = dtypes.size_of(proto.dtype)
    name = dtypes.NAMES.get(proto.dtype, "")
    if width is None:
        return None
    if proto.tensor_content:
        content = proto.tensor_content
        if len(content) != count * width:
            raise GraphError(f"a tensor of shape {list(shape)} holds {len(content)} bytes, not {count * width}")
    elif name in _FIELDS:
        field, code = _FIELDS[name]
        content = _list_bytes(getattr(proto, field), code)
        if len(content) % width:
            raise GraphError("a complex tensor lists half a number")
        if len(content) > count * width:
            raise GraphError(f"a tensor of shape {list(shape)} lists more than {count} elements")
        if not content and count:
            content = bytes(width)
    else:
        return None
    return Tensor(proto.dtype, shape, _trimmed(content, width))


def write_tensor(tensor: Tensor, proto: Any) -> None:
    """Fill the empty `TensorProto` `proto`; for constants that a rewrite made, so not for strings.

    Raises:
        ValueError: for strings, or a type whose elements have no fixed size.
    """
    width = dtypes.size_of(tensor.dtype)
    if width is None or not isinstance(tensor.elements, bytes):
        raise ValueError(f"a constant of type {dtypes.name_of(tensor.dtype)} cannot be written")
    proto.dtype = tensor.dtype
    proto.tensor_shape.SetInParent()
    for size in tensor.shape:
        proto.tensor_shape.dim.add().size = size
    missing = math.prod(tensor.shape) - len(tensor.elements) // width
    proto.tensor_content = tensor.elements + tensor.elements[-width:] * missing


def _read_strings(values: list[bytes], count: int, shape: tuple[int, ...]) -> Tensor:
    if len(values) > count:
        raise GraphError(f"a tensor of shape {list(shape)} lists more than {count} elements")
    if not values and count:
        values = [b""]
    while len(values) > 1 and values[-1] == values[-2]:
        values.pop()
    return Tensor(_STRING, shape, tuple(values))


def _list_bytes(values: Any, code: str) -> bytes:
    if code in ("<f4", "<f8", "?", "<i8", "<u8"):
        return np.array(values, dtype=code).tobytes()
    # Narrow types stand in an int32 field, sign-extended or not; the low bits are the element.
    return np.array(values, dtype="<i8").astype(code).tobytes()


def _trimmed(content: bytes, width: int) -> bytes:
    """`content` without the elements at the end that repeat the one before them."""
    if len(content) <= width or content[-width:] != content[-2 * width : -width]:
        return content
    if len(content) <= 16 * width:
        while len(content) > width and content[-width:] == content[-2 * width : -width]:
            content = content[:-width]
        return content
    rows = np.frombuffer(content, dtype=np.uint8).reshape(-1, width)
    differs = np.flatnonzero((rows != rows[-1]).any(axis=1))
    keep = 1 if differs.size == 0 else int(differs[-1]) + 2
    return content[: keep * width]
