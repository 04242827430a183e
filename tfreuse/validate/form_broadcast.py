"""Operands of an elementwise op side by side, for the proof (`tfreuse.validate.forms`)."""

from __future__ import annotations

from tfreuse.validate.forms import Form, with_axis


def of_rank(form: Form, rank: int) -> Form:
    """With axes of length 1 in front, along which the op repeats it."""
    for _ in range(rank - len(form.lengths)):
        form = with_axis(form, 0)
    return form


def beside_of(one: Form, other: Form) -> tuple[tuple[tuple[int, int], ...], Form] | None:
    """The coordinates of a second operand, each as one of the first's and how far it lies from that; it has the
    first's shape, or length 1 where it is repeated.

    Those that move as none of the first's does are added to it. None if the shapes may differ.
    """
    if len(one.lengths) != len(other.lengths):
        return None
    for axis, (length, repeated) in enumerate(zip(one.lengths, other.lengths, strict=True)):
        if repeated == 1:
            continue
        if length != repeated:
            return None
        names = [{numbers for _, numbers in form.along(axis) if isinstance(numbers, str)} for form in (one, other)]
        if length is None and (names[0] != names[1] or not names[0]):
            return None  # two lengths that nobody knows: the shorter may be repeated
    places, found = list(one.places), []
    for number, at in enumerate(other.places):
        alike = [index for index, place in enumerate(places) if place.along == at.along]
        if not alike:
            alike = [len(places)]
            places.append(at)
        index = number if number in alike else alike[0]
        found.append((index, at.constant - places[index].constant))
    return tuple(found), Form(one.term, one.lengths, tuple(places))
