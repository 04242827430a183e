"""Where nodes come from (`NodeDef.experimental_debug_info`): the survivor of a merge says which nodes it stands for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

Origins = dict[str, list[tuple[str, str]]]
"""For a survivor the node and the function that each of its duplicates was made from."""


def origins_of(merged: Mapping[str, str], names: Collection[str], protos: Sequence[Any]) -> Origins:
    """What the `NodeDef`s of duplicates say, by survivor; `merged` leads from each duplicate to its survivor.

    `names` are those of the `protos`, and in front of them those of arguments, which have none.
    """
    found: Origins = {}
    for index, name in enumerate(names, len(protos) - len(names)) if merged else ():
        if name in merged and protos[index].HasField("experimental_debug_info"):
            info = protos[index].experimental_debug_info
            functions = list(info.original_func_names) + [""] * len(info.original_node_names)
            pairs = zip(info.original_node_names, functions, strict=False)
            found.setdefault(merged[name], []).extend(pairs)
    return found


def add_origins(origins: Origins, protos: Iterable[Any]) -> None:
    """Add them to the survivors; what one says already is not said again."""
    for proto in protos if origins else ():
        if proto.name in origins:
            info = proto.experimental_debug_info
            known = set(info.original_node_names)
            for node, function in dict.fromkeys(origins[proto.name]):
                if node not in known:
                    info.original_node_names.append(node)
                    info.original_func_names.append(function)
