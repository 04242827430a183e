"""The way of every offline door: a `GraphDef` is read, run through the pipeline and edited."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from tfreuse.bridge.module import MAIN, ops_of, read_module, write_module
from tfreuse.errors import GraphError, InputError
from tfreuse.ir.collector import collector_paused
from tfreuse.ir.graph import Module
from tfreuse.pipeline.library import Library
from tfreuse.pipeline.rewriter import Edit
from tfreuse.pipeline.run import Progress, Result
from tfreuse.pipeline.text import Pipeline
from tfreuse.remarks.remark import Remark
from tfreuse.validate.proved import run_proved


@contextmanager
def damages(source: str) -> Iterator[None]:
    """Around what reads the graphs of `source`, which may contradict themselves in ways that show late.

    Raises:
        InputError: instead of `GraphError`.
    """
    try:
        yield
    except GraphError as error:
        raise InputError(f"{source} is damaged: {error}") from None


def rewrite_in_place(
    graph_def: Any,
    steps: Pipeline,
    source: str,
    *,
    arguments: Iterable[str] = (),
    kept: Mapping[str, Iterable[str]] | None = None,
    frozen: Mapping[str, Iterable[str]] | None = None,
    skip: frozenset[str] = frozenset(),
    progress: Progress | None = None,
    nodes: Any = None,
    proof: bool = True,
    time_limit: float | None = None,
    library: Callable[[Module], Library] | None = None,
    max_memory_growth: str | int | None = None,
    closed: bool = False,
) -> Result:
    """Edit `graph_def` (main graph and library) so that equal work is shared; `source` names it in errors.

    `arguments`, `kept` and `frozen` are those of `bridge.module.read_module`; functions in `skip` stay as they are.
    `library` tells of the functions that were read what passes over a whole library have to know.
    `closed` says that of the main graph the outside refers to nothing but the names given.
    With `nodes`, the main graph is read from there, and what is left of it is copied to `graph_def`.

    Raises:
        InputError: if the graph contradicts itself.
    """
    with collector_paused(), damages(source):
        ops = ops_of(graph_def)
        module = read_module(graph_def, ops, arguments=arguments, kept=kept, frozen=frozen, strict=True, nodes=nodes)
        if closed and MAIN in module.graphs:
            module = replace(module, graphs={**module.graphs, MAIN: replace(module.graphs[MAIN], closed=True)})
        known = None if library is None else library(module)
        result = run_proved(
            module,
            ops,
            steps,
            progress=progress,
            skip=skip,
            proof=proof,
            time_limit=time_limit,
            library=known,
            max_memory_growth=max_memory_growth,
        )
        for name, reason in module.opaque.items():
            result.remarks.add(Remark("unknown-op", name, (), reason))
        merged = {name: partial(_merged, found.journal) for name, found in result.graphs.items()}
        write_module(module, result.after, graph_def, ops, nodes=nodes, origins=result.origins, merged=merged)
    return result


def _merged(journal: list[Edit]) -> dict[str, str]:
    return {node: other for kind, node, other, _, _ in journal if kind in ("merge", "alias")}
