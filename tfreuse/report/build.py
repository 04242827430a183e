"""Builds the report's JSON from a pipeline's result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tfreuse.analysis.analyses import Analyses
from tfreuse.analysis.cost import NO_COST, Cost, cost_of
from tfreuse.analysis.effects import Summaries
from tfreuse.analysis.growth import SCHEDULES, Growth
from tfreuse.analysis.near_miss import near_misses
from tfreuse.analysis.regions import Region, merged_regions
from tfreuse.analysis.shapes import ShapeOf, stated_shapes
from tfreuse.ir.graph import ARGUMENT_OP, Graph
from tfreuse.ops.registry import Ops
from tfreuse.remarks.catalogue import CATALOGUE
from tfreuse.remarks.remark import Remark

SCHEMA_VERSION = 1
MAX_MISSED = 200
"""Near misses listed for one function; the count that is reported is of all of them."""


def function_entry(
    before: Graph,
    after: Graph,
    forward: Mapping[str, str],
    remarks: list[Remark],
    ops: Ops,
    summaries: Summaries,
    label: str = "",
    named: Graph | None = None,
) -> dict[str, Any]:
    """The report's entry for one function: sizes, regions merged, near misses, remarks.

    `named` is the graph before with the nodes that the passes added, if there are any.
    """
    whole = named or before
    shape_of = stated_shapes(whole)
    regions = [_region(whole, region, shape_of, ops) for region in merged_regions(whole, forward)]
    misses = near_misses(Analyses(after, summaries))
    missed = [
        {
            "id": miss.id,
            "nodes": list(miss.nodes),
            "scopes": scopes_of(miss.nodes),
            "field": miss.field,
            "detail": miss.detail,
            "advice": CATALOGUE[miss.id].advice,
        }
        for miss in misses[:MAX_MISSED]
    ]
    missed += [_refusal(remark) for remark in remarks if remark.kind == "missed"][: MAX_MISSED - len(missed)]
    return {
        "name": before.name or label,
        "label": label,
        "nodes": {"before": _size(before), "after": _size(after)},
        "ops": {"before": _histogram(before), "after": _histogram(after)},
        "memory": _memory(before, after, ops),
        "regions": regions,
        "families": [remark.windows.to_dict() for remark in remarks if remark.windows is not None],
        "missed": missed,
        "missed_count": len(misses) + sum(remark.kind == "missed" for remark in remarks),
    }


def totals(functions: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums over the functions; multiply-adds and bytes are of what could be counted."""
    regions = [region for function in functions for region in function["regions"]]
    families = [family for function in functions for family in function["families"]]
    merged: Counter[str] = Counter()
    for region in regions:
        merged.update(region["ops"])
    return {
        "functions": len(functions),
        "functions_changed": sum(bool(function["regions"] or function["families"]) for function in functions),
        "nodes_before": sum(function["nodes"]["before"] for function in functions),
        "nodes_after": sum(function["nodes"]["after"] for function in functions),
        "merged": sum(merged.values()),
        "merged_ops": dict(sorted(merged.items())),
        "multiply_adds": sum(region["multiply_adds"] or 0 for region in regions) + sum(map(_spared, families)),
        "bytes": sum(region["bytes"] or 0 for region in regions),
        "per_example": any(region["per_example"] for region in regions),
        "unknown_cost": any(region["multiply_adds"] is None for region in regions)
        or any(family["multiply_adds"]["before"] is None for family in families),
        "missed": sum(function["missed_count"] for function in functions),
    }


def _memory(before: Graph, after: Graph, ops: Ops) -> dict[str, Any] | None:
    """Estimated peaks of the bytes of results, by schedule; None where most sizes are unknown (graph files)."""
    growth = Growth(before, ops)
    if len(growth.before.unknown) > len(growth.before.sizes):
        return None
    old, new = growth.before, growth.before if after is before else growth.after(after)
    peaks = {name: {"before": getattr(old, name).peak, "after": getattr(new, name).peak} for name in SCHEDULES}
    return {**peaks, "per_example": old.per_example, "unknown": len(old.unknown)}


def _spared(family: dict[str, Any]) -> int:
    """Multiply-adds that a union takes less than its windows took."""
    counts = family["multiply_adds"]
    return 0 if counts["before"] is None else counts["before"] - counts["after"]


def scopes_of(names: Any) -> list[str]:
    """The name scopes (Keras layers, modules) of nodes: the part before the last slash."""
    return sorted({name.rpartition("/")[0] for name in names if "/" in name})


def _region(graph: Graph, region: Region, shape_of: ShapeOf, ops: Ops) -> dict[str, Any]:
    gone = [name for names in region.duplicates for name in names]
    cost: Cost = NO_COST
    for name in gone:
        cost = cost.plus(cost_of(graph.nodes[name], shape_of, ops))
    return {
        "survivor": list(region.survivor),
        "duplicates": [list(names) for names in region.duplicates],
        "scopes": scopes_of([*region.survivor, *gone]),
        "ops": dict(sorted(Counter(graph.nodes[name].op for name in gone).items())),
        "multiply_adds": cost.multiply_adds,
        "bytes": cost.bytes,
        "per_example": cost.per_example,
    }


def _refusal(remark: Remark) -> dict[str, Any]:
    return {
        "id": remark.id,
        "nodes": list(remark.nodes),
        "scopes": scopes_of(remark.nodes),
        "field": remark.field,
        "detail": remark.detail,
        "advice": CATALOGUE[remark.id].advice,
    }


def _size(graph: Graph) -> int:
    return sum(node.op != ARGUMENT_OP for node in graph.nodes.values())


def _histogram(graph: Graph) -> dict[str, int]:
    counts = Counter(node.op for node in graph.nodes.values() if node.op != ARGUMENT_OP)
    return dict(sorted(counts.items()))
