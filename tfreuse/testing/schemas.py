"""Op signatures without TensorFlow: a snapshot of the `OpDef`s that golden cases use, in `ops.json`.

`python -m tools.snapshot_ops` writes the snapshot from the registry of the installed TensorFlow.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.parse import parse_graph
from tfreuse.ir.text import print_attrs
from tfreuse.ops.facts import Facts, builtin_facts, merge_facts
from tfreuse.ops.registry import Ops
from tfreuse.ops.schema import Arg, OpSchema

SNAPSHOT = "ops.json"
_ARG_DEFAULTS = {"type": 0, "type_attr": "", "number_attr": "", "type_list_attr": "", "is_ref": False}


@cache
def snapshot() -> Mapping[str, OpSchema]:
    """The signatures of the snapshot by op name."""
    return read_snapshot((resources.files("tfreuse.testing") / SNAPSHOT).read_text("utf-8"))


def snapshot_ops(
    extra_schemas: Iterable[OpSchema] = (),
    extra_facts: Iterable[Facts] = (),
) -> Ops:
    """An `Ops` on the snapshot and the built-in op facts, with the ops of your own that you add."""
    schemas = {**snapshot(), **{schema.name: schema for schema in extra_schemas}}
    return Ops(schemas.get, merge_facts(builtin_facts(), extra_facts, "the test"))


def write_snapshot(schemas: Iterable[OpSchema]) -> str:
    """The schemas as JSON, sorted by name, one op a line."""
    entries = {schema.name: json.dumps(_to_json(schema)) for schema in schemas}
    lines = [f"{json.dumps(name)}: {entry}" for name, entry in sorted(entries.items())]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read_snapshot(text: str) -> dict[str, OpSchema]:
    """The inverse of `write_snapshot`."""
    return {name: _from_json(name, entry) for name, entry in json.loads(text).items()}


def _to_json(schema: OpSchema) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "inputs": [_arg_to_json(arg) for arg in schema.inputs],
        "outputs": [_arg_to_json(arg) for arg in schema.outputs],
    }
    if schema.defaults:
        entry["defaults"] = print_attrs(Attrs(schema.defaults))
    if schema.is_stateful:
        entry["is_stateful"] = True
    return entry


def _from_json(name: str, entry: Mapping[str, Any]) -> OpSchema:
    return OpSchema(
        name,
        tuple(Arg(**arg) for arg in entry["inputs"]),
        tuple(Arg(**arg) for arg in entry["outputs"]),
        _defaults(entry.get("defaults", "")),
        entry.get("is_stateful", False),
    )


def _arg_to_json(arg: Arg) -> dict[str, Any]:
    fields = {key: getattr(arg, key) for key in _ARG_DEFAULTS}
    return {"name": arg.name, **{key: value for key, value in fields.items() if value != _ARG_DEFAULTS[key]}}


def _defaults(text: str) -> dict[str, Attr]:
    """Attributes in the text form of nodes, read as those of a node of no meaning."""
    return dict(parse_graph(f"node = Defaults() {text}").nodes["node"].attrs)
