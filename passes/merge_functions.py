"""Lets one library function stand for those with equal bodies, and removes functions that nothing names."""

from __future__ import annotations

from dataclasses import dataclass

from tfreuse.analysis.effects import Access
from tfreuse.analysis.fingerprint import Alike
from tfreuse.ir.attrs import Attr
from tfreuse.ir.graph import Graph
from tfreuse.pipeline.library import SHAPES, LibraryContext, LibraryEdits, LibraryPass

_SHARED = frozenset({"io", "clock", "abort"})
"""Ambient state that all of a process shares, so that it makes no difference which function uses it."""
_DIFFERENTIATED = ("Case", "If", "StatelessCase", "StatelessIf", "StatelessWhile", "While")
"""Ops of which TensorFlow's gradient makes new functions, called after the old ones: no two may name one function."""


@dataclass(frozen=True)
class MergeFunctions(LibraryPass):
    """Merges functions whose bodies, declarations and, where the outside has them by name, all else is equal.

    TensorFlow makes the kernels of a function once for all calls of one name. So functions with kernels that keep
    something from run to run (random draws, what is made and has an identity) stay apart, and so do those with a
    gradient that the user wrote. Of equal functions the first that the outside has by name is left, or the first.
    """

    def rewrite(self, context: LibraryContext, edits: LibraryEdits) -> None:
        """Merge, then remove what nothing names."""
        fingerprints, library = context.summaries.fingerprints, context.library
        ops = {op for graph in context.module.graphs.values() for op in graph.by_op}
        bodies = {
            function.name
            for graph in context.module.graphs.values()
            for op in _DIFFERENTIATED
            for name in graph.by_op.get(op, ())
            for function in graph.nodes[name].attrs.functions
        }
        told: list[tuple[list[str], str]] = []
        for names in fingerprints.classes():
            reasons = [self._apart(context, name, ops, bodies) for name in names]
            left = [name for name, reason in zip(names, reasons, strict=True) if not reason]
            left.sort(key=lambda name: name not in library.public)
            stay: list[str] = []
            for name in left:
                other = next((other for other in stay if self._stands_for(context, edits, other, name)), None)
                if other is None:
                    stay.append(name)
                else:
                    edits.merge(name, other)
            reason = next((reason for reason in reasons if reason), "their signatures, captures or shapes differ")
            told.append((names, reason))
        edits.remove_unreachable()
        for names, reason in told:
            apart = [name for name in names if name not in edits.merged and name not in edits.removed]
            if len(apart) > 1:
                detail = f"{len(apart)} functions, among them {', '.join(apart[:3])}: {reason}"
                context.remarks.add(context.remark("equal-functions", apart[0], detail))

    def _apart(self, context: LibraryContext, name: str, ops: set[str], bodies: set[str]) -> str:
        """Why the function takes no part, or nothing; a call by its name as an op spells the names of its outputs."""
        if name in context.library.pinned or name in ops:
            return "one is named where its name cannot be changed, or only saves and restores"
        if name in bodies:
            return "loops or branches name them, and their gradient makes functions called after these"
        if name in context.summaries.customized:
            return "they have a gradient that the user wrote"
        kept = sorted({str(access.resource) for access in context.summaries.of(name) if _is_kept(access)})
        return f"their kernels keep something from run to run ({', '.join(kept)})" if kept else ""

    def _stands_for(self, context: LibraryContext, edits: LibraryEdits, one: str, other: str) -> bool:
        library, fingerprints = context.library, context.summaries.fingerprints
        if library.declared.get(one) != library.declared.get(other):
            return False
        if other in library.public and library.public[other] != library.public.get(one):
            return False
        shapes = [_shapes(context.module.graphs[name], fingerprints.alike(name)) for name in (one, other)]
        return edits.without_shapes or shapes[0] == shapes[1]


def _is_kept(access: Access) -> bool:
    """Whether the access is to something that a kernel of the function itself holds, or may hold."""
    kind, key = access.resource
    return access.mode == "allocate" or kind == "unknown" or (kind == "ambient" and key not in _SHARED)


def _shapes(graph: Graph, alike: Alike) -> dict[str, Attr | None]:
    """The static shapes that nodes record, by their likes in the function that all are compared with."""
    return {like: graph.nodes[name].attrs.get(SHAPES) for name, like in alike.nodes.items()}
