"""Families of overlapping windows: what parts of terms are computed once, and which values are cut out of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from tfreuse.analysis.cost import HEAVY, Cost, cost_of
from tfreuse.analysis.lanes import Lanes
from tfreuse.analysis.live import live_nodes
from tfreuse.analysis.receptive import Crop, clusters, hull
from tfreuse.analysis.selections import View
from tfreuse.analysis.terms import Term, Use
from tfreuse.ir.graph import Value
from tfreuse.ops.registry import Ops

Crops = tuple[Crop, ...]
"""A part of a term: a crop for each of its indexed axes, in the order of the axes."""


class Unit(NamedTuple):
    """A part of a term that is worth computing once, and the nodes that compute parts of it."""

    term: int
    crops: Crops
    nodes: tuple[str, ...]
    rows: int
    """Elements along the indexed axes that the nodes compute together."""

    @property
    def overlap(self) -> float:
        """How often each element of the union is computed, on average."""
        return self.rows / prod(length for _, length in self.crops)


@dataclass(frozen=True)
class Family:
    """Units that feed each other, and the nodes that are cut out of them for others to use, each with its unit."""

    units: tuple[Unit, ...]
    exits: tuple[tuple[str, Unit], ...]

    @property
    def nodes(self) -> list[str]:
        """All nodes whose work is shared."""
        return [name for unit in self.units for name in unit.nodes]


class Families:
    """The families of one graph; a unit has to overlap `least` times for each element of its union."""

    def __init__(self, lanes: Lanes, ops: Ops, order: list[str], least: float) -> None:
        self.lanes = lanes
        self.least = least
        self._ops = ops
        self.live = live_nodes(lanes.graph)
        self._order = order
        self.units: dict[int, list[Unit]] = {}
        self.wasteful: list[Unit] = []
        """What overlaps and would take more than it saves."""
        for number in sorted(lanes.computed):
            self._share(lanes.terms.all[number])

    def crops_of(self, view: View, term: Term) -> Crops:
        """The part of a term that a view lies in."""
        places = dict(view.tables)
        return tuple((places[axis].least, places[axis].length) for axis in sorted(term.indexed))

    def unit_of(self, term: Term, crops: Crops) -> Unit | None:
        """The unit of a term that has a part in it."""
        for unit in self.units.get(term.number, ()):
            if all(a <= c and c + d <= a + b for (a, b), (c, d) in zip(unit.crops, crops, strict=True)):
                return unit
        return None

    def operand_crops(self, term: Term, use: Use, crops: Crops) -> Crops:
        """The part of an operand that a part of a term depends on, on the axes that the operand has indexed."""
        operand = self.lanes.terms.all[use.term]
        by_axis = self.crops_by_axis(term, use, crops)
        return tuple(by_axis[axis] for axis in sorted(operand.indexed))

    def crops_by_axis(self, term: Term, use: Use, crops: Crops) -> dict[int, Crop]:
        """The same on all axes of the operand that are not needed whole."""
        found: dict[int, Crop] = {}
        for axis, crop in zip(sorted(term.indexed), crops, strict=True):
            link = use.links[axis]
            if link is not None:
                found[link.axis] = link.operand_crop(crop)
        return found

    def _share(self, term: Term) -> None:
        """Find the units of one term; those of its operands are known."""
        views = self.lanes.views
        nodes = [name for name in self.lanes.computed[term.number] if name in self.live]
        boxes = [self.crops_of(views[Value(name)], term) for name in nodes]
        for group in clusters(boxes):
            crops = tuple(hull([boxes[place][axis] for place in group]) for axis in range(len(boxes[0])))
            rows = sum(_rows(views[Value(nodes[place])]) for place in group)
            unit = Unit(term.number, crops, tuple(nodes[place] for place in group), rows)
            if not self._is_fed(term, crops):
                continue
            if unit.overlap >= self.least:
                self.units.setdefault(term.number, []).append(unit)
            elif len(group) > 1 or rows > prod(length for _, length in crops):
                self.wasteful.append(unit)

    def _is_fed(self, term: Term, crops: Crops) -> bool:
        """Whether all operands are values of the graph, or parts of units."""
        for use in term.uses:
            operand = self.lanes.terms.all[use.term]
            needed = self.operand_crops(term, use, crops)
            if operand.base is not None:
                continue
            if operand.node is None and not self._is_fed(operand, needed):
                return False
            if operand.node is not None and self.unit_of(operand, needed) is None:
                return False
        return True

    def feeders(self, unit: Unit) -> Iterator[Unit]:
        """The units that a unit's operands are parts of."""
        work = [(self.lanes.terms.all[unit.term], unit.crops)]
        while work:
            term, crops = work.pop()
            for use in term.uses:
                operand = self.lanes.terms.all[use.term]
                needed = self.operand_crops(term, use, crops)
                if operand.node is not None:
                    found = self.unit_of(operand, needed)
                    if found is not None:
                        yield found
                elif operand.base is None:
                    work.append((operand, needed))

    def all(self) -> list[Family]:
        """The families in which something is multiplied, in the order of their first nodes."""
        group: dict[Unit, int] = {}
        for units in self.units.values():
            for unit in units:
                group[unit] = len(group)
        for unit in list(group):
            for feeder in self.feeders(unit):
                old, new = group[unit], group[feeder]
                group = {other: new if number == old else number for other, number in group.items()}
        members: dict[int, list[Unit]] = {}
        for unit, number in group.items():
            members.setdefault(number, []).append(unit)
        heavy = [units for units in members.values() if any(self._is_heavy(unit) for unit in units)]
        exits = self._exits({unit for units in heavy for unit in units})
        return [
            Family(tuple(units), tuple((name, unit) for name, unit in exits if unit in units))
            for units in heavy
            if any(unit in units for _, unit in exits)
        ]

    def _is_heavy(self, unit: Unit) -> bool:
        return any(node.op in HEAVY for node in self.lanes.nodes_of(unit.nodes[0]))

    def _exits(self, units: set[Unit]) -> list[tuple[str, Unit]]:
        """The nodes that somebody still needs when all units are shared: what is found on the way up from the roots."""
        graph = self.lanes.graph
        inside: dict[str, Unit] = {}
        used_ports = {value for node in graph.nodes.values() for value in node.inputs if value.port}
        multiple = {value.node for value in used_ports}
        for value, view in self.lanes.views.items():
            term = self.lanes.terms.all[view.term]
            if value.port or value.node in multiple or value.node not in self.live or term.node is None:
                continue
            if not {axis for axis, _ in view.tables} >= term.indexed or not can_cut(view, term):
                continue
            if graph.nodes[value.node].op in ("Split", "SplitV", "Unpack"):
                continue
            unit = self.unit_of(term, self.crops_of(view, term))
            if unit is not None and unit in units and value.node not in graph.arguments:
                inside[value.node] = unit
        exits: dict[str, Unit] = {}
        apart = graph.frozen.difference(value.node for _, value in graph.outputs)
        starts = [name for name in graph.roots - apart if name in graph.nodes]
        work = starts if not graph.roots <= set(graph.arguments) else list(graph.nodes)
        seen: set[str] = set()
        while work:
            name = work.pop()
            if name in seen or name not in self.live:
                continue
            seen.add(name)
            if name in inside:
                exits[name] = inside[name]
                continue
            work += [source for source, _ in graph.nodes[name].inputs]
            work += graph.nodes[name].controls
        return [(name, exits[name]) for name in self._order if name in exits]

    def cost(self, unit: Unit) -> tuple[Cost, Cost]:
        """What the nodes of a unit cost together, and what the union costs."""
        together = Cost(0, 0)
        for node in (node for name in unit.nodes for node in self.lanes.nodes_of(name)):
            together = together.plus(cost_of(node, self.lanes.shape_of, self._ops))
        multiply_adds, size = (
            None if amount is None else round(amount / unit.overlap)
            for amount in (together.multiply_adds, together.bytes)
        )
        return together, Cost(multiply_adds, size, together.per_example)

    def memory(self, family: Family) -> tuple[int, int, str]:
        """What the results of the windows' nodes take, and those of the union and the cuts, in bytes; where a shape is
        not known, in elements along the axes that are selected."""
        graph, shape_of = self.lanes.graph, self.lanes.shape_of
        costs = [self.cost(unit) for unit in family.units]
        cuts = [cost_of(graph.nodes[name], shape_of, self._ops).bytes for name, _ in family.exits]
        together, union = [cost.bytes for cost, _ in costs], [cost.bytes for _, cost in costs]
        if None not in together and None not in cuts:
            return sum(filter(None, together)), sum(filter(None, union)) + sum(filter(None, cuts)), "bytes"
        rows = sum(prod(length for _, length in unit.crops) for unit in family.units)
        rows += sum(_rows(self.lanes.views[Value(name)]) for name, _ in family.exits)
        return sum(unit.rows for unit in family.units), rows, "elements on the axes that are selected"


