"""Every seeded bug is refused, and every right rewrite of the same kind is accepted (see `tests.validate.seeded`)."""

from __future__ import annotations

import pytest

from tests.validate.seeded import read_cases

CASES = read_cases()
WRONG = [name for name, case in CASES.items() if not case.is_right]
RIGHT = [name for name, case in CASES.items() if case.is_right]


def test_there_are_enough() -> None:
    assert len(WRONG) >= 40 and len(RIGHT) >= 15


@pytest.mark.parametrize("name", WRONG)
def test_a_seeded_bug_is_refused(name: str) -> None:
    assert CASES[name].refusal() is not None


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_rewrite_is_accepted(name: str) -> None:
    assert CASES[name].refusal() is None
