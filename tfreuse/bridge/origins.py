"""Where nodes come from (`NodeDef.experimental_debug_info`): the survivor of a merge says which nodes it stands for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Origins = dict[str, list[tuple[str, str]]]
"""By node the nodes, each with its function, that it was made from."""


def note_origins(name: str, proto: Any, origins: Origins) -> None:
    """Note what a `NodeDef` says of where it comes from, if it does."""
    if proto.HasField("experimental_debug_info"):
        info = proto.experimental_debug_info
        functions = list(info.original_func_names) + [""] * len(info.original_node_names)
        origins[name] = list(zip(info.original_node_names, functions, strict=False))


def add_origins(origins: Origins, merged: Mapping[str, str], protos: Iterable[Any]) -> None:
    """Add those of duplicates to their survivors; what one says already is not said again.

    `merged` leads from each duplicate to what it merged into.
    """
    of_survivor: Origins = {}
    for name, pairs in origins.items():
        if name not in merged:
            continue
        while name in merged:
            name = merged[name]
        of_survivor.setdefault(name, []).extend(pairs)
    for proto in protos:
        if proto.name in of_survivor:
            info = proto.experimental_debug_info
            known = set(info.original_node_names)
            for node, function in dict.fromkeys(of_survivor[proto.name]):
                if node not in known:
                    info.original_node_names.append(node)
                    info.original_func_names.append(function)
