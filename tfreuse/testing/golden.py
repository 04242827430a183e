"""Golden cases: one text file says what a pipeline makes of one module, and what it has to say about it.

    # One sentence: what this case shows. (TRAPS 71)
    pipeline: dedupe-reads,cse,dedupe-constants,dce
    --- before
    graph ""
      x = Placeholder() {dtype: float}
      a = Exp(x) {T: float}
      b = Exp(x) {T: float}
      output a = a
      output b = b
    --- after
    graph ""
      x = Placeholder() {dtype: float}
      a = Exp(x) {T: float}
      output a = a
      output b = a
    --- remarks
    no remarks

Graphs are in the text form of `tfreuse.ir.text`; several graphs make a module, in which nodes call each other
by name. Without a pipeline the preset ``exact`` runs. ``--- after`` may hold the one word ``unchanged``.

A remark is a line ``KIND ID NODE...``, with ``in GRAPH`` behind it for a graph other than the main one. Those
listed must be among the remarks of the passes and the near misses that are left; ``no remarks`` stands for
none. ``public: f=KEY g=KEY`` in the head names functions that the outside has by name, with one key where all else
that it knows of them is equal; ``declared:`` does the same for their declarations, and ``pinned: f g`` names functions
that stay (`tfreuse.pipeline.library.Library`). ``shuffle: no, WHY`` exempts a case whose result rightly depends on the
order in which nodes are listed.
"""

from __future__ import annotations

import difflib
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from tfreuse.analysis.analyses import Analyses
from tfreuse.analysis.effects import Summaries
from tfreuse.analysis.near_miss import near_misses
from tfreuse.errors import InputError
from tfreuse.ir.attrs import Attrs, Tensor
from tfreuse.ir.graph import Module, check_edges
from tfreuse.ir.parse import parse_module
from tfreuse.ir.text import print_module
from tfreuse.ops.registry import Ops
from tfreuse.pipeline.library import Library
from tfreuse.pipeline.run import Result
from tfreuse.pipeline.text import PRESETS, parse_pipeline
from tfreuse.remarks.catalogue import CATALOGUE
from tfreuse.testing.schemas import snapshot_ops
from tfreuse.validate.proved import run_proved

NO_REMARKS = "no remarks"

_HEAD = re.compile(r"(pipeline|shuffle|public|declared|pinned): *(.*)")
_SECTION = re.compile(r"--- (before|after|remarks)\s*")


@dataclass(frozen=True)
class Case:
    """One golden file: `after` is None for ``unchanged``; a file without remarks has none."""

    name: str
    comment: str
    pipeline: str
    before: Module
    after: Module | None
    remarks: tuple[str, ...] = ()
    shuffles: bool = True
    library: Library = field(default_factory=Library)


def read_case(path: Path) -> Case:
    """The case in the file `path`.

    Raises:
        InputError: naming the file and the line that cannot be read.
    """
    return parse_case(path.read_text("utf-8"), str(path))


