"""A `GraphDef` with its function library to a `Module` and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tfreuse.bridge.functiondef import read_function, write_function, write_signature
from tfreuse.bridge.graphdef import NOTHING, Merged, read_main, write_main
from tfreuse.bridge.nodes import NodeReader
from tfreuse.bridge.opdefs import read_op_def, with_functions
from tfreuse.errors import GraphError, UnknownOpError
from tfreuse.ir.graph import Graph, Module
from tfreuse.ir.order import check_graph
from tfreuse.ops.plugins import installed_facts
from tfreuse.ops.registry import Ops

MAIN = ""
"""The name of the main graph in a module."""


def ops_of(graph_def: Any) -> Ops:
    """The op tables for a graph: TensorFlow's registry, the graph's own functions, and installed op facts."""
    functions = {f.signature.name: read_op_def(f.signature) for f in graph_def.library.function}
    return Ops(with_functions(functions), installed_facts())


def read_module(
    graph_def: Any,
    ops: Ops,
    arguments: Iterable[str] = (),
    kept: Mapping[str, Iterable[str]] | None = None,
    frozen: Mapping[str, Iterable[str]] | None = None,
    strict: bool = False,
    nodes: Any = None,
) -> Module:
    """The main graph and every function; what cannot be read faithfully is named in `Module.opaque`.

    `kept` and `frozen` give names by graph. `nodes` are the main graph's, where they stand in another proto.

    Raises:
        GraphError: with `strict`, for a graph that contradicts itself; an unknown op is no contradiction.
    """
    kept, frozen = kept or {}, frozen or {}
    reader = NodeReader()
    graphs: dict[str, Graph] = {}
    opaque: dict[str, str] = {}

    def attempt(name: str, read: Any) -> None:
        try:
            graph = read()
            check_graph(graph)
            graphs[name] = graph
        except UnknownOpError as error:
            opaque[name] = str(error)
        except GraphError as error:
            if strict:
                raise
            opaque[name] = str(error)

    attempt(
        MAIN,
        lambda: read_main(
            graph_def.node if nodes is None else nodes, ops, arguments, kept.get(MAIN, ()), frozen.get(MAIN, ()), reader
        ),
    )
    for function in graph_def.library.function:
        name = function.signature.name
        if name in graphs or name in opaque:
            raise GraphError(f"two functions are called {name!r}")
        attempt(name, lambda f=function, n=name: read_function(f, ops, kept.get(n, ()), reader=reader))
    return Module(graphs, opaque)


def write_module(
    before: Module,
    after: Module,
    graph_def: Any,
    ops: Ops,
    everything: bool = False,
    nodes: Any = None,
    origins: Mapping[str, str] | None = None,
    merged: Mapping[str, Merged] | None = None,
) -> None:
    """Edit `graph_def`, from which `before` was read, so that it says `after`.

    With `nodes`, the main graph was read from there, and `graph_def` has no nodes yet. `origins` has for each new
    function the one that it is a changed copy of; functions that these replaced go. `merged` has for each graph what
    its duplicates merged into.
    """
    merged = merged or {}
    source = graph_def.node if nodes is None else nodes
    if MAIN not in after.graphs:
        if nodes is not None:
            graph_def.node.extend(nodes)
    elif everything or nodes is not None or after.graphs[MAIN] is not before.graphs[MAIN]:
        write_main(
            before.graphs[MAIN], after.graphs[MAIN], source, graph_def.node, everything, merged.get(MAIN, NOTHING)
        )
    _write_copies(before, after, graph_def.library, ops, origins or {})
    for function in graph_def.library.function:
        name = function.signature.name
        if (
            name in after.graphs
            and name in before.graphs
            and (everything or after.graphs[name] is not before.graphs[name])
        ):
            write_function(
                before.graphs[name], after.graphs[name], function, ops, everything, merged.get(name, NOTHING)
            )


def _write_copies(before: Module, after: Module, library: Any, ops: Ops, origins: Mapping[str, str]) -> None:
    """Add the functions that are changed copies of others, and drop those of the others that are gone."""
    protos = {function.signature.name: function for function in library.function}
    for name, origin in origins.items():
        while origin in origins:
            origin = origins[origin]
        if name in after.graphs:
            copy = library.function.add()
            copy.CopyFrom(protos[origin])
            copy.signature.name = name
            write_signature(before.graphs[origin], after.graphs[name], copy)
            write_function(before.graphs[origin], after.graphs[name], copy, ops)
    gone = set(origins.values()).difference(after.graphs).intersection(before.graphs)
    if gone:
        left = [function for function in library.function if function.signature.name not in gone]
        del library.function[:]
        library.function.extend(left)
