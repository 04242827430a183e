"""Traps of the engine, as golden cases named after their numbers (`a017_...`); the rest needs a few lines of Python.

Most cases hold the trap in their main graph and, beside it, a counterpart that does merge.
"""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests import golden_cases
from tests.engine.test_golden import CASES as ENGINE_CASES
from tests.engine.test_golden import KNOWN_BUGS as ENGINE_BUGS
from tfreuse.ir.attrs import Attrs, Tensor
from tfreuse.ir.graph import Graph
from tfreuse.ir.parse import parse_module
from tfreuse.pipeline.motion import first_origin
from tfreuse.pipeline.run import run_pipeline
from tfreuse.pipeline.text import PRESETS, parse_pipeline
from tfreuse.testing.golden import check_hashing, read_case, run_case
from tfreuse.testing.schemas import snapshot_ops

CASES = Path(__file__).parent / "cases"
NAMES = golden_cases.names_in(CASES)
KNOWN_BUGS: dict[str, str] = {}
REUSED = {
    6: "races/one_variable_in_two_arguments",
    17: "in_place/elsewhere_in_the_graph",
    29: "random/masks_of_stateless_draws",
    77: "colocation/groups_that_become_one",
    90: "control_edges/recomputed_behind_a_reading_call",
    91: "memory/tiles_far_apart",
}
"""Cases of tests/engine that show another side of a trap; a known bug there is one here."""


def chain(length: int, copies: int = 2) -> str:
    """Equal chains of `length` nodes, all on one argument."""
    lines = ['graph ""', "  x = _Arg() {T: float}"]
    for copy in range(copies):
        names = ["x", *(f"n{copy}_{step}" for step in range(length))]
        lines += [f"  {name} = Neg({above}) {{T: float}}" for above, name in pairwise(names)]
    ends = ", ".join(f"n{copy}_{length - 1}" for copy in range(copies))
    return "\n".join([*lines, f"  y = AddN({ends}) {{N: {copies}, T: float}}", "  argument x", "  output y = y"])


def in_order(graph: Graph) -> bool:
    """Whether every node stands behind all that it needs."""
    seen: set[str] = set()
    for node in graph.nodes.values():
        if not seen.issuperset([value.node for value in node.inputs]) or not seen.issuperset(node.controls):
            return False
        seen.add(node.name)
    return True


@pytest.mark.parametrize("name", golden_cases.parameters(NAMES, KNOWN_BUGS), ids=[name[1:] for name in NAMES])
def test_trap(name: str) -> None:
    golden_cases.check(CASES, name)


@pytest.mark.parametrize(
    "name",
    golden_cases.parameters(REUSED.values(), ENGINE_BUGS),
    ids=[f"{number:03}_{name}" for number, name in REUSED.items()],
)
def test_another_side_of_a_trap(name: str) -> None:
    golden_cases.check(ENGINE_CASES, name)


def test_known_bugs_are_cases() -> None:
    assert set(NAMES) >= KNOWN_BUGS.keys()


def test_every_case_says_what_it_shows() -> None:
    for name in NAMES:
        comment = read_case(CASES / f"{name}.txt").comment
        assert comment.endswith(".") and len(comment) < 200, name


@pytest.mark.parametrize("number", [34, 35, 37, 38, 41, 43, 44, 46, 48, 49, 52])
def test_trap_042_equal_hashes(number: int) -> None:
    """With one hash for all attributes and constants, the comparison alone tells what differs."""
    (name,) = [name for name in NAMES if name.startswith(f"a{number:03}_")]
    check_hashing(read_case(CASES / f"{name}.txt"))


@pytest.mark.parametrize("kind", [Attrs, Tensor])
def test_trap_062_hashing_again(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the nodes are no more than twice the comparisons and hashes of attributes or constants."""
    calls = 0
    plain_hash, plain_equal = kind.__hash__, kind.__eq__

    def counted_hash(self: object) -> int:
        nonlocal calls
        calls += 1
        return plain_hash(self)

    def counted_equal(self: object, other: object) -> bool:
        nonlocal calls
        calls += 1
        return bool(plain_equal(self, other))

    monkeypatch.setattr(kind, "__hash__", counted_hash)
    monkeypatch.setattr(kind, "__eq__", counted_equal)

    def cost(copies: int) -> int:
        nonlocal calls
        lines = ['graph ""', "  x = _Arg() {T: float}"]
        for copy in range(copies):
            number = f"value: tensor(float, [], {copy % 10}.0)"
            lines.append(f"  c{copy} = Const() {{dtype: float, {number}}}")
            lines.append(f'  n{copy} = Mul(x, c{copy}) {{T: float, _number: "{copy % 7}"}}')
        names = ", ".join(f"n{copy}" for copy in range(copies))
        lines += [f"  y = AddN({names}) {{N: {copies}, T: float}}", "  argument x", "  output y = y"]
        module = parse_module("\n".join(lines))
        calls = 0
        run_pipeline(module, snapshot_ops(), parse_pipeline(PRESETS["exact"]), raise_failures=True)
        return calls

    small, large = cost(200), cost(400)
    assert large <= 2.2 * small + 100
    assert large < 40 * 400


def test_trap_063_survivors_by_address() -> None:
    """Whatever seed Python hashes with, the result is the same text."""
    names = ["a001_read_on_both_sides_of_a_write", "a043_several_groups_of_one_hash", "a073_who_waits_for_the_copy"]
    program = (
        "import sys; from pathlib import Path\n"
        "from tfreuse.ir.text import print_module\n"
        "from tfreuse.testing.golden import read_case, remark_lines, run_case\n"
        "for path in sys.argv[1:]:\n"
        "    result = run_case(read_case(Path(path)))\n"
        "    print(print_module(result.after), *remark_lines(result), sep='\\n')\n"
    )
    paths = [str(CASES / f"{name}.txt") for name in names]
    root = Path(__file__).resolve().parents[2]
    texts = {
        subprocess.run(
            [sys.executable, "-c", program, *paths],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(texts) == 1 and texts.pop().strip()


@pytest.mark.parametrize("folder", [CASES, ENGINE_CASES], ids=["traps", "engine"])
def test_trap_075_nodes_stay_in_order(folder: Path) -> None:
    """Graphs in which sources stand before their users are left like that."""
    for name in golden_cases.names_in(folder):
        case = read_case(folder / f"{name}.txt")
        result = run_case(case)
        for key, graph in result.after.graphs.items():
            assert in_order(graph) or not in_order(case.before.graphs[first_origin(result.origins, key)]), name


def test_trap_087_long_chains() -> None:
    """Ten thousand nodes in a row, twice: nothing recurses."""
    module = parse_module(chain(10_000))
    after = run_pipeline(module, snapshot_ops(), parse_pipeline(PRESETS["exact"]), raise_failures=True).after
    assert len(after.graphs[""].nodes) == 10_002


def test_trap_088_no_name_is_made_up() -> None:
    """Whatever is rewritten keeps to the names that were there."""
    for name in NAMES:
        case = read_case(CASES / f"{name}.txt")
        after = run_case(case).after
        for key, graph in case.before.graphs.items():
            assert after.graphs[key].nodes.keys() <= graph.nodes.keys(), name
            assert [label for label, _ in after.graphs[key].outputs] == [label for label, _ in graph.outputs], name
