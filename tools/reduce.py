"""Makes a failing case small: removes nodes, edges, outputs and functions for as long as the failure stays.

    python -m tools.reduce CASE.txt [--predicate MODULE:FUNCTION] [--output FILE] [--seconds N]

CASE.txt is a golden case, or graphs in the text form. The predicate gets a module and says what is wrong with it, in
a few words, or nothing; without one, the case's pipeline is run and judged by the proof and the reference interpreter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from tfreuse.errors import GraphError, TfreuseError
from tfreuse.ir.dtypes import NUMBERS
from tfreuse.ir.graph import Graph, Module, Node, Value, check_edges
from tfreuse.ir.order import check_graph
from tfreuse.ir.parse import parse_module
from tfreuse.ir.text import print_module
from tfreuse.testing.golden import parse_case

app = typer.Typer(add_completion=False)
Judge = Callable[[Module], str]


def reduce(module: Module, judge: Judge, seconds: float = 20.0) -> Module:
    """The smallest module found of which `judge` says what it says of `module`."""
    wanted = judge(module)
    if not wanted:
        raise ValueError("the case does not fail")
    until = time.monotonic() + seconds

    def fails(candidate: Module) -> bool:
        try:
            for graph in candidate.graphs.values():
                check_edges(graph)
                check_graph(graph)
            return judge(candidate) == wanted
        except Exception:  # no longer a program that anybody can judge
            return False

    progress = True
    while progress and time.monotonic() < until:
        progress = False
        for candidate in _smaller(module):
            if time.monotonic() >= until:
                break
            if fails(candidate):
                module, progress = candidate, True
                break
    return module


def size(module: Module) -> int:
    """The nodes of a module, arguments aside."""
    return sum(node.op != "_Arg" for graph in module.graphs.values() for node in graph.nodes.values())


def _smaller(module: Module) -> Iterator[Module]:
    """All modules a little smaller, the greatest steps first."""
    for name, graph in module.graphs.items():
        own = [node for node in reversed(graph.nodes) if node not in graph.arguments]
        count = len(own) // 2
        while count:
            for start in range(0, len(own), count):
                if (found := _without(graph, set(own[start : start + count]))) is not None:
                    yield _with(module, name, found)
            count //= 2
    for name, graph in module.graphs.items():
        for found in _plainer(graph):
            yield _with(module, name, found)


def _with(module: Module, name: str, graph: Graph) -> Module:
    """The module with another graph, and without functions that nothing calls any more."""
    graphs = {**module.graphs, name: graph}
    roots = [key for key in graphs if not key] or [key for key in graphs if not _is_called(module, key)]
    used: set[str] = set()
    work = roots or list(graphs)
    while work:
        key = work.pop()
        if key in graphs and key not in used:
            used.add(key)
            for node in graphs[key].nodes.values():
                work += [node.op, *(function.name for function in node.attrs.functions)]
    return Module({key: graph for key, graph in graphs.items() if key in used}, module.opaque)


def _is_called(module: Module, name: str) -> bool:
    nodes = [node for graph in module.graphs.values() for node in graph.nodes.values()]
    return any(node.op == name or any(func.name == name for func in node.attrs.functions) for node in nodes)


def _without(graph: Graph, gone: set[str]) -> Graph | None:
    """The graph without these nodes; users take an operand of theirs instead, or an argument of the same kind."""
    nodes = {name: node for name, node in graph.nodes.items() if name not in gone}

    def instead(value: Value) -> Value | None:
        while value.node in gone:
            handle = _is_handle(graph.nodes[value.node])
            offered = [*graph.nodes[value.node].inputs, *(Value(name) for name in graph.arguments)]
            alike = [other for other in offered if _is_handle(graph.nodes[other.node]) == handle]
            if not alike:
                return None
            value = alike[0]
        return value

    for name, node in nodes.items():
        inputs = [instead(value) for value in node.inputs]
        if None in inputs:
            return None
        controls = frozenset(control for control in node.controls if control not in gone)
        nodes[name] = node._replace(inputs=tuple(value for value in inputs if value), controls=controls)
    outputs = tuple((label, value) for label, value in graph.outputs if value.node not in gone)
    if graph.name:  # a caller counts them
        found = [(label, instead(value)) for label, value in graph.outputs]
        outputs = tuple((label, value) for label, value in found if value)
        if len(outputs) < len(found):
            return None
    return replace(
        graph,
        nodes=nodes,
        outputs=outputs,
        control_outputs=tuple((label, name) for label, name in graph.control_outputs if name not in gone),
        kept=graph.kept - gone,
        frozen=graph.frozen - gone,
    )


def _is_handle(node: Node) -> bool:
    return node.attrs.value("T") == NUMBERS["resource"] or node.op in ("VarHandleOp", "HashTableV2")


def _plainer(graph: Graph) -> Iterator[Graph]:
    """The graph with one thing less that is no node, or in its plainest order."""
    for name in graph.kept:
        yield replace(graph, kept=graph.kept - {name})
    for name in graph.frozen:
        yield replace(graph, frozen=graph.frozen - {name})
    for number in range(len(graph.control_outputs)):
        yield replace(graph, control_outputs=_but(graph.control_outputs, number))
    if not graph.name:
        for number in range(len(graph.outputs)):
            yield replace(graph, outputs=_but(graph.outputs, number))
        used = {value.node for node in graph.nodes.values() for value in node.inputs} | {
            value.node for _, value in graph.outputs
        }
        for name in graph.arguments:
            arguments = tuple(other for other in graph.arguments if other != name)
            if graph.nodes[name].op != "_Arg":
                yield replace(graph, arguments=arguments)
            elif name not in used:
                nodes = {key: node for key, node in graph.nodes.items() if key != name}
                yield replace(graph, nodes=nodes, arguments=arguments)
    for node in graph.nodes.values():
        for control in sorted(node.controls):
            yield _changed(graph, node._replace(controls=node.controls - {control}))
        if node.device:
            yield _changed(graph, node._replace(device=""))
        for key, _ in node.attrs.items():
            if key.startswith("_"):
                yield _changed(graph, node._replace(attrs=node.attrs.updated({key: None})))
    ordered = sorted(graph.nodes, key=lambda name: (name not in graph.arguments, len(name), name))
    if list(graph.nodes) != ordered:
        yield graph.evolve({name: graph.nodes[name] for name in ordered})


def _changed(graph: Graph, node: Node) -> Graph:
    return graph.evolve({**graph.nodes, node.name: node})


def _but(pairs: tuple[tuple[str, object], ...], number: int) -> tuple[tuple[str, object], ...]:
    return pairs[:number] + pairs[number + 1 :]


@app.command(help=__doc__)
def main(
    case: Annotated[Path, typer.Argument(help="A golden case, or graphs in the text form.")],
    predicate: Annotated[str, typer.Option(help="MODULE:FUNCTION that says what is wrong.")] = "",
    output: Annotated[Path | None, typer.Option(help="Where to write; default: standard output.")] = None,
    seconds: Annotated[float, typer.Option(help="How long to try.")] = 60.0,
) -> None:
    text = case.read_text("utf-8")
    pipeline = ""
    try:
        if "--- before" in text:
            found = parse_case(text, str(case))
            module, pipeline = found.before, found.pipeline
        else:
            module = parse_module(text)
    except (GraphError, TfreuseError) as error:
        raise typer.BadParameter(str(error)) from error
    if predicate:
        where, _, name = predicate.partition(":")
        judge = getattr(import_module(where), name)
    else:
        from tools.fuzz.engine import EXACT, judged

        def judge(candidate: Module) -> str:
            return judged(candidate, pipeline or EXACT)[0]

    try:
        small = reduce(module, judge, seconds)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"{size(module)} nodes became {size(small)}: {judge(small)}", err=True)
    if output is None:
        typer.echo(print_module(small))
    else:
        output.write_text(print_module(small), "utf-8")


if __name__ == "__main__":
    app()
