"""Every golden case: its result and remarks, a second run, hashes that all collide, other orders of listing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.interpreter import UnknownHere, expand, named_resources, outcomes
from tests.golden_cases import handles, names_in, parameters
from tfreuse.testing.golden import Case, check_case, check_hashing, check_orders, read_case, run_case

CASES = Path(__file__).parent / "cases"
NAMES = names_in(CASES)

KNOWN_BUGS = {
    "races/fetched_together": "nodes that are fetched by two names are taken never to run together",
    "races/one_variable_in_two_arguments": "two arguments are two resources, as for control dependencies",
    "control_edges/recomputed_behind_a_reading_call": "a call that only reads holds no recomputation back",
}
"""Cases that fail, with the reason; each is expected to fail until the engine is mended."""


def load(name: str) -> Case:
    return read_case(CASES / f"{name}.txt")


def is_interpreted(case: Case) -> bool:
    """Whether the interpreter knows all that the main graph holds; it knows no law by which a window is another's part
    or a sum another's operand (tests/validate/test_selections.py and test_sums.py are about those)."""
    if ("share-overlap" in case.pipeline or "factor-gradients" in case.pipeline) and case.after is not None:
        return False
    try:
        expand(case.before, "", {name: name for name in handles(case)})
    except (UnknownHere, KeyError):
        return False
    return True


@pytest.mark.parametrize("name", parameters(NAMES, KNOWN_BUGS))
def test_case(name: str) -> None:
    case = load(name)
    check_case(case)
    check_hashing(case)
    check_orders(case)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in KNOWN_BUGS and is_interpreted(load(name))])
def test_nothing_new_can_be_seen(name: str) -> None:
    """Whatever the rewritten module may do, the module could do before, over all schedules."""
    case = load(name)
    after = run_case(case).after
    for resources in named_resources(handles(case)):
        terms: dict[tuple[object, ...], int] = {}
        possible = outcomes(expand(case.before, "", resources), terms)
        assert outcomes(expand(after, "", resources), terms) <= possible


def test_known_bugs_are_cases() -> None:
    assert set(NAMES) >= KNOWN_BUGS.keys()


def test_every_case_says_what_it_shows_in_one_or_two_sentences() -> None:
    for name in NAMES:
        comment = load(name).comment
        assert comment.endswith((".", ")")), name
        assert len(comment) < 300, name
