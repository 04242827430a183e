"""`TensorProto` to the canonical bits of `ir.attrs.Tensor`, without materialising what the proto abbreviates."""

from __future__ import annotations

import struct
from math import prod
from typing import Any

import numpy as np

from tfreuse.errors import GraphError
from tfreuse.ir import dtypes
from tfreuse.ir.attrs import Tensor

_STRING = dtypes.NUMBERS["string"]
_PACKED = {"<f4": "<f", "<f8": "<d", "?": "<?", "<i8": "<q", "<u8": "<Q"}
"""Element types whose field holds the element itself, as `struct` writes them."""
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
_CONTENT = 0x22
_PLAIN = {dtypes.NUMBERS["float"]: 0x2A, dtypes.NUMBERS["double"]: 0x32}
"""Wire tags of `tensor_content`, and of the lists that hold their elements one after the other, by type."""


def read_tensor(proto: Any) -> Tensor | None:
    """The value of a `TensorProto`, equal for equal bits however they are spelled; None where that cannot be told.

    Values may be given as raw content, or as a list of which the last element repeats (tensor.proto).

    Raises:
        GraphError: if the elements do not fit the shape.
    """
    declared, dtype = proto.tensor_shape, proto.dtype
    if declared.unknown_rank:
        return None
    shape = tuple([dim.size for dim in declared.dim])
    count = 1
    for size in shape:
        if size < 0:
            return None
        count *= size
    if dtype == _STRING:
        return _read_strings(list(proto.string_val), count, shape)
    width = dtypes.size_of(dtype)
    name = dtypes.NAMES.get(dtype, "")
    if width is None:
        return None
    content: bytes = proto.tensor_content
    if content:
        if len(content) != count * width:
            raise GraphError(f"a tensor of shape {list(shape)} holds {len(content)} bytes, not {count * width}")
    elif name in _FIELDS:
        content = _list_bytes(proto, *_FIELDS[name])
        if len(content) % width:
            raise GraphError("a complex tensor lists half a number")
        if len(content) > count * width:
            raise GraphError(f"a tensor of shape {list(shape)} lists more than {count} elements")
        if not content and count:
            content = bytes(width)
    else:
        return None
    return Tensor(dtype, shape, _trimmed(content, width))


def read_elements(wire: bytes, like: Tensor) -> Tensor | None:
    """A tensor of the type and shape of `like` with the elements that `wire` holds: one field of a `TensorProto` in its
    wire form, in which the elements stand as in memory; None for anything else."""
    width = dtypes.size_of(like.dtype)
    if len(wire) < 2 or width is None or wire[1] != len(wire) - 2 or wire[1] >= 128:
        return None
    content, size = wire[2:], prod(like.shape) * width
    is_whole = wire[0] == _CONTENT and len(content) == size
    is_list = wire[0] == _PLAIN.get(like.dtype) and len(content) % width == 0 and len(content) <= size
    return Tensor(like.dtype, like.shape, _trimmed(content, width)) if content and (is_whole or is_list) else None


def write_tensor(value: Tensor | bytes, proto: Any) -> None:
    """Fill the empty `TensorProto` `proto`; bytes are the wire form of one that `read_tensor` could not tell.

    A value whose last element repeats is listed up to there, as it may be in the protocol buffer.
    """
    if isinstance(value, bytes):
        proto.ParseFromString(value)
        return
    proto.dtype = value.dtype
    proto.tensor_shape.SetInParent()
    for size in value.shape:
        proto.tensor_shape.dim.add().size = size
    if isinstance(value.elements, tuple):
        proto.string_val.extend(value.elements)
        return
    stored, width, name = value.elements, dtypes.size_of(value.dtype) or 1, dtypes.NAMES.get(value.dtype, "")
    missing = prod(value.shape) - len(stored) // width
    if missing and name in _FIELDS:
        field, code = _FIELDS[name]
        getattr(proto, field).extend(np.frombuffer(stored, dtype=code).tolist())
        if read_tensor(proto) == value:
            return
        proto.ClearField(field)  # a NaN that signals does not survive as a number
    proto.tensor_content = stored + stored[-width:] * missing


def _read_strings(values: list[bytes], count: int, shape: tuple[int, ...]) -> Tensor:
    if len(values) > count:
        raise GraphError(f"a tensor of shape {list(shape)} lists more than {count} elements")
    if not values and count:
        values = [b""]
    while len(values) > 1 and values[-1] == values[-2]:
        values.pop()
    return Tensor(_STRING, shape, tuple(values))


def _list_bytes(proto: Any, field: str, code: str) -> bytes:
    values = getattr(proto, field)
    if code in _PACKED:
        if len(values) == 1 and (value := values[0]) == value:
            # numpy takes its time for one number, and most lists hold one; but Python's floats make every NaN quiet.
            return struct.pack(_PACKED[code], value)
        elements = np.array(values, dtype=code)
        is_exact = code != "<f4" or not np.isnan(elements).any()
        return elements.tobytes() if is_exact else _wire_bytes(proto, field)
    # Narrow types stand in an int32 field, sign-extended or not; the low bits are the element.
    return np.array(values, dtype="<i8").astype(code).tobytes()


def _wire_bytes(proto: Any, field: str) -> bytes:
    """The elements of `float_val` or `scomplex_val` as they are sent: Python's floats may make a NaN quiet."""
    alone = type(proto)()
    alone.CopyFrom(proto)
    alone.DiscardUnknownFields()
    for other, _ in alone.ListFields():
        if other.name != field:
            alone.ClearField(other.name)
    sent: bytes = alone.SerializeToString()
    return sent[-4 * len(getattr(proto, field)) :]  # a packed list ends with its elements


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
