"""Selections: a value whose elements are elements of another, told axis by axis.

Element `(i0, i1, ...)` of the value is the element of the other whose index, on each of its axes, is a sum
`start + steps0[i0] + steps1[i1] + ...`, or on axes that are taken whole, the index itself. Slices, gathers with known
indices, splits, stacks, tiles, frames and reshapes of rows are all of this form, and so is one of them behind another.
Sums of functions of one index each are enough for these, and small: a frame of a long signal is two ranges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

Steps = range | tuple[int, ...]
"""Indices along one axis; always a range where they are one."""

MAX_ROWS = 1 << 16
"""More indices than this along one axis are no windows that anybody wrote."""


class Index(NamedTuple):
    """Where on an axis of the source the elements lie: `start`, and steps along some axes of the value, each from 0."""

    start: int
    along: tuple[tuple[int, Steps], ...] = ()

    def steps(self, axis: int, size: int) -> Steps:
        """The steps along one axis of the value; zeros where it says nothing."""
        return dict(self.along).get(axis, (0,) * size)

    def on(self, axis: int) -> bool:
        """Whether the index depends on that axis of the value."""
        return any(place == axis for place, _ in self.along)

    @property
    def least(self) -> int:
        """The smallest index."""
        return self.start + sum(min(steps) for _, steps in self.along)

    @property
    def length(self) -> int:
        """From the smallest index to the largest."""
        return sum(max(steps) - min(steps) for _, steps in self.along) + 1


def index(start: int, along: Mapping[int, Steps]) -> Index:
    """The one form of an index: steps begin with 0, ranges are ranges, and steps of nothing are left out."""
    found: list[tuple[int, Steps]] = []
    for axis, steps in sorted(along.items()):
        start += steps[0]
        shifted = as_range(steps)
        if len(shifted) > 1 and (isinstance(shifted, range) or any(shifted)):
            found.append((axis, shifted))
    return Index(start, tuple(found))


def as_range(steps: Steps) -> Steps:
    """Steps from 0, as a range where they are one."""
    first, size = steps[0], len(steps)
    if isinstance(steps, range):
        return range(0, steps.step * size, steps.step)
    by = steps[1] - first if size > 1 else 0
    if by and all(step == first + by * place for place, step in enumerate(steps)):
        return range(0, by * size, by)
    return tuple(step - first for step in steps)


@dataclass(frozen=True)
class View:
    """A selection of the term `term`; of an axis of the value, `whole` is the term's axis that it is the whole of.

    `sizes` is the value's shape, -1 where a size is not known. `tables` has the index on each other axis of the term.
    """

    term: int
    sizes: tuple[int, ...]
    whole: tuple[int | None, ...]
    tables: tuple[tuple[int, Index], ...] = ()

    @property
    def rank(self) -> int:
        """The number of the term's axes."""
        return len(self.tables) + sum(axis is not None for axis in self.whole)

    @property
    def is_everything(self) -> bool:
        """Whether the value is the term itself."""
        return self.whole == tuple(range(len(self.sizes))) and not self.tables

    def index_on(self, axis: int) -> Index:
        """The index on one of the term's axes.

        Raises:
            KeyError: if that axis is taken whole.
        """
        return dict(self.tables)[axis]

    def of(self, term: int) -> View:
        """The same selection of another term."""
        return View(term, self.sizes, self.whole, self.tables)


def everything(term: int, sizes: tuple[int, ...]) -> View:
    """The whole of a term."""
    return View(term, sizes, tuple(range(len(sizes))))


def take(view: View, axis: int, picked: Steps) -> View | None:
    """Elements `picked` of one axis; None for no elements, or too many.

    Also None where the length of the axis is not known: one window may be beyond its end and never run, while the
    union always does.
    """
    if not 0 < len(picked) <= MAX_ROWS or view.sizes[axis] < 0:
        return None
    tables = dict(view.tables)
    source = view.whole[axis]
    if source is not None:
        tables[source] = index(0, {axis: picked})
    for place, old in view.tables:
        if old.on(axis):
            steps = dict(old.along)
            steps[axis] = _picked(steps[axis], picked)
            tables[place] = index(old.start, steps)
    sizes = (*view.sizes[:axis], len(picked), *view.sizes[axis + 1 :])
    whole = (*view.whole[:axis], None, *view.whole[axis + 1 :])
    return View(view.term, sizes, whole, tuple(sorted(tables.items())))


def _picked(steps: Steps, picked: Steps) -> Steps:
    if isinstance(steps, range) and isinstance(picked, range):
        by = steps.step * picked.step
        first = steps[picked[0]]
        return range(first, first + by * len(picked), by)
    return tuple(steps[place] for place in picked)


