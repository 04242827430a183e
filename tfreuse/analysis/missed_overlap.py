"""Why overlapping windows are not shared: what stood in the way, where something that multiplies would have gained."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from math import prod

from tfreuse.analysis.cost import HEAVY
from tfreuse.analysis.families import Families, Unit
from tfreuse.analysis.receptive import clusters, hull
from tfreuse.analysis.receptive_ops import Refusal
from tfreuse.analysis.selections import View
from tfreuse.analysis.terms import Use
from tfreuse.ir.graph import Node, Value
from tfreuse.ir.order import data_ancestors

MAX_NODES = 16
"""Nodes named in one remark."""


def missed_overlap(families: Families) -> Iterator[tuple[Refusal, list[str]]]:
    """A refusal and the nodes that it is about, once for each group of equal ops."""
    lanes = families.lanes
    if not lanes.views and not lanes.unread:
        return
    heavy = _leading_to_work(families)
    yield from _stops(families, heavy)
    yield from _out_of_step(families, heavy)
    for unit in families.wasteful:
        if set(unit.nodes) & heavy:
            yield Refusal("overlap-no-gain", _waste(unit)), list(unit.nodes[:MAX_NODES])
    yield from _unread(families, heavy)


def _leading_to_work(families: Families) -> set[str]:
    """Live nodes that multiply, or whose results go into something that does."""
    graph = families.lanes.graph
    heavy = [name for name in families.live if graph.nodes[name].op in HEAVY or name in families.lanes.dilated]
    return data_ancestors(graph, heavy)


def _overlap(families: Families, views: list[View]) -> float:
    """How often, on average, each element of the union of selections of one term is selected; of the best cluster."""
    boxes = [tuple((at.least, at.length) for _, at in view.tables) for view in views]
    if not boxes or any(len(box) != len(boxes[0]) for box in boxes):
        return 0.0
    best = 0.0
    for group in clusters(boxes):
        union = prod(hull([boxes[place][axis] for place in group])[1] for axis in range(len(boxes[0])))
        rows = sum(
            prod(size for size, source in zip(views[place].sizes, views[place].whole, strict=True) if source is None)
            for place in group
        )
        best = max(best, rows / union)
    return best


def _stops(families: Families, heavy: set[str]) -> Iterator[tuple[Refusal, list[str]]]:
    lanes = families.lanes
    groups: dict[Hashable, list[tuple[str, Refusal, View]]] = {}
    for stop in lanes.stops:
        node = lanes.graph.nodes[stop.node]
        view = next((lanes.views[value] for value in node.inputs if value in lanes.views), None)
        if stop.node in heavy and view is not None:
            key = (stop.refusal.id, node.op, node.attrs, stop.term)
            groups.setdefault(key, []).append((stop.node, stop.refusal, view))
    for found in groups.values():
        if _overlap(families, [view for _, _, view in found]) >= families.least:
            yield found[0][1], [name for name, _, _ in found][:MAX_NODES]


def _out_of_step(families: Families, heavy: set[str]) -> Iterator[tuple[Refusal, list[str]]]:
    """Windows of equal ops that lie in different phases of a stride, and are not shared."""
    lanes, terms = families.lanes, families.lanes.terms.all
    groups: dict[Hashable, list[int]] = {}
    for number in lanes.computed:
        term = terms[number]
        (first, *_) = term.uses
        moves = any(link is not None and link.window is not None for link in first.links)
        if moves and term.node is not None and term.node.name not in lanes.dilated:  # those have stride 1
            links = tuple(None if link is None else link._replace(phase=0) for link in first.links)
            others = tuple(operand for operand in term.operands if not isinstance(operand, Use))
            key = (term.node.op, term.node.attrs, Use(first.term, links), others)
            groups.setdefault(key, []).append(number)
    for numbers in groups.values():
        left = [number for number in numbers if number not in families.units]
        names = [name for number in left for name in lanes.computed[number] if name in heavy]
        views = [lanes.views[lanes.graph.nodes[name].inputs[0]] for name in names]
        if len(numbers) > 1 and len(left) > 1 and _overlap(families, views) >= families.least:
            strides = {
                link.window.stride
                for number in left
                for link in terms[number].uses[0].links
                if link is not None and link.window is not None
            }
            detail = f"{len(names)} windows in {len(left)} phases of the stride {max(strides)}"
            yield Refusal("overlap-stride", detail), names[:MAX_NODES]


def _waste(unit: Unit) -> str:
    union = prod(length for _, length in unit.crops)
    return f"{len(unit.nodes)} windows have {unit.rows} elements together, the union from end to end {union}"


def _unread(families: Families, heavy: set[str]) -> Iterator[tuple[Refusal, list[str]]]:
    """Selections of one value by numbers, or on an axis of a size, that nobody knows."""
    lanes = families.lanes
    nodes = lanes.graph.nodes
    by_source: dict[Value, list[str]] = {}
    for name in lanes.unread:
        if name in heavy and not _is_small(families, nodes[name]):
            by_source.setdefault(nodes[name].inputs[0], []).append(name)
    for names in by_source.values():
        if len(names) > 1 and all(lanes.has_known_numbers(nodes[name]) for name in names):
            yield (
                Refusal("overlap-unknown-shape", f"the shape of {nodes[names[0]].inputs[0].node}"),
                names[:MAX_NODES],
            )


def _is_small(families: Families, node: Node) -> bool:
    """Whether the value is a vector or a scalar: shapes are cut up everywhere."""
    shape = families.lanes.shape_of(node.inputs[0])
    return shape is not None and len(shape) < 2
