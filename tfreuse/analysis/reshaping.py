"""Views with other axes: reshapes of what is selected, and terms that are reshapes of what is taken whole."""

from __future__ import annotations

from tfreuse.analysis.selections import View, drop_axis, folded, index, insert_axis, unfolded
from tfreuse.analysis.shapes import Shape
from tfreuse.analysis.terms import Link, Terms, Use


def aligned(terms: Terms, view: View) -> View | None:
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
        view = _with_unit_axis(terms, view, axis)
    return view


def _with_unit_axis(terms: Terms, view: View, at: int) -> View:
    """Axis `at` of the value, which has size 1, as the whole of a new axis of the term at that place."""
    old = terms.all[view.term]
    links: list[Link | None] = [Link(axis) for axis in range(view.rank)]
    links.insert(at, None)
    sizes = (*old.sizes[:at], 1, *old.sizes[at:])
    tables = tuple((axis + (axis >= at), table) for axis, table in view.tables)
    term = terms.reshaped(Use(old.number, tuple(links)), sizes, frozenset(axis for axis, _ in tables))
    whole = [None if axis is None else axis + (axis >= at) for axis in view.whole]
    whole[at] = at
    return View(term.number, view.sizes, tuple(whole), tables)


def reshaped(terms: Terms, view: View, target: Shape) -> View | None:
    """A view reshaped to `target`: index axes in the view, axes that are taken whole in a term of their own."""
    groups = groups_of(view.sizes, target)
    if groups is None or sum(size < 0 for size in target) > 1:
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
            changed = _whole_reshaped(terms, view, before, run, sizes)
        else:
            changed = rearranged(view, before, end, sizes)
        if changed is None:
            return None
        view = changed
    return view


def target_of(listed: list[int] | None, stated: Shape | None, view: View) -> Shape | None:
    """The shape that a reshape asks for, by its numbers if they are known; -1 is worked out where that can be."""
    if listed is None:
        return stated
    if -1 in listed and min(view.sizes, default=1) > 0:
        total, rest = 1, 1
        for size in view.sizes:
            total *= size
        for size in listed:
            rest *= size if size > 0 else 1
        listed[listed.index(-1)] = total // rest
    return tuple(listed)


def _whole_reshaped(terms: Terms, view: View, before: list[int], run: list[int], sizes: tuple[int, ...]) -> View | None:
    """Axes that are taken whole, as others: a reshape of the term."""
    old = terms.all[view.term]
    if sum(size < 0 for axis, size in enumerate(old.sizes) if axis not in dict(view.tables)) > 1:
        return None
    more, last = len(sizes) - len(run), run[-1]
    links: list[Link | None] = [Link(axis) for axis in range(run[0])]
    links += [None] * len(sizes) + [Link(axis) for axis in range(last + 1, view.rank)]
    shape = (*old.sizes[: run[0]], *sizes, *old.sizes[last + 1 :])
    tables = tuple((axis + more * (axis > last), at) for axis, at in view.tables)
    term = terms.reshaped(Use(old.number, tuple(links)), shape, frozenset(axis for axis, _ in tables))
    whole = [None if axis is None else axis + more * (axis > last) for axis in view.whole]
    whole[before[0] : before[-1] + 1] = range(run[0], run[0] + len(sizes))
    moved = len(sizes) - len(before)
    tables = tuple(
        (axis, index(at.start, {place + moved * (place > before[-1]): steps for place, steps in at.along}))
        for axis, at in tables
    )
    full = (*view.sizes[: before[0]], *sizes, *view.sizes[before[-1] + 1 :])
    return View(term.number, full, tuple(whole), tables)


def rearranged(view: View, before: list[int], after: int, sizes: tuple[int, ...]) -> View | None:
    """One group of a reshape: axes `before` become those of `sizes`, from place `after` on where there were none."""
    changed: View | None = view
    if not before:
        for _ in sizes:
            changed = None if changed is None else insert_axis(changed, after)
    elif not sizes:
        for axis in reversed(before):
            changed = None if changed is None else drop_axis(changed, axis)
    else:
        one = folded(view, before[0], len(before))
        changed = None if one is None else unfolded(one, before[0], sizes)
    return changed


def groups_of(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[list[int], list[int]]] | None:
    """Axes before and after a reshape, in the smallest groups that hold equally many elements; -1 stands for itself."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old[i] == new[j]:
            groups.append(([i], [j]))
            i, j = i + 1, j + 1
            continue
        if j < len(new) and new[j] == 1:
            groups.append(([], [j]))
            j += 1
            continue
        if i < len(old) and old[i] == 1:
            groups.append(([i], []))
            i += 1
            continue
        before, after, left, right = [i], [j], 0, 0
        if i >= len(old) or j >= len(new) or old[i] < 1 or new[j] < 1:
            return None
        left, right = old[i], new[j]
        while left != right:
            if left < right:
                before.append(before[-1] + 1)
                if before[-1] >= len(old) or old[before[-1]] < 1:
                    return None
                left *= old[before[-1]]
            else:
                after.append(after[-1] + 1)
                if after[-1] >= len(new) or new[after[-1]] < 1:
                    return None
                right *= new[after[-1]]
        groups.append((before, after))
        i, j = before[-1] + 1, after[-1] + 1
    return groups
