"""Passes over a whole library of functions, which run after the passes over graphs and edit no body.

A library pass may let one function stand for another wherever it is named, remove functions that nothing names, and
drop recorded static shapes. It says so through `LibraryEdits`; `carried_out` makes a module of it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from tfreuse.analysis.effects import Summaries
from tfreuse.analysis.fingerprint import Alike
from tfreuse.errors import GraphError
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.graph import Graph, Module, Node
from tfreuse.pipeline.passes import Context, Pass
from tfreuse.pipeline.rewriter import Rewriter
from tfreuse.remarks.remark import Remark, Remarks

SHAPES = "_output_shapes"
"""The attribute that records the static shapes of a node's outputs; TensorFlow infers them anew where it is absent."""


@dataclass(frozen=True)
class Library:
    """What is known of the functions of a model beside their bodies.

    `declared`: types, handles and static shapes of arguments and results, and attributes; a function stands only for
    one that is declared alike. `public`: for functions that the outside has by name, all that it knows of them; one
    stands for another only where that is equal. `pinned` functions keep their names and stand for nothing else.
    """

    declared: Mapping[str, Hashable] = field(default_factory=dict)
    public: Mapping[str, Hashable] = field(default_factory=dict)
    pinned: frozenset[str] = frozenset()


class LibraryEdits:
    """`merged` leads from a function to the one that stands for it; `removed` are functions that nothing names."""

    def __init__(self, module: Module, library: Library) -> None:
        self._module = module
        self._library = library
        self.merged: dict[str, str] = {}
        self.removed: set[str] = set()
        self.without_shapes = False

    def copy(self) -> LibraryEdits:
        """The same edits, to which more can be added apart."""
        other = LibraryEdits(self._module, self._library)
        other.merged, other.removed = dict(self.merged), set(self.removed)
        other.without_shapes = self.without_shapes
        return other

    def merge(self, function: str, other: str) -> None:
        """Let `other` stand for `function`, which goes.

        Raises:
            GraphError: if one of them is pinned, not there, or merged already.
        """
        both = {function, other}
        if len(both) < 2 or both & self.merged.keys() or function in self.merged.values():
            raise GraphError(f"cannot merge function {function!r} with {other!r}: one of them is merged already")
        if both & self._library.pinned or not both <= self._module.graphs.keys():
            raise GraphError(f"cannot merge function {function!r} with {other!r}: one of them must stay as it is")
        self.merged[function] = other

    def remove_unreachable(self) -> None:
        """Remove every function that nothing names, after the merges; those that such a one stands for as well."""
        self.removed = set(unreachable(carried_out(self._module, self), self._library))
        idle = [function for function, other in self.merged.items() if other in self.removed]
        for function in idle:
            del self.merged[function]
        self.removed.update(idle)

    def strip_shapes(self) -> None:
        """Drop the static shapes that nodes record."""
        self.without_shapes = True


@dataclass
class LibraryResult:
    """What library passes did: who stands for whom, which functions nothing named, whether static shapes were dropped.

    `alike` says why: the functions that are equal to another, node by node.
    """

    merged: dict[str, str] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    without_shapes: bool = False
    alike: Mapping[str, Alike] = field(default_factory=dict)


@dataclass(frozen=True)
class LibraryContext:
    """What a library pass may ask, and where it leaves its remarks."""

    module: Module
    summaries: Summaries
    library: Library
    remarks: Remarks
    by: str

    def remark(self, id: str, function: str, detail: str = "") -> Remark:
        """A remark of this pass about a function."""
        return Remark(id, function, (), detail, by=self.by)


class LibraryPass(Pass):
    """Base of the passes over a library; such passes come last in a pipeline."""

    preserves = frozenset({"order", "congruence"})
    whole = True

    def run(self, context: Context, rewriter: Rewriter) -> None:
        """Nothing to do in one graph."""

    def rewrite(self, context: LibraryContext, edits: LibraryEdits) -> None:
        """Hand the edits of the library to `edits`."""
        raise NotImplementedError  # each pass answers


def carried_out(module: Module, edits: LibraryEdits) -> Module:
    """The module with all edits carried out; graphs that they do not concern are the same objects."""
    gone = edits.merged.keys() | edits.removed
    graphs = {
        name: _rewritten(graph, edits.merged, edits.without_shapes)
        for name, graph in module.graphs.items()
        if name not in gone
    }
    return replace(module, graphs=graphs)


def unreachable(module: Module, library: Library) -> Iterator[str]:
    """Functions that neither the main graph nor the outside reaches; what cannot be read is taken to be needed."""
    work = ["", *library.public, *library.pinned, *module.opaque]
    seen = set(work)
    while work:
        graph = module.graphs.get(work.pop())
        for node in graph.nodes.values() if graph is not None else ():
            for name in (node.op, *(func.name for func in node.attrs.functions)):
                if name not in seen:
                    seen.add(name)
                    work.append(name)
    return (name for name in module.graphs if name not in seen)


def renamed(attrs: Attrs, names: Mapping[str, str]) -> Attrs:
    """`attrs` with the functions in them called as `names` says."""
    if names.keys().isdisjoint([func.name for func in attrs.functions]):
        return attrs
    changes: dict[str, Attr | None] = {}
    for name, (kind, value) in attrs.items():
        if kind == "func":
            changes[name] = Attr(kind, value._replace(name=names.get(value.name, value.name)))
        elif kind == "list" and value[0] == "func":
            changes[name] = Attr(
                kind, ("func", tuple([func._replace(name=names.get(func.name, func.name)) for func in value[1]]))
            )
    return attrs.updated(changes)


def _rewritten(graph: Graph, names: Mapping[str, str], without_shapes: bool) -> Graph:
    nodes: dict[str, Node] = {}
    changed = False
    for name, node in graph.nodes.items():
        attrs = renamed(node.attrs, names) if names and node.attrs.functions else node.attrs
        if without_shapes and SHAPES in attrs:
            attrs = attrs.updated({SHAPES: None})
        changed = changed or attrs is not node.attrs
        nodes[name] = node if attrs is node.attrs else node._replace(attrs=attrs)
    return graph.evolve(nodes) if changed else graph