def _rows(view: View) -> int:
    """Elements along the axes of a value that are selected."""
    return prod(size for size, source in zip(view.sizes, view.whole, strict=True) if source is None)


def axes_dropped(view: View) -> list[int] | None:
    """The term's axes that are to go after a crop has left one element of them; None if the view is no such crop."""
    places = dict(view.tables)
    dropped: list[int] = []
    axis = 0
    for source in range(view.rank):
        steps = places[source].along if source in places else None
        if axis < len(view.sizes):
            size = view.sizes[axis]
            is_run = steps == (((axis, range(size)),) if size > 1 else ()) and view.whole[axis] is None
            if view.whole[axis] == source or is_run:
                axis += 1
                continue
        if steps != ():
            return None
        dropped.append(source)
    return dropped if axis == len(view.sizes) else None


def can_cut(view: View, term: Term) -> bool:
    """Whether a view can be had with one Slice, or with one GatherV2 on adjacent axes in their order."""
    if axes_dropped(view) is not None:
        return True
    axes = [axis for axis, _ in view.tables]
    unknown = [axis for axis, size in enumerate(term.sizes) if size < 0 and axis not in term.indexed]
    if len(axes) > 1 and (len(unknown) > 1 or set(unknown) & set(axes)):
        return False
    free = [axis for axis, source in enumerate(view.whole) if source is None]
    if not axes or axes != list(range(axes[0], axes[-1] + 1)) or free != list(range(axes[0], axes[0] + len(free))):
        return False
    kept = [source for source in view.whole if source is not None]
    if kept != [axis for axis in range(view.rank) if axis not in axes]:
        return False
    return prod(view.sizes[axis] for axis in free) <= 1 << 20
