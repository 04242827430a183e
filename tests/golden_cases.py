"""Folders of golden cases: their names, and everything that is asked of one case outside of tests/engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.engine.interpreter import TooManySchedules, UnknownHere, expand, named_resources, outcomes
from tfreuse.ir.dtypes import NUMBERS
from tfreuse.testing.golden import Case, check_case, check_hashing, check_orders, read_case, run_case


def names_in(folder: Path) -> list[str]:
    """The cases below `folder`, as paths without the ending."""
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.txt"))


def parameters(names: Iterable[str], known_bugs: Mapping[str, str]) -> list[Any]:
    """The cases, those of known bugs expected to fail until the engine is mended."""
    return [
        pytest.param(name, marks=pytest.mark.xfail(reason=known_bugs[name], strict=True))
        if name in known_bugs
        else name
        for name in names
    ]


def handles(case: Case) -> tuple[str, ...]:
    """The main graph's resource arguments."""
    main = case.before.graphs[""]
    return tuple(name for name in main.arguments if main.nodes[name].attrs.value("T") == NUMBERS["resource"])


def check(folder: Path, name: str) -> None:
    """Result and remarks, a second run, hashes that collide, other orders, and nothing new to be seen."""
    case = read_case(folder / f"{name}.txt")
    check_case(case)
    check_hashing(case)
    check_orders(case)
    check_outcomes(case)


def check_outcomes(case: Case) -> None:
    """Check, where the reference interpreter knows all ops, that nothing can be seen that could not be seen before."""
    if "" not in case.before.graphs:
        return
    after = run_case(case).after
    for resources in named_resources(handles(case)):
        terms: dict[tuple[object, ...], int] = {}
        try:
            possible = outcomes(expand(case.before, "", resources), terms)
            found = outcomes(expand(after, "", resources), terms)
        except (UnknownHere, TooManySchedules, KeyError):
            return
        assert found <= possible, case.name
