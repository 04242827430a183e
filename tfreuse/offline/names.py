"""Checks the names of nodes and tensors that a user gives: `y` or `y:0`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from tfreuse.bridge.module import MAIN
from tfreuse.bridge.public_names import node_of
from tfreuse.errors import InputError
from tfreuse.pipeline.run import Result

_TENSOR = re.compile(r"[^:^]+(:[0-9]+)?")


def check_spelling(names: Iterable[str]) -> None:
    """Check that each name is spelled as a tensor's.

    Raises:
        InputError: naming the first that is not.
    """
    for name in names:
        if not _TENSOR.fullmatch(name):
            raise InputError(f"{name!r} names no tensor; write NODE or NODE:PORT, for example y or y:0")


def check_names(names: Iterable[str], nodes: Iterable[Any], source: str) -> None:
    """Check that the node of each name is among `nodes`.

    Raises:
        InputError: naming the first that is not, with those that look like it.
    """
    present = {node.name for node in nodes}
    for name in sorted(set(map(node_of, names)) - present):
        close = difflib.get_close_matches(name, sorted(present), 3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise InputError(f"{source} has no node {name!r}{hint}")


def check_ports(names: Iterable[str], result: Result, source: str) -> None:
    """Check that the nodes have the outputs that the names ask for, as far as their ops are known.

    Raises:
        InputError: naming the first that does not exist.
    """
    graph = result.before.graphs.get(MAIN)
    if graph is None:
        return
    for name in names:
        text, colon, port = name.partition(":")
        node = graph.nodes[text]
        count = len(result.ops.output_types(node.op, node.attrs))
        if colon and int(port) >= count:
            raise InputError(f"{source} has no tensor {name!r}: node {node.name!r} has {count} outputs")
