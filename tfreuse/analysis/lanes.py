"""The walk that finds what each value is a selection of, and where a selection stops and why."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from tfreuse.analysis.congruence import Congruence
from tfreuse.analysis.effects import PURE
from tfreuse.analysis.receptive import Window
from tfreuse.analysis.receptive_ops import ROW, SHAPE_KEEPING, TRAILING, WHOLE, AxisKind, Refusal, axes_of
from tfreuse.analysis.selecting import SELECTING, SOURCES, groups_of, rearranged, selected
from tfreuse.analysis.selections import View, everything, index, take
from tfreuse.analysis.shapes import Shape, stated_shapes
from tfreuse.analysis.terms import Link, Operand, Terms, Use
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
        kinds: dict[str, str],
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
        self.shape_of = stated_shapes(graph)
        self._ops, self._congruence, self._kinds, self._order = ops, congruence, kinds, order
        self._alone = alone.union(graph.arguments, graph.frozen)
        self._firsts: dict[int, str] = {}
        self._integers = Integers(graph.nodes, graph.arguments)
        for name in order:
            node = graph.nodes[name]
            if node.op in SOURCES or (self.views and any(value in self.views for value in node.inputs)):
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

    def _visit(self, node: Node) -> None:
        if node.name in self._alone or node.controls or GRADIENT in node.attrs or node.attrs.is_colocated:
            return
        if self._kinds[node.name] != PURE or "stateless-random" in self._ops.facts(node.op).flags:
            self._stop(node, Refusal("overlap-random", f"{node.op} is no function of its operands alone"))
        elif node.op in SELECTING:
            self._select(node)
        elif node.op == "Reshape":
            self._note(node, self._reshaped(node))
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
            target = self._target(node, view)
            groups = None if view is None or target is None else groups_of(view.sizes, target)
            if view is not None and target is not None and groups and all(len(old) < 2 for old, _ in groups):
                found = view
                end = len(view.sizes)
                for old, new in reversed(groups):
                    end = old[0] if old else end
                    if found is not None and len(old) + len(new) != 2:
                        found = rearranged(found, old, end, tuple(target[axis] for axis in new))
        return found or self.view(value)

    def _note(self, node: Node, view: View | None) -> None:
        if view is not None:
            self._keep(Value(node.name), view)

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

    def _apply(self, node: Node) -> None:
        """An op on selections: the same selection, moved by windows, of the op's term."""
        if len(self._ops.output_types(node.op, node.attrs)) == 0:
            return
        if node.op in UNARY or node.op in BINARY:
            found = self._elementwise(node)
        elif node.op in REDUCTIONS:
            found = self._reduced(node)
        else:
            found = self._by_axes(node)
        if isinstance(found, Refusal):
            drawn = [value.node for value in node.inputs if value not in self.views and self._is_drawn(value.node)]
            self._stop(node, _drawn(drawn[0]) if drawn else found)
            return
        view, operands, keys, sizes = found
        indexed = frozenset(axis for axis, _ in view.tables)
        term = self.terms.applied(node, self._congruence.attr_keys.key(node), operands, keys, sizes, indexed)
        if self._keep(Value(node.name), view.of(term.number)):
            self.computed.setdefault(term.number, []).append(node.name)

    def _elementwise(self, node: Node) -> _Found:
        views = _levelled([self.views.get(value) for value in node.inputs])
        first = next(view for view in views if view is not None)
        sizes = list(self.terms.all[first.term].sizes)
        operands: list[Operand] = []
        keys: list[Hashable] = []
        for value, view in zip(node.inputs, views, strict=True):
            if view is None:
                reason = self._broadcasts(value, first)
                if reason is not None:
                    return reason
                operands.append(value)
                keys.append(self.key(value))
                continue
            if (view.sizes, view.whole) != (first.sizes, first.whole) or not _alike(view, first):
                return Refusal("overlap-cross-row", f"{node.op} takes selections that differ in more than their start")
            places = dict(view.tables)
            links = tuple(
                Link(axis, places[axis].start - first.index_on(axis).start if axis in places else 0)
                for axis in range(first.rank)
            )
            operands.append(Use(view.term, links))
            keys.append(operands[-1])
        return first, tuple(operands), tuple(keys), tuple(sizes)

    def _broadcasts(self, value: Value, view: View) -> Refusal | None:
        """Why a value is not the same for each row of a selection, if it is not."""
        shape = self.shape_of(value)
        if shape is None:
            return Refusal("overlap-unknown-shape", f"the rank of {value.node} is not known")
        for back, size in enumerate(reversed(shape), 1):
            place = len(view.sizes) - back
            fits = place >= 0 and view.whole[place] is not None and view.whole[place] == view.rank - back
            if size != 1 and not fits:
                return Refusal("overlap-cross-row", f"{value.node} has a size of its own on an axis that is selected")
        if len(shape) > view.rank:
            return Refusal("overlap-cross-row", f"{value.node} has more axes")
        return None

    def _is_drawn(self, name: str) -> bool:
        """Whether a random op stands close above."""
        work, seen = [name], set[str]()
        while work and len(seen) < 16:
            name = work.pop()
            facts = self._ops.facts(self.graph.nodes[name].op)
            if "stateless-random" in facts.flags or any(access.target == "@rng" for access in facts.accesses):
                return True
            seen.add(name)
            work += [source for source, _ in self.graph.nodes[name].inputs if source not in seen]
        return False

    def _others(self, node: Node) -> tuple[list[Operand], list[Hashable]] | Refusal:
        if any(value in self.views for value in node.inputs[1:]):
            return Refusal("overlap-cross-row", f"{node.op} takes a selection as another operand than its first")
        others: list[Operand] = list(node.inputs[1:])
        keys: list[Hashable] = [self.key(value) for value in node.inputs[1:]]
        return others, keys

    def _by_axes(self, node: Node) -> _Found:
        others = self._others(node)
        if isinstance(others, Refusal):
            return others
        view = self.views[node.inputs[0]]
        kinds = axes_of(node, len(view.sizes), self.shape_of)
        if isinstance(kinds, Refusal):
            return kinds
        if len(kinds) != len(view.sizes):
            return Refusal("overlap-cross-row", f"{node.op} takes another rank")
        is_trailing = node.op in TRAILING or kinds == (*(ROW,) * (len(kinds) - 1), WHOLE)
        if not is_trailing or node.op == "MatMul" or view.rank < 2 or view.whole[-1] != view.rank - 1:
            lifted = self._aligned(view)
            if lifted is None:
                return Refusal("overlap-cross-row", f"{node.op} takes selections along other axes than it works on")
            view = lifted
        links: list[Link | None] = [Link(axis) for axis in range(view.rank)]
        for axis, kind in enumerate(kinds):
            if kind == WHOLE and view.whole[axis] is None:
                return Refusal("overlap-cross-row", f"{node.op} needs the whole of axis {axis}, which is selected")
            if isinstance(kind, Window):
                moved = _through_window(node, view, axis, kind)
                if isinstance(moved, Refusal):
                    return moved
                view, links[axis] = moved
        shaped = tuple(
            size if view.whole[axis] is None else self._length(node, axis, kinds[axis], size)
            for axis, size in enumerate(view.sizes)
        )
        sizes = [-1] * view.rank
        for axis, source in enumerate(view.whole):
            if source is not None:
                sizes[source] = shaped[axis]
        use = Use(view.term, tuple(links))
        return View(view.term, shaped, view.whole, view.tables), (use, *others[0]), (use, *others[1]), tuple(sizes)

    def _length(self, node: Node, axis: int, kind: AxisKind, size: int) -> int:
        """The length of an axis of the result that is taken whole, -1 where it is not known."""
        stated = self.shape_of(Value(node.name))
        if stated is not None and stated[axis] >= 0:
            return stated[axis]
        if isinstance(kind, Window):
            return kind.result_length(size) if size > 0 else -1
        if kind == ROW or node.op in SHAPE_KEEPING:
            return size
        taps = self.shape_of(node.inputs[1]) if node.op in ("Conv2D", "Conv3D") else None
        return -1 if taps is None else taps[-1]

    def _reduced(self, node: Node) -> _Found:
        others = self._others(node)
        axes = self._integers.list_of(node.inputs[1])
        if isinstance(others, Refusal) or axes is None:
            return others if isinstance(others, Refusal) else Refusal("overlap-cross-row", f"the axes of {node.op}")
        view = self._aligned(self.views[node.inputs[0]])
        if view is None:
            return Refusal("overlap-cross-row", f"{node.op} works on other axes than were selected")
        rank = view.rank
        gone = {axis % rank for axis in axes}
        if any(view.whole[axis] is None for axis in gone):
            return Refusal("overlap-cross-row", f"{node.op} goes over an axis that is selected")
        kept = [axis for axis in range(rank) if axis not in gone or node.attrs.value("keep_dims")]
        links = tuple(Link(axis) for axis in kept)
        old = self.terms.all[view.term].sizes
        sizes = tuple(1 if axis in gone else old[axis] for axis in kept)
        place = {axis: number for number, axis in enumerate(kept)}
        tables = tuple(
            (place[axis], index(at.start, {place[old_axis]: steps for old_axis, steps in at.along}))
            for axis, at in view.tables
        )
        whole = tuple(None if view.whole[axis] is None else place[axis] for axis in kept)
        shape = tuple(1 if axis in gone else view.sizes[axis] for axis in kept)
        use = Use(view.term, links)
        return View(view.term, shape, whole, tables), (use, *others[0]), (use, *others[1]), sizes

    def _aligned(self, view: View) -> View | None:
        """The view with the value's axes one by one those of the term; axes of size 1 are added to the term for it."""
        rank = len(view.sizes)
        free = [axis for axis in range(rank) if view.whole[axis] is None]
        tables = [axis for axis, _ in view.tables]
        spare = [axis for axis in free if view.sizes[axis] == 1 and not any(at.on(axis) for _, at in view.tables)]
        missing = rank - view.rank
        if missing < 0 or len(spare) < missing:
            return None
        added = sorted(spare[len(spare) - missing :])
        left = [axis for axis in range(rank) if axis not in added]
        # What is left must stand in the term's own order: whole axes at their places, the others between them.
        for place, axis in enumerate(left):
            if view.whole[axis] not in (None, place) or (view.whole[axis] is None and place not in tables):
                return None
        for axis in added:
            view = self._with_unit_axis(view, axis)
        return view

    def _with_unit_axis(self, view: View, at: int) -> View:
        """Axis `at` of the value, which has size 1, as the whole of a new axis of the term at that place."""
        old = self.terms.all[view.term]
        links: list[Link | None] = [Link(axis) for axis in range(view.rank)]
        links.insert(at, None)
        sizes = (*old.sizes[:at], 1, *old.sizes[at:])
        tables = tuple((axis + (axis >= at), table) for axis, table in view.tables)
        term = self.terms.reshaped(Use(old.number, tuple(links)), sizes, frozenset(axis for axis, _ in tables))
        whole = [None if axis is None else axis + (axis >= at) for axis in view.whole]
        whole[at] = at
        return View(term.number, view.sizes, tuple(whole), tables)

    def _reshaped(self, node: Node) -> View | None:
        view = self.view(node.inputs[0])
        target = self._target(node, view)
        groups = None if view is None or target is None else groups_of(view.sizes, target)
        if view is None or target is None or groups is None or sum(size < 0 for size in target) > 1:
            return None
        end = len(view.sizes)
        for before, after in reversed(groups):
            end = before[0] if before else end
            sizes = tuple(target[axis] for axis in after)
            if len(before) == len(after) == 1:
                continue
            sources = [view.whole[axis] for axis in before]
            run = [source for source in sources if source is not None]
            changed: View | None
            if before and after and len(run) == len(before) and run == list(range(run[0], run[0] + len(run))):
                changed = self._whole_reshaped(view, before, run, sizes)
            else:
                changed = rearranged(view, before, end, sizes)
            if changed is None:
                return None
            view = changed
        return view

    def _target(self, node: Node, view: View | None) -> Shape | None:
        listed = self._integers.list_of(node.inputs[1])
        stated = self.shape_of(Value(node.name))
        if listed is None or view is None:
            return stated
        if -1 in listed and min(view.sizes, default=1) > 0:
            total, rest = 1, 1
            for size in view.sizes:
                total *= size
            for size in listed:
                rest *= size if size > 0 else 1
            listed[listed.index(-1)] = total // rest
        return tuple(listed)

    def _whole_reshaped(self, view: View, before: list[int], run: list[int], sizes: tuple[int, ...]) -> View | None:
        """Axes that are taken whole, as others: a reshape of the term."""
        old = self.terms.all[view.term]
        if sum(size < 0 for axis, size in enumerate(old.sizes) if axis not in dict(view.tables)) > 1:
            return None
        more, last = len(sizes) - len(run), run[-1]
        links: list[Link | None] = [Link(axis) for axis in range(run[0])]
        links += [None] * len(sizes) + [Link(axis) for axis in range(last + 1, view.rank)]
        shape = (*old.sizes[: run[0]], *sizes, *old.sizes[last + 1 :])
        tables = tuple((axis + more * (axis > last), at) for axis, at in view.tables)
        term = self.terms.reshaped(Use(old.number, tuple(links)), shape, frozenset(axis for axis, _ in tables))
        whole = [None if axis is None else axis + more * (axis > last) for axis in view.whole]
        whole[before[0] : before[-1] + 1] = range(run[0], run[0] + len(sizes))
        moved = len(sizes) - len(before)
        tables = tuple(
            (axis, index(at.start, {place + moved * (place > before[-1]): steps for place, steps in at.along}))
            for axis, at in tables
        )
        full = (*view.sizes[: before[0]], *sizes, *view.sizes[before[-1] + 1 :])
        return View(term.number, full, tuple(whole), tables)


