"""What the proof knows of values that are selections: which element of which term each element of a value is.

A *term* is a function of whole-number coordinates. Element i of a value is its term at coordinates that are sums of a
constant and of one number for each axis of the value. Slicing and rearranging changes these numbers alone. An op gives
a new term, known by the op, its attributes and what it takes from its operands' terms *around* a coordinate; so the
same op on two windows of one value has one term, and its results lie at the coordinates at which the windows begin.
Coordinates stay in the units of the first operand, strides or no strides, and no value is ever computed.

This is the proof's own account of which selections commute with which ops (definitions: the ops' documentation in
TensorFlow's nn_ops.cc, math_ops.cc and array_ops.cc); it has nothing of `tfreuse.analysis.receptive` and `terms`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

Numbers = range | tuple[int, ...] | str
"""Numbers along one axis, the first of them 0. A text stands for 0, 1, 2 and so on to the end of an axis whose length
is not known; it says which axis that is, so equal texts mean equal lengths."""

MOST = 1 << 20
"""Longer axes are not told element by element."""


@dataclass(frozen=True)
class Place:
    """One coordinate: a constant, and numbers along axes of the value."""

    constant: int
    along: tuple[tuple[int, Numbers], ...] = ()

    def numbers(self, axis: int) -> Numbers | None:
        """What it adds along an axis; None for nothing."""
        for other, numbers in self.along:
            if other == axis:
                return numbers
        return None


def place(constant: int, along: Mapping[int, Numbers]) -> Place:
    """A coordinate in the one form that equal ones have."""
    kept: list[tuple[int, Numbers]] = []
    for axis in sorted(along):
        numbers = along[axis]
        if isinstance(numbers, str):
            kept.append((axis, numbers))
            continue
        constant += numbers[0]
        told = _told(numbers)
        if any(told):
            kept.append((axis, told))
    return Place(constant, tuple(kept))


def _told(numbers: Sequence[int]) -> range | tuple[int, ...]:
    if isinstance(numbers, range):
        return range(0, numbers.step * len(numbers), numbers.step)
    less = [number - numbers[0] for number in numbers]
    if len(less) > 1 and less[1]:
        even = range(0, less[1] * len(less), less[1])
        if list(even) == less:
            return even
    return tuple(less)


@dataclass(frozen=True)
class Form:
    """A value: its term, the length of each of its axes (None: not known), and the coordinates."""

    term: int
    lengths: tuple[int | None, ...]
    places: tuple[Place, ...]

    def along(self, axis: int) -> list[tuple[int, Numbers]]:
        """The coordinates that change along an axis, with the numbers."""
        found = []
        for number, at in enumerate(self.places):
            numbers = at.numbers(axis)
            if numbers is not None:
                found.append((number, numbers))
        return found


def moved(form: Form, to: Mapping[int, int], lengths: Sequence[int | None]) -> Form:
    """The same with axes at other places; an axis that goes nowhere must have length 1."""
    places = [place(at.constant, {to[axis]: numbers for axis, numbers in at.along if axis in to}) for at in form.places]
    return Form(form.term, tuple(lengths), tuple(places))


def picked(form: Form, axis: int, rows: Sequence[int]) -> Form | None:
    """Some elements along an axis; None for none, or too many, or of an axis of which nobody knows that it has them."""
    if not 0 < len(rows) <= MOST or form.lengths[axis] is None:
        return None
    places = []
    for at in form.places:
        along = dict(at.along)
        numbers = along.get(axis)
        if isinstance(numbers, str):
            return None
        if numbers is not None:
            along[axis] = _chosen(numbers, rows)
        places.append(place(at.constant, along))
    lengths = (*form.lengths[:axis], len(rows), *form.lengths[axis + 1 :])
    return Form(form.term, lengths, tuple(places))


def _chosen(numbers: range | tuple[int, ...], rows: Sequence[int]) -> range | tuple[int, ...]:
    if isinstance(numbers, range) and isinstance(rows, range):
        step = numbers.step * rows.step
        return range(numbers[rows[0]], numbers[rows[0]] + step * len(rows), step)
    return tuple(numbers[row] for row in rows)


def without_axis(form: Form, axis: int) -> Form | None:
    """Without an axis of length 1."""
    if form.lengths[axis] != 1:
        return None
    to = {old: old - (old > axis) for old in range(len(form.lengths)) if old != axis}
    return moved(form, to, form.lengths[:axis] + form.lengths[axis + 1 :])


def with_axis(form: Form, axis: int) -> Form:
    """With a new axis of length 1."""
    to = {old: old + (old >= axis) for old in range(len(form.lengths))}
    return moved(form, to, (*form.lengths[:axis], 1, *form.lengths[axis:]))


def reshaped(form: Form, lengths: tuple[int | None, ...]) -> Form | None:
    """Elements in the same order on other axes; an axis of unknown length must stay between the same others."""
    if form.lengths.count(None) > 1 or lengths.count(None) != form.lengths.count(None):
        return None
    if None not in lengths:
        return _refolded(form, 0, len(form.lengths), [length or 0 for length in lengths], 0)
    old, new = form.lengths.index(None), lengths.index(None)
    left = _refolded(form, 0, old, [length or 0 for length in lengths[:new]], len(form.lengths) - old)
    if left is None:
        return None
    start = new + 1
    return _refolded(left, start, len(left.lengths) - start, [length or 0 for length in lengths[start:]], 0)


def _refolded(form: Form, first: int, count: int, lengths: list[int], behind: int) -> Form | None:
    """`count` axes from `first` on as axes of `lengths`; in runs that hold equally many elements."""
    old = [length or 0 for length in form.lengths[first : first + count]]
    pairs = _runs(old, lengths)
    if pairs is None:
        return None
    for before, after in reversed(pairs):
        start = first + before[0]
        sizes = lengths[after[0] : after[1]]
        found = _one_run(form, start, before[1] - before[0], sizes)
        if found is None:
            return None
        form = found
    return form


def _runs(old: list[int], new: list[int]) -> list[tuple[tuple[int, int], tuple[int, int]]] | None:
    """Places where the products of both lists agree."""
    cuts, i, j, left, right = [(0, 0)], 0, 0, 1, 1
    while i < len(old) or j < len(new):
        if left <= right and i < len(old):
            left *= old[i]
            i += 1
        elif j < len(new):
            right *= new[j]
            j += 1
        else:
            left *= old[i]
            i += 1
        if left == right:
            cuts.append((i, j))
    if left != right or left == 0:
        return None
    if cuts[-1] != (len(old), len(new)):
        cuts.append((len(old), len(new)))
    return [((a, c), (b, d)) for (a, b), (c, d) in pairwise(cuts)]


def _one_run(form: Form, start: int, count: int, sizes: list[int]) -> Form | None:
    if count == len(sizes) == 1:
        return form
    inside = range(start, start + count)
    shift = len(sizes) - count
    total = 1
    for size in sizes:
        total *= size
    if total > MOST:
        return None
    places: list[Place] = []
    for at in form.places:
        along = {axis + shift * (axis >= start + count): numbers for axis, numbers in at.along if axis not in inside}
        if any(at.numbers(axis) is not None for axis in inside):
            parts: list[Sequence[int]] = []
            for axis in inside:
                numbers = at.numbers(axis) or (0,) * (form.lengths[axis] or 0)
                if isinstance(numbers, str):
                    return None
                parts.append(numbers)
            flat = [sum(chosen) for chosen in product(*parts)]
            split = _split(flat, sizes)
            if split is None:
                return None
            along.update({start + number: part for number, part in enumerate(split)})
        places.append(place(at.constant, along))
    lengths = (*form.lengths[:start], *sizes, *form.lengths[start + count :])
    return Form(form.term, lengths, tuple(places))


def _split(flat: list[int], sizes: list[int]) -> list[tuple[int, ...]] | None:
    """Numbers along several axes whose sums are `flat`; None if it is no such sum."""
    stride, parts = len(flat), []
    for size in sizes:
        stride //= size
        parts.append(tuple(flat[row * stride] - flat[0] for row in range(size)))
    if [flat[0] + sum(chosen) for chosen in product(*parts)] != flat:
        return None
    if parts:
        parts[0] = tuple(number + flat[0] for number in parts[0])
    return parts if parts or flat == [0] else None


def stacked(forms: Sequence[Form], axis: int) -> Form | None:
    """One behind the other along an axis; None if they differ in more than where they lie."""
    first = forms[0]
    lengths = [form.lengths[axis] for form in forms]
    known = [length for length in lengths if length is not None]
    if len(known) < len(lengths) or not 0 < sum(known) <= MOST:
        return None
    places = []
    for number in range(len(first.places)):
        numbers: list[int] = []
        for form in forms:
            if (form.term, len(form.places), len(form.lengths)) != (
                first.term,
                len(first.places),
                len(first.lengths),
            ):
                return None
            at, rest = form.places[number], [pair for pair in form.places[number].along if pair[0] != axis]
            if rest != [pair for pair in first.places[number].along if pair[0] != axis]:
                return None
            own = at.numbers(axis) or (0,) * (form.lengths[axis] or 0)
            if isinstance(own, str):
                return None
            numbers += [at.constant + step for step in own]
        if len(numbers) != sum(known):
            return None
        others = {other: step for other, step in first.places[number].along if other != axis}
        places.append(place(0, {**others, axis: tuple(numbers)}))
    if any(
        form.lengths[:axis] + form.lengths[axis + 1 :] != first.lengths[:axis] + first.lengths[axis + 1 :]
        for form in forms
    ):
        return None
    return Form(first.term, (*first.lengths[:axis], sum(known), *first.lengths[axis + 1 :]), tuple(places))


class TermTable:
    """Terms by what they are; `fresh` has the lengths of the axes that an op makes anew."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self.fresh: dict[int, tuple[int | None, ...]] = {}

    def number(self, key: Hashable, fresh: tuple[int | None, ...] = ()) -> int:
        """The number of a term; what is known of its new axes is what was known first."""
        found = self._numbers.setdefault(key, len(self._numbers))
        self.fresh.setdefault(found, fresh)
        return found
