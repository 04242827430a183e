"""How much memory merging may cost: the limit that a user gives, and the merges that it forbids."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from tfreuse.analysis.growth import SCHEDULES, Growth
from tfreuse.analysis.lifetime import Lifetimes
from tfreuse.errors import InputError
from tfreuse.ir.graph import Graph
from tfreuse.ops.registry import Ops
from tfreuse.pipeline.rewriter import Edit

_UNITS = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) *(%|[A-Za-z]*)")
_ROUNDS = 32
"""After so many tries to forbid as little as possible, everything is forbidden."""


@dataclass(frozen=True)
class Limit:
    """How many bytes, or what part of itself, the peak of a graph's memory may grow by."""

    bytes: int = 0
    part: float = 0.0

    def of(self, peak: int) -> int:
        """The bytes by which this peak may grow."""
        return self.bytes + int(self.part * peak)


def parse_limit(text: str | int | None) -> Limit | None:
    """`64MiB`, `10%`, or a number of bytes.

    Raises:
        InputError: if it is something else.
    """
    if text is None:
        return None
    match = None if isinstance(text, bool) or not isinstance(text, str | int) else _SIZE.fullmatch(str(text).strip())
    if match is not None and match[2] == "%":
        return Limit(part=float(match[1]) / 100)
    if match is None or match[2] not in _UNITS:
        units = ", ".join(unit for unit in _UNITS if unit)
        raise InputError(f"the memory growth is {text!r}; give bytes, a size with a unit ({units}), or a part like 10%")
    return Limit(int(float(match[1]) * _UNITS[match[2]]))


@dataclass
class Allowance:
    """Holds what a pipeline made of one graph against a limit; `refused` are survivors that may not merge, and why."""

    limit: Limit
    graph: Graph
    ops: Ops
    refused: dict[str, str] = field(default_factory=dict)
    _growth: Growth | None = None
    _rounds: int = 0

    def accepts(self, after: Graph, journal: Iterable[Edit]) -> bool:
        """Whether memory grows by no more than the limit; if not, `refused` names more survivors, if there are more."""
        members: dict[str, list[str]] = {}
        for edit in journal:
            if edit.kind in ("merge", "alias"):
                members.setdefault(edit.other, [edit.other]).append(edit.node)
        if not members:
            return True
        growth = self._growth = self._growth or Growth(self.graph, self.ops)
        self._rounds += 1
        found = self._over(growth, growth.after(after), members)
        known = len(self.refused)
        self.refused = {**found, **self.refused}
        if found and (len(self.refused) == known or self._rounds >= _ROUNDS):
            detail = "memory would grow by more than is allowed, and it could not be told which merges to leave out"
            self.refused = {**dict.fromkeys(members, detail), **self.refused}
        return not found

    def _over(self, growth: Growth, after: Lifetimes, members: dict[str, list[str]]) -> dict[str, str]:
        unknown = "its size is not known, and it would be in memory for longer"
        found = dict.fromkeys(growth.unbounded(after, members), unknown)
        grown = growth.grown(after)
        per = " per example" if after.per_example else ""
        for schedule in SCHEDULES:
            allowed = self.limit.of(getattr(growth.before, schedule).peak)
            over = grown[schedule] - allowed
            if over > 0:
                how = f"the peak would grow by {grown[schedule]} bytes{per}, {allowed} are allowed ({schedule})"
                blamed = growth.blamed(after, members, schedule, over)
                found.update({name: f"{size} bytes; {how}" for name, size in blamed.items()})
                if not blamed:  # no single merge does it
                    found.update(dict.fromkeys(members, how))
        return found