_Found = tuple[View, tuple[Operand, ...], tuple[Hashable, ...], tuple[int, ...]] | Refusal


def _drawn(name: str) -> Refusal:
    return Refusal("overlap-random", f"{name} is drawn for each selection by itself")


def _alike(one: View, other: View) -> bool:
    """Whether two selections differ in nothing but where they start."""
    mine, theirs = dict(one.tables), dict(other.tables)
    return mine.keys() == theirs.keys() and all(mine[axis].along == theirs[axis].along for axis in mine)


def _levelled(views: list[View | None]) -> list[View | None]:
    """Operands of one shape, with an axis that is selected in one of them told as selected in all."""
    known = [view for view in views if view is not None]
    if len({view.sizes for view in known}) != 1:
        return views
    axes = [axis for axis in range(len(known[0].sizes)) if any(view.whole[axis] is None for view in known)]
    levelled = list(views)
    for number in range(len(views)):
        for axis in axes:
            old = levelled[number]
            if old is not None and old.whole[axis] is not None and old.sizes[axis] > 0:
                levelled[number] = take(old, axis, range(old.sizes[axis])) or old
    return levelled


def _through_window(node: Node, view: View, axis: int, window: Window) -> tuple[View, Link] | Refusal:
    """A view behind a window along one axis, if windows do not see the edge of a selection there."""
    if view.whole[axis] is not None:
        return view, Link(axis)
    length = view.sizes[axis]
    if not window.never_pads:
        rows = window.border_rows(length)
        border = f"{rows} border rows of {window.result_length(length)} on axis {axis} would see padding"
        return Refusal("overlap-same-padding", f"{border} where the union has elements")
    at = view.index_on(axis)
    if at.steps(axis, length) != (range(length) if length > 1 else (0,)):
        return Refusal("overlap-cross-row", f"the elements on axis {axis} are not one beside the other")
    if any(other.on(axis) for place, other in view.tables if place != axis):
        return Refusal("overlap-cross-row", f"what is selected on other axes depends on axis {axis}")
    rest = {place: steps for place, steps in at.along if place != axis}
    if any(step % window.stride for steps in rest.values() for step in steps):
        return Refusal("overlap-stride", f"windows do not start a multiple of the stride {window.stride} apart")
    count = window.result_length(length)
    if count < 1:
        return Refusal("overlap-cross-row", f"the window of {node.op} does not fit")
    moved: dict[int, range | tuple[int, ...]] = {
        place: tuple(step // window.stride for step in steps) for place, steps in rest.items()
    }
    moved[axis] = range(count)
    place = index(at.start // window.stride, moved)
    tables = tuple((other, place if other == axis else old) for other, old in view.tables)
    sizes = (*view.sizes[:axis], count, *view.sizes[axis + 1 :])
    return View(view.term, sizes, view.whole, tables), Link(axis, 0, window, window.phase(at.start))
