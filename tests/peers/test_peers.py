"""The cases of the peers, and the page that counts them and says where tfreuse decides otherwise."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests import golden_cases
from tfreuse.testing.golden import read_case

CASES = Path(__file__).parent
NAMES = golden_cases.names_in(CASES)
PAGE = CASES.parents[1] / "docs" / "explanation" / "peers.md"
KNOWN_BUGS: dict[str, str] = {}
OTHERWISE = re.compile(r"\b[Hh]ere\b")
"""A case in which the peer would decide otherwise says what happens here."""


@pytest.mark.parametrize("name", golden_cases.parameters(NAMES, KNOWN_BUGS))
def test_case(name: str) -> None:
    golden_cases.check(CASES, name)


def test_every_case_says_what_it_shows() -> None:
    for name in NAMES:
        comment = read_case(CASES / f"{name}.txt").comment
        assert comment.endswith(".") and len(comment) < 200, name


def test_the_page_counts_the_cases() -> None:
    counts = Counter(name.split("/")[0] for name in NAMES)
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` \| (\d+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert {folder: int(count) for folder, count in rows} == counts
    assert f"{len(NAMES)} cases" in PAGE.read_text("utf-8")


def test_the_page_lists_what_is_decided_otherwise() -> None:
    listed = re.findall(r"^\| `(\w+/\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    otherwise = [name for name in NAMES if OTHERWISE.search(read_case(CASES / f"{name}.txt").comment)]
    assert sorted(listed) == otherwise