def parse_case(text: str, name: str = "case") -> Case:
    """The case that `text` describes.

    Raises:
        InputError: naming the line that cannot be read, or the section that is missing.
    """
    comments: list[str] = []
    head = {"pipeline": PRESETS["exact"], "shuffle": "yes"}
    sections: dict[str, list[str]] = {}
    lines: list[str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if section := _SECTION.fullmatch(line):
            lines = sections.setdefault(section[1], [])
        elif lines is not None:
            lines.append(line)
        elif line.startswith("#"):
            comments.append(line.lstrip("# "))
        elif found := _HEAD.fullmatch(line):
            head[found[1]] = found[2].strip()
        elif line.strip():
            heads = "'pipeline:', 'public:', 'declared:', 'pinned:', 'shuffle:'"
            raise InputError(f"{name}, line {number}: expected a comment, {heads} or '--- before'")
    if not comments:
        raise InputError(f"{name}: the first line must say, behind a #, what the case shows")
    if "before" not in sections or "after" not in sections:
        raise InputError(f"{name}: '--- before' and '--- after' must both be there")
    parse_pipeline(head["pipeline"])  # loads the passes, which may add to the catalogue
    after = "\n".join(sections["after"])
    remarks = tuple(line.strip() for line in sections.get("remarks", []) if line.strip())
    for remark in remarks:
        if remark != NO_REMARKS and (len(remark.split()) < 2 or remark.split()[1] not in CATALOGUE):
            raise InputError(f"{name}: {remark!r} does not name a remark of the catalogue")
    return Case(
        name,
        " ".join(comments),
        head["pipeline"],
        _module("\n".join(sections["before"]), name),
        None if after.strip() == "unchanged" else _module(after, name),
        remarks,
        not head["shuffle"].startswith("no"),
        Library(_keys(head, "declared"), _keys(head, "public"), frozenset(head.get("pinned", "").split())),
    )


def run_case(case: Case, ops: Ops | None = None) -> Result:
    """What the case's pipeline makes of its module; a pass that raises is not caught, nor is a proof refused."""
    pipeline = parse_pipeline(case.pipeline)
    return run_proved(case.before, ops or snapshot_ops(), pipeline, raise_failures=True, library=case.library)


def check_case(case: Case, ops: Ops | None = None) -> None:
    """Check result and remarks, that no edge dangles, and that a second run changes nothing.

    Raises:
        AssertionError: with a unified diff.
    """
    result = run_case(case, ops)
    _check_text(case, "", print_module(case.after or case.before), print_module(result.after))
    for graph in result.after.graphs.values():
        check_edges(graph)
    again = run_case(replace(case, before=result.after), ops)
    _check_text(case, ", run twice", print_module(result.after), print_module(again.after))
    _check_remarks(case, remark_lines(result))


def check_hashing(case: Case, ops: Ops | None = None) -> None:
    """Check that the result stays the same where every hash collides.

    Raises:
        AssertionError: with a unified diff.
    """
    with constant_hashes():
        result = run_case(case, ops)
    _check_text(case, ", constant hashes", print_module(case.after or case.before), print_module(result.after))


def check_orders(case: Case, ops: Ops | None = None, seed: int = 0) -> None:
    """Check that as many nodes of each op are left when the graphs list their nodes in other orders.

    The nodes of one name need not be the ones that survive. Aliases of public names are not counted.

    Raises:
        AssertionError: with a unified diff of the counts.
    """
    if not case.shuffles:
        return
    expected = _counts(run_case(case, ops))
    for how, module in _reordered(case.before, seed):
        found = _counts(run_case(replace(case, before=module), ops))
        _check_text(case, f", nodes {how}", expected, found)


@contextmanager
def constant_hashes() -> Iterator[None]:
    """Inside, all attributes and all constants have one hash, so that only comparisons tell them apart."""
    originals = [(kind, kind.__hash__) for kind in (Attrs, Tensor)]
    try:
        for kind, _ in originals:
            kind.__hash__ = lambda self: 0  # type: ignore[method-assign]  # on purpose, and put back below
        yield
    finally:
        for kind, original in originals:
            kind.__hash__ = original  # type: ignore[method-assign]  # as above


def remark_lines(result: Result) -> list[str]:
    """The remarks of the passes, and the near misses left after them, as a golden file writes them."""
    lines = [_line(remark.id, remark.nodes, remark.function) for remark in result.remarks.items]
    summaries = Summaries(result.after, result.ops)
    for name, graph in result.after.graphs.items():
        lines += [_line(miss.id, miss.nodes, name) for miss in near_misses(Analyses(graph, summaries))]
    return lines


def _keys(head: dict[str, str], name: str) -> dict[str, str]:
    pairs = [word.partition("=") for word in head.get(name, "").split()]
    return {function: key for function, _, key in pairs}


def _line(id: str, nodes: tuple[str, ...], graph: str) -> str:
    return " ".join([CATALOGUE[id].kind, id, *nodes, *(("in", graph) if graph else ())])


def _module(text: str, name: str) -> Module:
    try:
        module = parse_module(text)
        for graph in module.graphs.values():
            check_edges(graph)
    except Exception as error:  # a text written by hand may be wrong in any way
        raise InputError(f"{name}: {error}") from error
    return module


def _check_text(case: Case, how: str, expected: str, found: str) -> None:
    if expected != found:
        diff = difflib.unified_diff(
            expected.splitlines(), found.splitlines(), "expected", f"found{how}", lineterm="", n=100
        )
        raise AssertionError("\n".join([f"{case.name}{how}", case.comment, *diff]))


def _check_remarks(case: Case, found: list[str]) -> None:
    expected = [remark for remark in case.remarks if remark != NO_REMARKS]
    known = {_normal(remark) for remark in found}
    missing = [remark for remark in expected if _normal(remark) not in known]
    if missing or (NO_REMARKS in case.remarks and found):
        listed = [*(f"  expected: {remark}" for remark in expected or [NO_REMARKS])]
        listed += [*(f"  found:    {remark}" for remark in found or [NO_REMARKS])]
        raise AssertionError("\n".join([f"{case.name}: remarks", case.comment, *listed]))


def _normal(remark: str) -> str:
    """The line with its nodes sorted: which one is named first says nothing."""
    kind, key, *nodes = remark.split()
    graph = nodes[-2:] if nodes[-2:-1] == ["in"] else []
    return " ".join([kind, key, *sorted(nodes[: len(nodes) - len(graph)]), *graph])


def _counts(result: Result) -> str:
    lines = []
    for name, graph in result.after.graphs.items():
        aliases = {edit.node for edit in result.graphs[name].journal if edit.kind == "alias"}
        counts = Counter(node.op for node in graph.nodes.values() if node.name not in aliases)
        lines += [f"graph {name!r}", *(f"  {op} {count}" for op, count in sorted(counts.items()))]
    return "\n".join(lines)


def _reordered(module: Module, seed: int) -> Iterator[tuple[str, Module]]:
    yield "reversed", _with_order(module, lambda names: names[::-1])
    for number in range(seed, seed + 3):
        source = random.Random(number)
        yield f"shuffled with seed {number}", _with_order(module, partial(_shuffled, source))


def _shuffled(source: random.Random, names: list[str]) -> list[str]:
    return source.sample(names, len(names))


def _with_order(module: Module, order: Callable[[list[str]], list[str]]) -> Module:
    graphs = {
        name: graph.evolve({node: graph.nodes[node] for node in order(list(graph.nodes))})
        for name, graph in module.graphs.items()
    }
    return Module(graphs, module.opaque)
