"""Where the windows of a family lie in the value that they are cut from; the report draws them from this."""

from __future__ import annotations

from itertools import product
from math import prod

from tfreuse.analysis.families import Families, Family
from tfreuse.analysis.receptive import Crop
from tfreuse.analysis.selections import View
from tfreuse.analysis.terms import Term, Use
from tfreuse.remarks.remark import Windows

MAX_WINDOWS = 4096
"""More windows than this are told as one."""


def windows_of(families: Families, family: Family) -> Windows:
    """The windows of the first op of a family, in the units of what they are cut from."""
    terms, views = families.lanes.terms.all, families.lanes.views
    slot, base = next(
        (slot, base)
        for unit in family.units
        for slot, operand in enumerate(terms[unit.term].operands)
        if isinstance(operand, Use) and (base := _base(terms, operand)) is not None
    )
    crops: list[tuple[Crop, ...]] = []
    axes: tuple[int, ...] = ()
    for unit in family.units:
        operand = terms[unit.term].operands[slot] if slot < len(terms[unit.term].operands) else None
        if not isinstance(operand, Use) or _base(terms, operand) != base or crops:
            continue
        for name in unit.nodes:
            view = views.get(families.lanes.operands_of(name)[slot])
            if view is not None:
                axes, own = _crops(view)
                crops += own
    costs = [families.cost(unit) for unit in family.units]
    together, union = [c.multiply_adds for c, _ in costs], [c.multiply_adds for _, c in costs]
    source = terms[base].base
    assert source is not None
    return Windows(
        source=source.node,
        axes=axes,
        lengths=tuple(terms[base].sizes[axis] if axis < len(terms[base].sizes) else -1 for axis in axes),
        crops=tuple(dict.fromkeys(crops)),
        total=len(crops),
        overlap=round(max(unit.overlap for unit in family.units), 3),
        multiply_adds=None if None in together or None in union else (_sum(together), _sum(union)),
    )


def _sum(numbers: list[int | None]) -> int:
    return sum(number for number in numbers if number is not None)


def _base(terms: list[Term], use: Use) -> int | None:
    """The value that an operand is made from by reshapes alone."""
    term = terms[use.term]
    while term.base is None and term.node is None:
        term = terms[term.uses[0].term]
    return None if term.base is None else term.number


def _crops(view: View) -> tuple[tuple[int, ...], list[tuple[Crop, ...]]]:
    """The axes on which a value is selected, and the windows that it holds (several, where they stand in one value)."""
    places = {axis: at for axis, at in view.tables if at.along or len(view.tables) == 1}
    axes = tuple(sorted(places))
    inner: dict[int, int] = {}
    for axis, at in places.items():
        for place, steps in at.along:
            alone = not any(other.on(place) for number, other in places.items() if number != axis)
            if alone and steps == range(len(steps)) and axis not in inner:
                inner[axis] = place
    outer = sorted({place for at in places.values() for place, _ in at.along} - set(inner.values()))
    if prod(view.sizes[place] for place in outer) > MAX_WINDOWS:
        return axes, [tuple((places[axis].least, places[axis].length) for axis in axes)]
    found: list[tuple[Crop, ...]] = []
    for chosen in product(*(range(view.sizes[place]) for place in outer)):
        row = dict(zip(outer, chosen, strict=True))
        window = []
        for axis in axes:
            at = places[axis]
            start = at.start + sum(steps[row[place]] for place, steps in at.along if place in row)
            window.append((start, view.sizes[inner[axis]] if axis in inner else 1))
        found.append(tuple(window))
    return axes, _runs(found) if len(axes) == 1 else found


def _runs(windows: list[tuple[Crop, ...]]) -> list[tuple[Crop, ...]]:
    """Single elements that follow each other, as one window: so clips were folded into rows."""
    found: list[tuple[Crop, ...]] = []
    for ((start, length),) in windows:
        if found and length == 1 and sum(found[-1][0]) == start:
            found[-1] = ((found[-1][0][0], found[-1][0][1] + 1),)
        else:
            found.append(((start, length),))
    return found