def _moved(view: View, places: Mapping[int, int], sizes: Iterable[int], whole: Iterable[int | None]) -> View:
    """The view with axes at other places."""
    tables = [
        (axis, index(old.start, {places[place]: steps for place, steps in old.along})) for axis, old in view.tables
    ]
    return View(view.term, tuple(sizes), tuple(whole), tuple(tables))


def insert_axis(view: View, at: int) -> View:
    """A new axis of size 1, which no index depends on."""
    places = {axis: axis + (axis >= at) for axis in range(len(view.sizes))}
    sizes = (*view.sizes[:at], 1, *view.sizes[at:])
    return _moved(view, places, sizes, (*view.whole[:at], None, *view.whole[at:]))


def drop_axis(view: View, axis: int) -> View | None:
    """Without an axis of size 1."""
    if view.sizes[axis] != 1:
        return None
    taken = take(view, axis, range(1))
    if taken is None:
        return None
    places = {old: old - (old > axis) for old in range(len(view.sizes))}
    return _moved(
        taken, places, taken.sizes[:axis] + taken.sizes[axis + 1 :], taken.whole[:axis] + taken.whole[axis + 1 :]
    )


def transposed(view: View, order: list[int]) -> View:
    """Axis `order[i]` becomes axis i."""
    places = {old: new for new, old in enumerate(order)}
    return _moved(view, places, [view.sizes[old] for old in order], [view.whole[old] for old in order])


def folded(view: View, first: int, count: int) -> View | None:
    """`count` axes from `first` on as one, the last of them the fastest; axes taken whole need a known size."""
    total = 1
    for axis in range(first, first + count):
        taken = take(view, axis, range(view.sizes[axis])) if view.whole[axis] is not None else view
        if taken is None or view.sizes[axis] < 1:
            return None
        view, total = taken, total * view.sizes[axis]
    if total > MAX_ROWS:
        return None
    inside = range(first, first + count)
    tables = []
    for axis, old in view.tables:
        along = {place - (count - 1) * (place > first): steps for place, steps in old.along if place not in inside}
        if any(old.on(place) for place in inside):
            parts = [old.steps(place, view.sizes[place]) for place in inside]
            along[first] = tuple(sum(chosen) for chosen in product(*parts))
        tables.append((axis, index(old.start, along)))
    sizes = (*view.sizes[:first], total, *view.sizes[first + count :])
    whole = (*view.whole[:first], None, *view.whole[first + count :])
    return View(view.term, sizes, whole, tuple(tables))


def unfolded(view: View, axis: int, sizes: tuple[int, ...]) -> View | None:
    """One axis as several; None where the index is no sum of steps along them."""
    more = len(sizes) - 1
    tables = []
    for place, old in view.tables:
        along = {at + more * (at > axis): steps for at, steps in old.along if at != axis}
        if old.on(axis):
            steps = old.steps(axis, view.sizes[axis])
            stride = len(steps)
            parts: list[Steps] = []
            for size in sizes:
                stride //= size
                parts.append(tuple(steps[row * stride] for row in range(size)))
            if any(sum(chosen) != step for chosen, step in zip(product(*parts), steps, strict=True)):
                return None
            along.update({axis + number: part for number, part in enumerate(parts)})
        tables.append((place, index(old.start, along)))
    whole = (*view.whole[:axis], *(None,) * len(sizes), *view.whole[axis + 1 :])
    return View(view.term, (*view.sizes[:axis], *sizes, *view.sizes[axis + 1 :]), whole, tuple(tables))


def joined(views: list[View], axis: int) -> View | None:
    """Selections of one term one behind the other along an axis; None where they differ in more than where they lie."""
    parts: list[View] = []
    for view in views:
        part = view
        if view.whole[axis] is not None:
            taken = take(view, axis, range(view.sizes[axis])) if view.sizes[axis] > 0 else None
            if taken is None:
                return None
            part = taken
        parts.append(part)
    first = parts[0]
    for part in parts:
        same = (part.term, part.whole, [place for place, _ in part.tables])
        if same != (first.term, first.whole, [place for place, _ in first.tables]):
            return None
        if part.sizes[:axis] + part.sizes[axis + 1 :] != first.sizes[:axis] + first.sizes[axis + 1 :]:
            return None
    tables = []
    for place, _old in first.tables:
        others = [part.index_on(place) for part in parts]
        rest = [[pair for pair in other.along if pair[0] != axis] for other in others]
        if any(pairs != rest[0] for pairs in rest):
            return None
        steps = [
            other.start + step
            for other, part in zip(others, parts, strict=True)
            for step in other.steps(axis, part.sizes[axis])
        ]
        if len(steps) > MAX_ROWS:
            return None
        tables.append((place, index(0, {**dict(rest[0]), axis: tuple(steps)})))
    total = sum(part.sizes[axis] for part in parts)
    return View(first.term, (*first.sizes[:axis], total, *first.sizes[axis + 1 :]), first.whole, tuple(tables))
