"""Where nodes come from (`NodeDef.experimental_debug_info`): the survivor of a merge says which nodes it stands for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from operator import methodcaller
from typing import Any

_HAS_INFO = methodcaller("HasField", "experimental_debug_info")

Origins = dict[str, list[tuple[str, str]]]
"""For a survivor the node and the function that each of its duplicates was made from."""


def has_origins(protos: Iterable[Any]) -> bool:
    """Whether any of these `NodeDef`s says where it comes from."""
    return any(map(_HAS_INFO, protos))


def origins_of(merged: Mapping[str, str], names: Collection[str], protos: Sequence[Any]) -> Origins:
    """What the `NodeDef`s of duplicates say, by survivor; `merged` leads from each duplicate to what it merged into.

    `names` are those of the `protos`, and in front of them those of arguments, which have none.
    """
    found: Origins = {}
    arguments = len(names) - len(protos)
    for name, proto in zip(islice(names, arguments, None), protos, strict=True) if merged else ():
        if name in merged and _HAS_INFO(proto):
            while name in merged:
                name = merged[name]
            info = proto.experimental_debug_info
            functions = list(info.original_func_names) + [""] * len(info.original_node_names)
            pairs = zip(info.original_node_names, functions, strict=False)
            found.setdefault(name, []).extend(pairs)
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
