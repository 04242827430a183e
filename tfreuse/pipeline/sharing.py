"""Builds what a family of windows shares: the union's part of each term, and the values cut out of it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from math import prod

from tfreuse.analysis.dilated import Dilated
from tfreuse.analysis.families import Families, Family, Unit, axes_dropped
from tfreuse.analysis.receptive import Crop
from tfreuse.analysis.selections import View
from tfreuse.analysis.terms import Term, Use
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.constants import INT32, int32_constant
from tfreuse.ir.graph import ARGUMENT_OP, Node, Value
from tfreuse.ops.registry import Ops
from tfreuse.pipeline.rewriter import Rewriter

SELECTION = "selection"
"""The lemma of these merges: selecting commutes with the ops. The proof has its own account of it."""

_INT32 = Attr("type", INT32)
_NO_CHANGES: Mapping[str, Attr | None] = {}


class Sharing:
    """Adds the nodes of one family to a graph, and lets its exits stand for the nodes that they replace."""

    def __init__(self, families: Families, family: Family, ops: Ops, rewriter: Rewriter) -> None:
        self._families, self._family, self._ops, self._rewriter = families, family, ops, rewriter
        self._terms = families.lanes.terms.all
        self._values: dict[object, Value] = {}
        self._types: dict[str, int] = {}

    def apply(self) -> None:
        """Share the family."""
        graph = self._rewriter.graph
        taken: set[str] = set()
        for name, unit in self._family.exits:
            view = self._families.lanes.views[Value(name)]
            value = self._cut(name, view, unit)
            node = graph.nodes[name]
            if value.node in taken:
                # Two equal nodes may stay apart for their users' sake (docs/adr/0005); this pass does not ask.
                value = self._add("Identity", (value,), {"T": self._type(value)}, node, f"{name}/again")
            taken.add(value.node)
            alias = self._ops.output_types(node.op, node.attrs)[0] if name in graph.kept else None
            self._rewriter.merge(name, value.node, alias, lemma=SELECTION)

    def _add(self, op: str, inputs: tuple[Value, ...], attrs: Mapping[str, Attr], like: Node, name: str) -> Value:
        node = Node(self._rewriter.fresh_name(name), op, inputs, attrs=Attrs(attrs), device=like.device)
        self._rewriter.add(node, like.name)
        self._types[node.name] = self._ops.output_types(op, node.attrs)[0]
        return Value(node.name)

    def _constant(self, shape: tuple[int, ...], numbers: tuple[int, ...], like: Node, name: str) -> Value:
        key = ("constant", shape, numbers, like.device)
        if key not in self._values:
            node = int32_constant(self._rewriter.fresh_name(name), shape, numbers, like.device)
            self._rewriter.add(node, like.name)
            self._values[key] = Value(node.name)
        return self._values[key]

    def _type(self, value: Value) -> Attr:
        known = self._types.get(value.node)
        if known is None:
            node = self._rewriter.graph.nodes[value.node]
            is_argument = node.op == ARGUMENT_OP
            known = node.attrs.value("T") if is_argument else self._ops.output_types(node.op, node.attrs)[value.port]
        return Attr("type", known)

    def unit(self, unit: Unit) -> Value:
        """The union's part of a term, computed."""
        if unit not in self._values:
            term = self._terms[unit.term]
            assert term.node is not None
            like = self._rewriter.graph.nodes[unit.nodes[0]]
            operands = tuple(
                self._part(self._terms[operand.term], self._families.crops_by_axis(term, operand, unit.crops), like)
                if isinstance(operand, Use)
                else operand
                for operand in term.operands
            )
            if term.node.name in self._families.lanes.dilated:
                self._values[unit] = self._dilated(self._families.lanes.dilated[term.node.name], unit, operands, like)
            else:
                self._values[unit] = self._copied(term.node, operands, like, f"{like.name}/union")
        return self._values[unit]

    def _copied(
        self,
        node: Node,
        inputs: tuple[Value, ...],
        like: Node,
        name: str,
        changes: Mapping[str, Attr | None] = _NO_CHANGES,
    ) -> Value:
        return self._add(node.op, inputs, node.attrs.updated({**changes, "_output_shapes": None}), like, name)

    def _dilated(self, found: Dilated, unit: Unit, operands: tuple[Value, ...], like: Node) -> Value:
        """The nodes of a dilated convolution again, for an operand of another length."""
        term = self._terms[unit.term]
        crops = self._families.crops_by_axis(term, term.uses[0], unit.crops)
        pads = found.rearranged({axis: length for axis, (_, length) in crops.items()})
        value, *others = operands
        for node in found.nodes:
            name = f"{like.name}/{'union' if node is found.nodes[-1] else node.op}"
            if node in (found.nodes[0], found.nodes[-1]):
                pairs, key = (pads[0], "Tpaddings") if node is found.nodes[0] else (pads[1], "Tcrops")
                numbers = tuple(number for pair in pairs for number in pair)
                added = self._constant((len(pairs), 2), numbers, like, f"{like.name}/pads")
                value = self._copied(node, (value, node.inputs[1], added), like, name, {key: _INT32})
            else:
                rest = tuple(others) if node is found.convolution else node.inputs[1:]
                value = self._copied(node, (value, *rest), like, name)
        return value

    def _part(self, term: Term, crops: Mapping[int, Crop], like: Node) -> Value:
        """A part of a term: crops of some axes, the whole of the others."""
        if term.base is not None:
            return self._sliced(term.base, dict(crops), term.sizes, like)
        if term.node is None:
            return self._reshaped(term, crops, like)
        unit = self._families.unit_of(term, tuple(crops[axis] for axis in sorted(term.indexed)))
        assert unit is not None
        value = self.unit(unit)
        return self._sliced(value, self._relative(term, unit, crops), self._sizes(term, unit), like)

    def _relative(self, term: Term, unit: Unit, crops: Mapping[int, Crop]) -> dict[int, Crop]:
        starts = dict(zip(sorted(term.indexed), (start for start, _ in unit.crops), strict=True))
        return {axis: (start - starts.get(axis, 0), length) for axis, (start, length) in crops.items()}

    def _sizes(self, term: Term, unit: Unit) -> tuple[int, ...]:
        """The shape of a unit's value, -1 where it is not known."""
        lengths = dict(zip(sorted(term.indexed), (length for _, length in unit.crops), strict=True))
        return tuple(lengths.get(axis, size) for axis, size in enumerate(term.sizes))

    def _sliced(self, value: Value, crops: Mapping[int, Crop], sizes: tuple[int, ...], like: Node) -> Value:
        crops = {axis: crop for axis, crop in crops.items() if crop != (0, sizes[axis])}
        if not crops:
            return value
        rank = range(len(sizes))
        begin = tuple(crops.get(axis, (0, -1))[0] for axis in rank)
        size = tuple(crops.get(axis, (0, -1))[1] for axis in rank)
        key = ("slice", value, begin, size)
        if key not in self._values:
            operands = (
                value,
                self._constant((len(begin),), begin, like, f"{like.name}/begin"),
                self._constant((len(size),), size, like, f"{like.name}/size"),
            )
            attrs = {"T": self._type(value), "Index": _INT32}
            self._values[key] = self._add("Slice", operands, attrs, like, f"{like.name}/window")
        return self._values[key]

    def _reshaped(self, term: Term, crops: Mapping[int, Crop], like: Node) -> Value:
        (use,) = term.uses
        carried = {axis: link.axis for axis, link in enumerate(use.links) if link is not None and axis in crops}
        value = self._part(self._terms[use.term], {old: crops[axis] for axis, old in carried.items()}, like)
        shape = tuple(crops[axis][1] if axis in carried else size for axis, size in enumerate(term.sizes))
        value = self._with_shape(value, shape, like)
        return self._sliced(value, {axis: crop for axis, crop in crops.items() if axis not in carried}, shape, like)

    def _with_shape(self, value: Value, shape: tuple[int, ...], like: Node) -> Value:
        key = ("reshape", value, shape)
        if key not in self._values:
            sizes = self._constant((len(shape),), shape, like, f"{like.name}/shape")
            attrs = {"T": self._type(value), "Tshape": _INT32}
            self._values[key] = self._add("Reshape", (value, sizes), attrs, like, f"{like.name}/fold")
        return self._values[key]

    def _squeezed(self, value: Value, axes: list[int], like: Node) -> Value:
        key = ("squeeze", value, tuple(axes))
        if axes and key not in self._values:
            attrs = {"T": self._type(value), "squeeze_dims": Attr("list", ("i", tuple(axes)))}
            self._values[key] = self._add("Squeeze", (value,), attrs, like, f"{like.name}/squeezed")
        return self._values[key] if axes else value

    def _cut(self, name: str, view: View, unit: Unit) -> Value:
        """The value of one exit, out of its unit."""
        term, like = self._terms[unit.term], self._rewriter.graph.nodes[name]
        value, sizes = self.unit(unit), self._sizes(term, unit)
        places = dict(view.tables)
        dropped = axes_dropped(view)
        if dropped is not None:
            crops = self._relative(term, unit, {axis: (at.start, at.length) for axis, at in places.items()})
            gone = [axis for axis in dropped if sizes[axis] == 1]  # these can go before, once for all windows
            value = self._squeezed(value, gone, like)
            left = [axis for axis in range(len(sizes)) if axis not in gone]
            crops = {place: crops[axis] for place, axis in enumerate(left) if axis in crops}
            value = self._sliced(value, crops, tuple(sizes[axis] for axis in left), like)
            return self._squeezed(value, [left.index(axis) for axis in dropped if axis not in gone], like)
        axes = sorted(places)
        starts = self._relative(term, unit, dict.fromkeys(axes, (0, 0)))
        free = [axis for axis, source in enumerate(view.whole) if source is None]
        rows: list[int] = []
        for chosen in product(*(range(view.sizes[axis]) for axis in free)):
            row = 0
            for axis in axes:
                at = places[axis]
                steps = sum(along[chosen[free.index(place)]] for place, along in at.along)
                row = row * sizes[axis] + at.start + steps + starts[axis][0]
            rows.append(row)
        first = axes[0]
        if len(axes) > 1:
            merged = prod(sizes[axis] for axis in axes)
            value = self._with_shape(value, (*sizes[:first], merged, *sizes[axes[-1] + 1 :]), like)
        key = ("gather", value, first, tuple(rows), tuple(view.sizes[axis] for axis in free))
        if key not in self._values:
            shape = tuple(view.sizes[axis] for axis in free)
            operands = (
                value,
                self._constant(shape, tuple(rows), like, f"{like.name}/rows"),
                self._constant((), (first,), like, f"{like.name}/axis"),
            )
            attrs = {"Tparams": self._type(value), "Tindices": _INT32, "Taxis": _INT32, "batch_dims": Attr("i", 0)}
            self._values[key] = self._add("GatherV2", operands, attrs, like, f"{like.name}/windows")
        return self._values[key]
