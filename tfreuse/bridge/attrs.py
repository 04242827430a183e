"""`AttrValue` to `ir.attrs.Attr` and back."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from tfreuse.bridge.tensors import read_tensor, write_tensor
from tfreuse.ir.attrs import Attr, Attrs, Func

_LIST_FIELDS = ("s", "i", "f", "b", "type", "shape", "tensor", "func")


def read_attrs(items: Mapping[str, Any], known: dict[bytes, Attr] | None = None) -> Attrs:
    """A proto map of `AttrValue`s as `Attrs`; `known` has the attributes read before, by their wire form."""
    if known is None:
        return Attrs({name: read_attr(value) for name, value in items.items()})
    found: dict[str, Attr] = {}
    for name in items:
        value = items[name]
        wire = value.SerializeToString(deterministic=True)
        attr = known.get(wire)
        if attr is None:
            attr = known[wire] = read_attr(value)
        found[name] = attr
    return Attrs(found)


def read_attr(proto: Any) -> Attr:
    """One `AttrValue`; what has no exact form here is kept as its wire bytes and equals nothing else."""
    kind = proto.WhichOneof("value")
    if kind is None:
        return Attr("none", b"")
    if kind == "list":
        for field in _LIST_FIELDS:
            elements = getattr(proto.list, field)
            if len(elements):
                return Attr("list", (field, tuple(_read_value(field, element) for element in elements)))
        return Attr("list", ("", ()))
    return Attr(kind, _read_value(kind, getattr(proto, kind)))


def write_attr(attr: Attr, proto: Any) -> None:
    """Fill the empty `AttrValue` `proto` with `attr`."""
    kind, value = attr
    if kind == "list":
        proto.list.SetInParent()
        element_kind, elements = value
        for element in elements:
            _write_element(element_kind, element, proto.list)
    elif kind == "shape":
        _write_shape(value, proto.shape)
    elif kind == "func":
        _write_func(value, proto.func)
    elif kind == "f":
        (proto.f,) = struct.unpack("<f", value)
    elif kind == "tensor":
        write_tensor(value, proto.tensor)
    elif kind != "none":
        setattr(proto, kind, value)


def _read_value(kind: str, value: Any) -> Any:
    if kind == "f":
        return struct.pack("<f", value)
    if kind == "shape":
        return None if value.unknown_rank else tuple(dim.size for dim in value.dim)
    if kind == "func":
        return Func(value.name, read_attrs(value.attr))
    if kind == "tensor":
        tensor = read_tensor(value)
        return value.SerializeToString(deterministic=True) if tensor is None else tensor
    return value


def _write_element(kind: str, value: Any, proto: Any) -> None:
    if kind == "shape":
        _write_shape(value, proto.shape.add())
    elif kind == "func":
        _write_func(value, proto.func.add())
    elif kind == "tensor":
        write_tensor(value, proto.tensor.add())
    elif kind == "f":
        proto.f.append(struct.unpack("<f", value)[0])
    else:
        getattr(proto, kind).append(value)


def _write_shape(value: tuple[int, ...] | None, proto: Any) -> None:
    proto.SetInParent()
    if value is None:
        proto.unknown_rank = True
        return
    for size in value:
        proto.dim.add().size = size


def _write_func(value: Func, proto: Any) -> None:
    proto.name = value.name
    for name, attr in value.attrs.items():
        write_attr(attr, proto.attr[name])
