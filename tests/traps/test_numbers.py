"""Every trap has a test or a reason why it has none."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

from tests.traps.not_expressible import NOT_EXPRESSIBLE
from tests.traps.test_engine import NAMES, REUSED

HERE = Path(__file__).parent
LINE = re.compile(r"(\d+) \w.*")
SECTION = re.compile(r"A\d \w.*")
FUNCTION = re.compile(r"test_trap_(\d{3})_\w+")


def traps() -> dict[int, str]:
    """The traps listed, by number."""
    lines = (HERE / "numbers.txt").read_text("utf-8").splitlines()
    listed = [line for line in lines if not SECTION.fullmatch(line)]
    assert all(LINE.fullmatch(line) for line in listed)
    return {int(line.split()[0]): line.partition(" ")[2] for line in listed}


def covered() -> Counter[int]:
    """How many tests each trap has: golden cases and functions."""
    found = Counter(int(name[1:4]) for name in NAMES)
    found.update(REUSED.keys())
    for path in HERE.glob("test_*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef) and (match := FUNCTION.fullmatch(node.name)):
                found[int(match[1])] += 1
    return found


def test_the_list_has_no_gap() -> None:
    assert list(traps()) == list(range(1, len(traps()) + 1))
    assert len(set(traps().values())) == len(traps())


def test_every_trap_is_tested_or_has_a_reason() -> None:
    assert sorted(covered().keys() | NOT_EXPRESSIBLE.keys()) == sorted(traps())


def test_what_is_tested_needs_no_excuse() -> None:
    assert covered().keys() & NOT_EXPRESSIBLE.keys() == set()
    assert all(reason.endswith(".") for reason in NOT_EXPRESSIBLE.values())
