"""Pipelines as text, and the loop that runs them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.engine.build import EXACT, main_graph, module, run
from tfreuse.errors import InputError, PipelineError
from tfreuse.ir.graph import Module
from tfreuse.ir.text import print_module
from tfreuse.passes.cse import Cse
from tfreuse.passes.dce import Dce
from tfreuse.pipeline.passes import Context, Pass
from tfreuse.pipeline.registry import find_pass
from tfreuse.pipeline.rewriter import Rewriter
from tfreuse.pipeline.run import run_pipeline
from tfreuse.pipeline.text import PRESETS, parse_pipeline, print_pipeline, resolve_pipeline
from tfreuse.testing.schemas import snapshot_ops


@pytest.mark.parametrize(
    "text",
    [
        "cse",
        "dedupe-reads,cse,dedupe-constants,dce",
        "cse{ops=Conv2D}",
        "cse{ops=Conv2D+MatMul stateless-random=true},dce",
        "cse{quantization=true},cse",
        *PRESETS.values(),
    ],
)
def test_texts_come_back(text: str) -> None:
    assert print_pipeline(parse_pipeline(text)) == text


def test_spaces_and_defaults_are_left_out() -> None:
    assert print_pipeline(parse_pipeline(" cse{ quantization=false  ops=Exp } , dce ")) == "cse{ops=Exp},dce"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("nonsense", "unknown pass 'nonsense'"),
        ("cse,,dce", "cannot read"),
        ("cse dce", "cannot read"),
        ("cse{ops=Exp", "cannot read"),
        ("CSE", "cannot read"),
        ("cse{nonsense=1}", "no option 'nonsense'"),
        ("cse{ops}", "'ops' of pass 'cse' has no value"),
        ("cse{ops=}", "'ops' of pass 'cse' has no value"),
        ("cse{quantization=yes}", "takes true or false"),
        ("dce{ops=Exp}", "it has none"),
    ],
)
def test_errors_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        parse_pipeline(text)


def test_a_pipeline_is_a_text_or_passes_or_a_preset() -> None:
    assert resolve_pipeline(None, "exact") == parse_pipeline(PRESETS["exact"])
    assert resolve_pipeline("cse", "exact") == (Cse(),)
    assert resolve_pipeline((Cse(), Dce()), "exact") == (Cse(), Dce())
    with pytest.raises(PipelineError, match="unknown preset"):
        resolve_pipeline(None, "nonsense")
    with pytest.raises(InputError):
        resolve_pipeline((Cse,), "exact")  # type: ignore[arg-type]  # a class is no pass


def test_passes_are_found_by_name() -> None:
    for name in EXACT.split(","):
        assert find_pass(name).name() == name


TWO = "x = _Arg()\na = Exp(x) {T: float}\nb = Exp(x) {T: float}\ny = Sub(a, b) {T: float}\nargument x\noutput y = y"


@dataclass(frozen=True)
class Broken(Pass):
    """Merges a pair, then does what `how` says."""

    how: str = "raise"

    def candidates(self, context: Context) -> Iterable[str]:
        return ["b"]

    def apply(self, context: Context, candidate: str, rewriter: Rewriter) -> None:
        rewriter.merge(candidate, "a")
        if self.how == "raise":
            raise RuntimeError("no good")
        if self.how == "dangle":
            rewriter.wait("y", "nowhere")
        if self.how == "cycle":
            rewriter.wait("a", "y")


@pytest.mark.parametrize("how", ["raise", "dangle", "cycle"])
def test_a_pass_that_fails_is_undone_and_says_so(how: str) -> None:
    result = run_pipeline(module(TWO), snapshot_ops(), (Broken(how),))
    assert print_module(result.after) == print_module(module(TWO))
    assert [remark.id for remark in result.remarks.items] == ["pass-failed"]
    assert len(result.failures) == 1
    assert result.graphs[""].journal == []


@pytest.mark.parametrize("how", ["raise", "dangle", "cycle"])
def test_other_passes_go_on_after_one_that_failed(how: str) -> None:
    result = run_pipeline(module(TWO), snapshot_ops(), (Broken(how), Cse()))
    assert print_module(result.after) == print_module(run(TWO, "cse").after)
    assert [edit.by for edit in result.graphs[""].journal] == ["cse"]


def test_failures_are_raised_on_request() -> None:
    with pytest.raises(RuntimeError, match="no good"):
        run_pipeline(module(TWO), snapshot_ops(), (Broken(),), raise_failures=True)


def test_a_graph_with_a_cycle_is_left_as_it_was() -> None:
    text = "a = Neg(b) {T: float}\nb = Neg(a) {T: float}\noutput a = a"
    result = run_pipeline(module(text), snapshot_ops(), parse_pipeline(EXACT))
    assert print_module(result.after) == print_module(module(text))
    assert {remark.id for remark in result.remarks.items} == {"pass-failed"}


def test_skipped_graphs_are_left_alone() -> None:
    text = f'graph ""\n{TWO}\ngraph "f"\n{TWO}'
    result = run_pipeline(module(text), snapshot_ops(), parse_pipeline(EXACT), skip=frozenset({"f"}))
    assert "b" in result.after.graphs["f"].nodes
    assert "b" not in result.after.graphs[""].nodes
    assert list(result.after.graphs) == ["", "f"]


def test_opaque_functions_have_unknown_effects() -> None:
    calls = 'c = PartitionedCall(x) {Tin: [type: float], Tout: [type: float], f: @"f"{}}'
    text = f"x = _Arg()\n{calls}\n{calls.replace('c =', 'd =')}\nargument x\noutput c = c\noutput d = d"
    found = Module({"": main_graph(text)}, {"f": "an unknown op"})
    result = run_pipeline(found, snapshot_ops(), parse_pipeline(EXACT), raise_failures=True)
    assert "d" in result.after.graphs[""].nodes
    assert result.after.opaque == {"f": "an unknown op"}


def test_progress_is_told() -> None:
    seen: list[tuple[Any, ...]] = []
    found = module(f'graph ""\n{TWO}\ngraph "f"\n{TWO}')
    run_pipeline(found, snapshot_ops(), parse_pipeline("cse"), progress=lambda *told: seen.append(told))
    assert seen == [("", 0, 2), ("f", 1, 2)]


def test_the_journal_names_the_pass() -> None:
    result = run(TWO)
    assert [(edit.kind, edit.node, edit.other, edit.by) for edit in result.graphs[""].journal] == [
        ("merge", "b", "a", "cse")
    ]


SCRIPT = """
import sys
from pathlib import Path
from tfreuse.ir.text import print_module
from tfreuse.testing.golden import read_case, remark_lines, run_case
for topic in ("graphs", "hoisting", "names", "reads", "tables"):
    for path in sorted((Path(sys.argv[1]) / topic).glob("*.txt")):
        result = run_case(read_case(path))
        print(print_module(result.after), remark_lines(result), [found.journal for found in result.graphs.values()])
"""


def test_results_do_not_depend_on_the_hash_seed() -> None:
    texts = []
    for seed in ("1", "2"):
        command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent / "cases")]
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])}
        texts.append(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
    assert texts[0] == texts[1]
    assert len(texts[0]) > 10_000


def test_passes_that_move_work_come_first() -> None:
    with pytest.raises(PipelineError, match="'hoist-loop-invariants' comes first"):
        resolve_pipeline("cse,hoist-loop-invariants,dce", "exact")
    assert len(resolve_pipeline("hoist-loop-invariants,hoist-common-branch-work,cse", "exact")) == 3
