"""Ops applied to selections: the term that they make, and which selection of it their result is."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

from tfreuse.analysis.receptive import Window
from tfreuse.analysis.receptive_ops import ROW, SHAPE_KEEPING, TRAILING, WHOLE, AxisKind, Refusal, axes_of
from tfreuse.analysis.reshaping import aligned
from tfreuse.analysis.selections import View, index, take
from tfreuse.analysis.shapes import ShapeOf
from tfreuse.analysis.terms import Link, Operand, Terms, Use
from tfreuse.ir.graph import Graph, Node, Value
from tfreuse.ops.integers import Integers
from tfreuse.ops.registry import Ops

PADS = frozenset({"MirrorPad", "Pad", "PadV2"})
"""Ops that put rows around axes; the second operand says which."""

Applied = tuple[View, tuple[Operand, ...], tuple[Hashable, ...], tuple[int, ...]]
"""The result as a selection (its term is still to be made), the operands of the term, their keys, the term's sizes."""
Found = Applied | Refusal


class Applying:
    """The rules for one graph; `key` gives one number for equal values, `views` has those that are selections."""

    def __init__(
        self,
        graph: Graph,
        ops: Ops,
        terms: Terms,
        views: Mapping[Value, View],
        key: Callable[[Value], int],
        shape_of: ShapeOf,
        integers: Integers,
    ) -> None:
        self.graph, self._ops, self.terms, self.views = graph, ops, terms, views
        self.key, self.shape_of, self._integers = key, shape_of, integers

    def elementwise(self, node: Node) -> Found:
        """An op that takes elements, or pairs of elements."""
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
            if view.whole != first.whole or not _repeats(view, first) or not _alike(view, first):
                return Refusal("overlap-cross-row", f"{node.op} takes selections that differ in more than their start")
            places = dict(view.tables)
            links = tuple(
                Link(axis, places[axis].start - first.index_on(axis).start if axis in places else 0)
                for axis in range(first.rank)
            )
            operands.append(Use(view.term, links))
            keys.append(operands[-1])
        known = [view for view in views if view is not None]
        shape = tuple(_longest(column) for column in zip(*(view.sizes for view in known), strict=True))
        terms = [self.terms.all[view.term].sizes for view in known]
        sizes = [_longest(column) for column in zip(*terms, strict=True)] if len({*map(len, terms)}) == 1 else sizes
        return View(first.term, shape, first.whole, first.tables), tuple(operands), tuple(keys), tuple(sizes)

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

    def is_drawn(self, name: str) -> bool:
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

    def _others(
        self, node: Node, others: tuple[Value, ...]
    ) -> tuple[tuple[Operand, ...], tuple[Hashable, ...]] | Refusal:
        if any(value in self.views for value in others):
            return Refusal("overlap-cross-row", f"{node.op} takes a selection as another operand than its first")
        return others, tuple(self.key(value) for value in others)

    def by_axes(self, node: Node) -> Found:
        """An op of which the kind of each axis is known."""
        if node.inputs[0] not in self.views:
            return Refusal("overlap-cross-row", f"{node.op} takes a selection as another operand than its first")
        rank = len(self.views[node.inputs[0]].sizes)
        kinds = self._padded(node) if node.op in PADS else axes_of(node, rank, self.shape_of)
        return kinds if isinstance(kinds, Refusal) else self.along_axes(node, Value(node.name), node.inputs, kinds)

    def along_axes(self, node: Node, result: Value, operands: tuple[Value, ...], kinds: tuple[AxisKind, ...]) -> Found:
        """An op of which the kind of each axis of the first operand is told; `result` is its value."""
        others = self._others(node, operands[1:])
        if isinstance(others, Refusal):
            return others
        view = self.views[operands[0]]
        if len(kinds) != len(view.sizes):
            return Refusal("overlap-cross-row", f"{node.op} takes another rank")
        is_trailing = node.op not in PADS and (node.op in TRAILING or kinds == (*(ROW,) * (len(kinds) - 1), WHOLE))
        if not is_trailing or node.op == "MatMul" or view.rank < 2 or view.whole[-1] != view.rank - 1:
            lifted = aligned(self.terms, view)
            if lifted is None:
                return Refusal("overlap-cross-row", f"{node.op} takes selections along other axes than it works on")
            view = lifted
        links: list[Link | None] = [Link(axis) for axis in range(view.rank)]
        for axis, kind in enumerate(kinds):
            if kind == WHOLE and view.whole[axis] is None and node.op in PADS:
                return Refusal("overlap-same-padding", f"{node.op} puts rows around axis {axis}, which is selected")
            if kind == WHOLE and view.whole[axis] is None:
                return Refusal("overlap-cross-row", f"{node.op} needs the whole of axis {axis}, which is selected")
            if isinstance(kind, Window):
                moved = _through_window(node, view, axis, kind)
                if isinstance(moved, Refusal):
                    return moved
                view, links[axis] = moved
        shaped = tuple(
            size if view.whole[axis] is None else self._length(node, result, axis, kinds[axis], size)
            for axis, size in enumerate(view.sizes)
        )
        sizes = [-1] * view.rank
        for axis, source in enumerate(view.whole):
            if source is not None:
                sizes[source] = shaped[axis]
        use = Use(view.term, tuple(links))
        return View(view.term, shaped, view.whole, view.tables), (use, *others[0]), (use, *others[1]), tuple(sizes)

    def _padded(self, node: Node) -> tuple[AxisKind, ...] | Refusal:
        pads = self._integers.list_of_pairs(node.inputs[1])
        if pads is None:
            return Refusal("overlap-cross-row", f"how much {node.op} adds is not known")
        return tuple(ROW if pair == (0, 0) else WHOLE for pair in pads)

    def _length(self, node: Node, result: Value, axis: int, kind: AxisKind, size: int) -> int:
        """The length of an axis of the result that is taken whole, -1 where it is not known."""
        stated = self.shape_of(result)
        if stated is not None and stated[axis] >= 0:
            return stated[axis]
        if isinstance(kind, Window):
            return kind.result_length(size) if size > 0 else -1
        if kind == ROW or node.op in SHAPE_KEEPING:
            return size
        taps = self.shape_of(node.inputs[1]) if node.op in ("Conv2D", "Conv3D") else None
        return -1 if taps is None else taps[-1]

    def reduced(self, node: Node) -> Found:
        """An op that takes axes together, none of which is selected."""
        others = self._others(node, node.inputs[1:])
        axes = self._integers.list_of(node.inputs[1])
        if isinstance(others, Refusal) or axes is None:
            return others if isinstance(others, Refusal) else Refusal("overlap-cross-row", f"the axes of {node.op}")
        view = aligned(self.terms, self.views[node.inputs[0]])
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


def drawn_for_each(name: str) -> Refusal:
    """The refusal where an operand is drawn for each window by itself."""
    return Refusal("overlap-random", f"{name} is drawn for each selection by itself")


def _repeats(one: View, other: View) -> bool:
    """Whether two selections have one shape, or length 1 on an axis that is taken whole, where one is repeated."""
    pairs = zip(one.sizes, other.sizes, one.whole, strict=True)
    return all(a == b or (source is not None and 1 in (a, b)) for a, b, source in pairs)


def _longest(lengths: tuple[int, ...]) -> int:
    """The length of what has several lengths, 1 among them; -1 where it is not known."""
    return next((length for length in lengths if length != 1), 1)


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
