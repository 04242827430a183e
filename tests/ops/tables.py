"""The op tables, read by a parser of their own, so that a fault of the package's loader cannot hide one of theirs."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from tensorflow.core.framework import op_def_pb2, types_pb2
from tensorflow.python.client import pywrap_tf_session

import tfreuse.ops

TABLES = Path(tfreuse.ops.__file__).parent

FLAGS = {"raises", "stateless-random", "quantization-unit", "cheap-large", "variant"}


class Row(NamedTuple):
    """One row of `facts.txt`."""

    effects: list[str]
    flags: list[str]

    @property
    def targets(self) -> list[str]:
        """What the accesses of the row name: operands and ambient state."""
        return [effect.partition(":")[2] for effect in self.effects if ":" in effect]


def lines(name: str) -> list[str]:
    return (TABLES / name).read_text("utf-8").splitlines()


def words(line: str) -> list[str]:
    return line.partition("#")[0].split()


@cache
def facts() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for line in lines("facts.txt"):
        if found := words(line):
            op, *rest = found
            assert op not in rows, f"{op} has two rows"
            rows[op] = Row([word for word in rest if word not in FLAGS], [word for word in rest if word in FLAGS])
    return rows


@cache
def commutative() -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for line in lines("commutative.txt"):
        if found := words(line):
            assert found[0] not in rows, f"{found[0]} has two rows"
            rows[found[0]] = found[1:]
    return rows


@cache
def registry() -> dict[str, op_def_pb2.OpDef]:
    ops = op_def_pb2.OpList()
    ops.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    return {op.name: op for op in ops.op}


def pure() -> dict[str, op_def_pb2.OpDef]:
    """The definitions of the registered ops which the table calls pure."""
    return {op: registry()[op] for op, row in facts().items() if "pure" in row.effects and op in registry()}


def dtype_number(name: str) -> int:
    return types_pb2.DataType.Value("DT_" + name.upper())
