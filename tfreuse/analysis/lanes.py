"""The walk that finds what each value is a selection of, and where a selection stops and why."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from tfreuse.analysis.applying import Applied, Applying, Found, drawn_for_each
from tfreuse.analysis.congruence import Congruence
from tfreuse.analysis.dilated import LAST, Dilated, dilated
from tfreuse.analysis.effects import PURE
from tfreuse.analysis.kinds import Kinds
from tfreuse.analysis.receptive_ops import Refusal
from tfreuse.analysis.reshaping import groups_of, rearranged, reshaped, target_of
from tfreuse.analysis.selecting import SELECTING, SOURCES, selected
from tfreuse.analysis.selections import View, everything
from tfreuse.analysis.shapes import Shape, stated_shapes
from tfreuse.analysis.terms import Terms
from tfreuse.ir.attrs import GRADIENT
from tfreuse.ir.graph import Graph, Node, Value
from tfreuse.ops.elements import BINARY, REDUCTIONS, UNARY
from tfreuse.ops.integers import Integers
from tfreuse.ops.registry import Ops


class Stop(NamedTuple):
    """Where a selection ends: the node that it does not go through, the term behind it, and the refusal."""

    node: str
    term: int
    refusal: Refusal


class Lanes:
    """Views of the values of one graph that are selections; `order` is topological.

    `computed` has the nodes that are ops applied to a selection, by term; `stops` where there is no term.
    """

    def __init__(
        self,
        graph: Graph,
        ops: Ops,
        congruence: Congruence,
        kinds: Kinds,
        order: list[str],
        alone: frozenset[str],
    ) -> None:
        self.graph = graph
        self.terms = Terms()
        self.views: dict[Value, View] = {}
        self.computed: dict[int, list[str]] = {}
        self.stops: list[Stop] = []
        self.unread: list[str] = []
        """Nodes that select by numbers which are not known."""
        self.dilated: dict[str, Dilated] = {}
        """Convolutions of several nodes, by the last of them, which stands for all in `computed` and in terms."""
        self.shape_of = stated_shapes(graph)
        self._ops, self._congruence, self._kinds, self._order = ops, congruence, kinds, order
        self._alone = alone.union(graph.arguments, graph.frozen)
        self._firsts: dict[int, str] = {}
        self._integers = Integers(graph.nodes, graph.arguments)
        self._rules = Applying(graph, ops, self.terms, self.views, self.key, self.shape_of, self._integers)
        for name in order:
            node = graph.nodes[name]
            is_reached = self.views and any(value in self.views for value in node.inputs)
            if is_reached or node.op in SOURCES or (node.op == LAST and self.views):
                self._visit(node)

    def key(self, value: Value) -> int:
        """One number for equal values."""
        return self._congruence.number[value.node] + value.port

    def has_known_numbers(self, node: Node) -> bool:
        """Whether the numbers that a node selects by are known."""
        return all(self._integers.list_of(operand) is not None for operand in node.inputs[1:])

    def view(self, value: Value) -> View | None:
        """The view of a value; of one that is no selection, the whole of itself. None if its rank is not known."""
        found = self.views.get(value)
        if found is None:
            shape = self.shape_of(value)
            if shape is None:
                return None
            key = self.key(value)
            if not self._firsts:
                number = self._congruence.number
                self._firsts = {number[name]: name for name in reversed(self._order)}
            first = Value(self._firsts[self._congruence.number[value.node]], value.port)
            found = everything(self.terms.base(first, key, shape).number, shape)
        return found

    def nodes_of(self, name: str) -> tuple[Node, ...]:
        """The nodes whose work one in `computed` stands for."""
        return self.dilated[name].nodes if name in self.dilated else (self.graph.nodes[name],)

    def operands_of(self, name: str) -> tuple[Value, ...]:
        """What they take from others, in the order of the operands of the term."""
        return self.dilated[name].operands if name in self.dilated else self.graph.nodes[name].inputs

    def _stays(self, node: Node) -> bool:
        """Whether a node must stay as it is."""
        return node.name in self._alone or bool(node.controls) or GRADIENT in node.attrs or node.attrs.is_colocated

    def _visit(self, node: Node) -> None:
        if self._stays(node):
            return
        if self._kinds[node.name] != PURE or "stateless-random" in self._ops.facts(node.op).flags:
            self._stop(node, Refusal("overlap-random", f"{node.op} is no function of its operands alone"))
        elif node.op in SELECTING:
            self._select(node)
        elif node.op == "Reshape":
            view = self.view(node.inputs[0])
            target = None if view is None else self._target(node, view)
            changed = None if view is None or target is None else reshaped(self.terms, view, target)
            if changed is not None:
                self._keep(Value(node.name), changed)
        elif node.op == LAST:
            self._put_back(node)
        else:
            self._apply(node)

    def _select(self, node: Node) -> None:
        def view_of(place: int) -> View | None:
            return self._source(node.inputs[place])

        for port in range(len(self._ops.output_types(node.op, node.attrs))):
            view = selected(node, port, view_of, self._integers)
            if view is not None and not (view.is_everything and self.terms.all[view.term].base is not None):
                self._keep(Value(node.name, port), view)
            elif view is None and node.op in ("Slice", "StridedSlice"):
                self.unread.append(node.name)

    def _source(self, value: Value) -> View | None:
        """The view of what a selection is made of: of a value that is another with axes added or split, one of that,
        as `tf.signal.frame` and `tf.repeat` make it before they gather."""
        node = self.graph.nodes[value.node]
        if value in self.views or node.name in self._alone or not node.inputs:
            return self.view(value)
        found: View | None = None
        if node.op == "ExpandDims":
            found = selected(node, 0, lambda place: self._source(node.inputs[place]), self._integers)
        elif node.op == "Reshape":
            view = self._source(node.inputs[0])
            target = None if view is None else self._target(node, view)
            groups = None if view is None or target is None else groups_of(view.sizes, target)
            if view is not None and target is not None and groups and all(len(old) < 2 for old, _ in groups):
                found = view
                end = len(view.sizes)
                for old, new in reversed(groups):
                    end = old[0] if old else end
                    if found is not None and len(old) + len(new) != 2:
                        found = rearranged(found, old, end, tuple(target[axis] for axis in new))
        return found or self.view(value)

    def _target(self, node: Node, view: View) -> Shape | None:
        return target_of(self._integers.list_of(node.inputs[1]), self.shape_of(Value(node.name)), view)

    def _keep(self, value: Value, view: View) -> bool:
        """Note a view that agrees with what is known of the value's shape."""
        shape = self.shape_of(value)
        view = self._with_whole_axes(view)
        if shape is not None:
            if len(shape) != len(view.sizes):
                return False
            if any(a >= 0 and b >= 0 and a != b for a, b in zip(shape, view.sizes, strict=True)):
                return False
        self.views[value] = view
        return True

    def _with_whole_axes(self, view: View) -> View:
        """The view with axes that are, element by element, the whole of one of the term's told as such."""
        term = self.terms.all[view.term]
        whole, tables = list(view.whole), dict(view.tables)
        for source, at in view.tables:
            size = term.sizes[source]
            if source in term.indexed or size < 2 or at.start or len(at.along) != 1:
                continue
            ((axis, steps),) = at.along
            if steps == range(size) and not any(other.on(axis) for place, other in tables.items() if place != source):
                whole[axis] = source
                del tables[source]
        return View(view.term, view.sizes, tuple(whole), tuple(sorted(tables.items())))

    def _stop(self, node: Node, refusal: Refusal) -> None:
        for value in node.inputs:
            if value in self.views:
                self.stops.append(Stop(node.name, self.views[value].term, refusal))
                return

    def _put_back(self, node: Node) -> None:
        """The end of a dilated convolution, at the beginning of which the selection seemed to stop."""

        def rank_of(value: Value) -> int | None:
            return len(self.views[value].sizes) if value in self.views else None

        found = dilated(self.graph, node, self._integers, self.shape_of, rank_of)
        if found is None:
            return
        if any(self._stays(step) or self._kinds[step.name] != PURE for step in found.nodes):
            return
        first = found.nodes[0]
        self.stops = [stop for stop in self.stops if stop.node != first.name]
        applied = self._rules.along_axes(found.convolution, Value(node.name), found.operands, found.kinds)
        if isinstance(applied, Refusal):
            self._stop(first, applied)
            return
        self.dilated[node.name] = found
        keys = tuple(self._congruence.attr_keys.key(step) for step in found.nodes)
        self._applied(node, (keys, found.kinds), applied)

    def _apply(self, node: Node) -> None:
        """An op on selections: the same selection, moved by windows, of the op's term."""
        if len(self._ops.output_types(node.op, node.attrs)) == 0:
            return
        found: Found
        if node.op in UNARY or node.op in BINARY:
            found = self._rules.elementwise(node)
        elif node.op in REDUCTIONS:
            found = self._rules.reduced(node)
        else:
            found = self._rules.by_axes(node)
        if isinstance(found, Refusal):
            drawn = [
                value.node for value in node.inputs if value not in self.views and self._rules.is_drawn(value.node)
            ]
            self._stop(node, drawn_for_each(drawn[0]) if drawn else found)
            return
        self._applied(node, self._congruence.attr_keys.key(node), found)

    def _applied(self, node: Node, key: Hashable, found: Applied) -> None:
        view, operands, keys, sizes = found
        indexed = frozenset(axis for axis, _ in view.tables)
        term = self.terms.applied(node, key, operands, keys, sizes, indexed)
        if self._keep(Value(node.name), view.of(term.number)):
            self.computed.setdefault(term.number, []).append(node.name)
