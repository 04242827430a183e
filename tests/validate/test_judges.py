"""`tools.judges` on three bugs: numbers show the first two, and see nothing of the third."""

from __future__ import annotations

import pytest

from tests.validate.seeded import read_cases
from tools.judges import judge, table

BUGS = {
    "1 reads across a write": True,
    "55 operands of what does not commute": True,
    "an alias with an attribute of its own": False,
}


@pytest.mark.tensorflow
def test_three_bugs() -> None:
    cases = read_cases()
    rows = [judge(cases[name]) for name in BUGS]
    assert {row.name: row.shown for row in rows} == BUGS
    assert all(row.is_refused for row in rows)
    text = table(rows)
    assert "the proof refuses 3 of 3" in text and "numbers show 2 of 3 that run" in text
