"""MLIR as text, and what could be merged in it if it were known what each op reads and writes.

MLIR's common subexpression elimination (mlir/lib/Transforms/CSE.cpp) keeps two equal reads apart if any op between them
in its list writes anything, takes every call, branch, loop and table lookup for a write of everything, and tells ops
apart by an attribute that says how they were traced. `left` numbers the same list with the reads and writes of each
function known, and without that attribute, which says how much of a difference comes from these alone. A function's
resource arguments are taken to be different, which those of fuzzed programs are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable
from typing import NamedTuple

READS = frozenset({"ReadVariableOp", "ResourceGather", "VariableShape", "LookupTableFindV2", "LookupTableSizeV2"})
WRITES = frozenset({
    "AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp", "ResourceScatterNdUpdate",
    "LookupTableInsertV2", "LookupTableRemoveV2",
})  # fmt: skip
OPERANDS = {"PartitionedCall": 0, "StatefulPartitionedCall": 0, "While": 0, "If": 1, "Case": 1}
"""Ops that call functions: how many operands come before those that the functions get."""
_SILENT = "_has_manual_control_dependencies = true, "
_FUNCTION = re.compile(r'^  func\.func (?:private )?@("[^"]*"|[\w$.-]+)\(')
_OP = re.compile(r'^\s*(?:(%\w+)(?::\d+)? = )?"tf\.(\w+)"\(([^)]*)\)(.*)$')
_CALLED = re.compile(r'@("[^"]*"|[\w$.-]+)')


class Line(NamedTuple):
    """One op: the name of its results, operands, and its attributes and types as they are written."""

    result: str
    op: str
    operands: tuple[str, ...]
    rest: str

    @property
    def called(self) -> list[str]:
        """The functions that the op names."""
        return _CALLED.findall(self.rest)


class Touched(NamedTuple):
    """The arguments that a function reads and writes; `alone` if it does something that nothing here knows."""

    reads: frozenset[int] = frozenset()
    writes: frozenset[int] = frozenset()
    alone: bool = False


class Listing:
    """The functions of a module, the first of which is called from outside."""

    def __init__(self, text: str) -> None:
        self._functions: dict[str, list[Line]] = {}
        self._returned: dict[str, str] = {}
        name = ""
        for line in text.splitlines():
            if found := _FUNCTION.match(line):
                name = found[1]
                self._functions[name] = []
            elif found := _OP.match(line):
                operands = tuple(operand.strip() for operand in found[3].split(",") if operand.strip())
                self._functions[name].append(Line(found[1] or "", found[2], operands, found[4].replace(_SILENT, "")))
            elif line.lstrip().startswith("return"):
                self._returned[name] = line
        self._touched: dict[str, Touched] = {}
        self._numbered: dict[str, tuple[list[Line], Hashable]] = {}

    def ops(self) -> Counter[str]:
        """How many of each op there are in functions that can be reached; constants aside, which any folding merges."""
        return self._count(self._functions)

    def left(self) -> Counter[str]:
        """How many would be left if equal ops between which nothing is written that they read were one."""
        return self._count({name: self._number(name)[0] for name in self._functions})

    def _count(self, functions: dict[str, list[Line]]) -> Counter[str]:
        found: Counter[str] = Counter()
        work = list(functions)[:1]
        seen = set(work)
        while work:
            for line in functions[work.pop()]:
                found[line.op] += line.op != "Const"
                new = [name for name in line.called if name in functions and name not in seen]
                work += new
                seen.update(new)
        return +found

    def _of_line(self, line: Line) -> tuple[list[str], list[str], bool]:
        """The operands that an op reads and writes, and whether it does more."""
        if line.op in READS:
            return [line.operands[0]], [], False
        if line.op in WRITES:
            return [], [line.operands[0]], False
        if not line.called:
            return [], [], line.op.endswith("PyFunc")
        touched = [self._of_function(name) for name in line.called]
        given = line.operands[OPERANDS.get(line.op, 0) :]
        reads = [given[number] for each in touched for number in sorted(each.reads)]
        writes = [given[number] for each in touched for number in sorted(each.writes)]
        return reads, writes, line.op not in OPERANDS or any(each.alone for each in touched)

    def _of_function(self, name: str) -> Touched:
        if name not in self._touched:
            self._touched[name] = Touched(alone=True)  # for a call of itself
            sides: tuple[set[int], set[int]] = set(), set()
            alone = name not in self._functions
            for line in self._functions.get(name, ()):
                reads, writes, more = self._of_line(line)
                for side, operands in zip(sides, (reads, writes), strict=True):
                    side.update(int(operand.removeprefix("%arg")) for operand in operands if _is_argument(operand))
                alone |= more or not all(map(_is_argument, reads + writes))
            self._touched[name] = Touched(frozenset(sides[0]), frozenset(sides[1]), alone)
        return self._touched[name]

    def _number(self, name: str) -> tuple[list[Line], Hashable]:
        """The ops of a function without those that are equal to an earlier one; and what it does, without names."""
        if name in self._numbered:
            return self._numbered[name]
        self._numbered[name] = [], name  # for a call of itself
        classes: dict[str, Hashable] = {}
        versions: Counter[str] = Counter()
        known: dict[Hashable, int] = {}
        kept: list[Line] = []

        def number(operand: str) -> Hashable:
            base, _, port = operand.partition("#")
            return classes.get(base, base), port

        for line in self._functions.get(name, ()):
            reads, writes, alone = self._of_line(line)
            bodies = iter([self._number(called)[1] for called in line.called])
            rest = tuple(next(bodies) if place % 2 else part for place, part in enumerate(_CALLED.split(line.rest)))
            key: Hashable = (line.op, rest, *map(number, line.operands), *((read, versions[read]) for read in reads))
            if alone or writes or not all(map(_is_argument, reads)):
                key = key, len(kept)
            versions.update(writes)
            if key not in known:
                known[key] = len(known)
                kept.append(line)
            if line.result:
                classes[line.result] = known[key]
        returned = re.findall(r"%\w+(?:#\d+)?", self._returned.get(name, "").partition(" : ")[0])
        self._numbered[name] = kept, (tuple(known), *map(number, returned))
        return self._numbered[name]


def _is_argument(operand: str) -> bool:
    return operand.startswith("%arg")
