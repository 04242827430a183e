"""Op signatures from TensorFlow's registry and from a model's own function library."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from tfreuse.bridge.attrs import read_attr
from tfreuse.bridge.load import tensorflow
from tfreuse.ops.schema import Arg, OpSchema, Schemas


@cache
def registered(op: str) -> OpSchema | None:
    """The signature of a registered op, or None."""
    tensorflow()
    from tensorflow.python.framework import op_def_registry

    found = op_def_registry.get(op)
    return None if found is None else read_op_def(found)


def with_functions(functions: Mapping[str, OpSchema]) -> Schemas:
    """The registry plus functions of a library, which old graphs call by using their names as ops."""

    def find(op: str) -> OpSchema | None:
        return registered(op) or functions.get(op)

    return find


def read_op_def(op_def: Any) -> OpSchema:
    """An `OpDef` as `OpSchema`."""
    return OpSchema(
        op_def.name,
        tuple(_arg(arg) for arg in op_def.input_arg),
        tuple(_arg(arg) for arg in op_def.output_arg),
        {attr.name: read_attr(attr.default_value) for attr in op_def.attr if attr.HasField("default_value")},
        op_def.is_stateful,
    )


def _arg(arg: Any) -> Arg:
    return Arg(arg.name, arg.type, arg.type_attr, arg.number_attr, arg.type_list_attr, arg.is_ref)
