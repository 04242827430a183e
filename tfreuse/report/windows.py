"""Draws the windows of a family as text: a strip for one axis, a plane for two, from the report's JSON alone."""

from __future__ import annotations

from typing import Any

WIDTH, HEIGHT = 64, 16
"""Characters of a strip, and lines of a plane, at most."""
MAX_WINDOWS = 12
"""Windows drawn one by one; the union is of all."""


def drawn(family: dict[str, Any], where: str = "") -> list[str]:
    """Lines: the family in words, and where its windows lie."""
    axes, windows = family["axes"], [[(start, length) for start, length in crops] for crops in family["windows"]]
    ends = [max(crops[place][0] + crops[place][1] for crops in windows) for place in range(len(axes))]
    firsts = [min(crops[place][0] for crops in windows) for place in range(len(axes))]
    lengths = [axis["length"] or end for axis, end in zip(axes, ends, strict=True)]
    along = " and ".join(
        f"axis {axis['axis']} ({first} to {end - 1} of {axis['length'] or 'unknown'})"
        for axis, first, end in zip(axes, firsts, ends, strict=True)
    )
    head = f"{family['count']} windows of {family['source']} along {along}, each element {family['overlap']:.3g} times"
    lines = [f"{where}: {head}" if where else head]
    if len(axes) == 1:
        lines += _strip([crops[0] for crops in windows], lengths[0], (firsts[0], ends[0]))
    elif len(axes) == 2:
        lines += _plane([(crops[0], crops[1]) for crops in windows], lengths[0], lengths[1])
    return lines


def _strip(windows: list[tuple[int, int]], length: int, union: tuple[int, int]) -> list[str]:
    scale = max(1, -(-length // WIDTH))

    def line(start: int, end: int, sign: str) -> str:
        first, last = start // scale, max(start // scale + 1, -(-end // scale))
        return "  |" + " " * first + sign * (last - first) + " " * (-(-length // scale) - last) + "|"

    lines = [line(start, start + size, "-") for start, size in windows[:MAX_WINDOWS]]
    if len(windows) > MAX_WINDOWS:
        lines.append(f"   ... {len(windows) - MAX_WINDOWS} more")
    return [*lines, line(*union, "=") + " union"]


def _plane(windows: list[tuple[tuple[int, int], tuple[int, int]]], height: int, width: int) -> list[str]:
    """How many windows cover each part: 1 to 9, and + for more."""
    scale = max(1, -(-height // HEIGHT), -(-width // WIDTH))
    rows = []
    for row in range(0, height, scale):
        cells = ""
        for column in range(0, width, scale):
            count = sum(
                top < row + scale and row < top + tall and left < column + scale and column < left + wide
                for (top, tall), (left, wide) in windows
            )
            cells += " " if not count else str(count) if count < 10 else "+"
        rows.append(f"  |{cells}|")
    return rows
