"""Overlapping windows of one value that flow through equal ops: computed once on their union, then cut out of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from tfreuse.analysis.families import Families, Family
from tfreuse.analysis.lanes import Lanes
from tfreuse.analysis.missed_overlap import missed_overlap
from tfreuse.pipeline.passes import REASSOCIATES, Context, Pass
from tfreuse.pipeline.rewriter import Rewriter
from tfreuse.pipeline.sharing import Sharing
from tfreuse.pipeline.windows import windows_of
from tfreuse.remarks.remark import Remark


@dataclass(frozen=True)
class ShareOverlap(Pass):
    """Clips, crops and frames that overlap (`tfreuse.analysis.terms` has the law).

    A kernel may choose another algorithm for another shape, so the result may round differently.

    Options: `least`, how often each element of a union must be computed before, on average, for it to pay;
    `max_growth`, how many times the bytes of the windows' results the union's and the cuts may take.
    """

    least: float = 1.2
    max_growth: float = 2.0

    exactness: ClassVar[str] = REASSOCIATES

    def candidates(self, context: Context) -> Iterable[tuple[Families, Family]]:
        """Families of windows that overlap and in which something is multiplied; what stands in the way of others is
        remarked."""
        analyses = context.analyses
        if analyses.effects.has_frames:  # among frames and branches of TF1 an op may never run
            return
        alone = analyses.clobbered | analyses.custom_gradients
        lanes = Lanes(context.graph, context.ops, analyses.congruence, analyses.kinds, analyses.order, alone)
        families = Families(lanes, context.ops, analyses.order, self.least)
        for refusal, names in missed_overlap(families):
            context.remarks.add(context.remark(refusal.id, names, refusal.detail))
        for family in families.all():
            yield families, family

    def profitable(self, context: Context, candidate: tuple[Families, Family]) -> Remark | None:
        """Refuses what takes more memory than allowed; that each union is smaller than its windows is known."""
        families, family = candidate
        before, after, unit = families.memory(family)
        if after <= self.max_growth * before:
            return None
        return context.remark("overlap-memory", family.nodes, f"{after} {unit} in place of {before}")

    def apply(self, context: Context, candidate: tuple[Families, Family], rewriter: Rewriter) -> None:
        """Compute the union, and cut the windows' results out of it."""
        families, family = candidate
        Sharing(families, family, context.ops, rewriter).apply()
        windows = windows_of(families, family)
        detail = (
            f"{windows.total} windows of {windows.source}, each element computed {windows.overlap:.3g} times before"
        )
        context.remarks.add(replace(context.remark("overlap-shared", family.nodes, detail), windows=windows))
