"""Passes that raise, never come back or return nonsense cost their graph at most; the rest of the model is written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import tfreuse
from tests.cli.command import spawn
from tests.cli.graphs import repeated
from tests.offline import checks
from tfreuse.errors import InputError
from tfreuse.passes.cse import Cse
from tfreuse.passes.dce import Dce
from tfreuse.passes.dedupe_reads import DedupeReads
from tfreuse.pipeline.passes import Pass
from tfreuse.remarks.remark import Remark

Work = Callable[[Any, Any], Any]


def misbehaving(work: Work, stacks: bool = False) -> Pass:
    """A pass that does `work` with its context and rewriter."""

    @dataclass(frozen=True)
    class Strange(Pass):
        def candidates(self, context: Any) -> Any:
            return [None]

        def apply(self, context: Any, candidate: Any, rewriter: Any) -> None:
            work(context, rewriter)

    Strange.stacks = stacks
    return Strange()


def raising(error: BaseException) -> Work:
    def work(context: Any, rewriter: Any) -> None:
        raise error

    return work


def recursing(context: Any, rewriter: Any) -> None:
    recursing(context, rewriter)


def optimized(step: Pass, **options: Any) -> Any:
    """The graph with two equal sines that comes of a pipeline with `step` in the middle, and the report."""
    steps = (DedupeReads(), step, Cse(), Dce())
    return tfreuse.optimize_graph_def(repeated(), outputs=["y"], pipeline=steps, **options)


ERRORS = (
    *(MemoryError("no more"), RecursionError("too deep"), SystemExit(0), SystemExit("bye"), GeneratorExit()),
    *(StopIteration(), AssertionError(), UnicodeError("\ud800\n"), BaseException("anything")),
)


@pytest.mark.parametrize("time_limit", [None, 60])
@pytest.mark.parametrize("work", [*map(raising, ERRORS), recursing], ids=[*(repr(e) for e in ERRORS), "recursing"])
def test_a_pass_that_raises(work: Work, time_limit: float | None) -> None:
    """`SystemExit` would end the command as if all were done, with nothing written."""
    graph, report = optimized(misbehaving(work), time_limit=time_limit)
    assert [remark["id"] for remark in report.failures] == ["pass-failed"]
    assert report.failures[0]["pass"] == "strange" and str(report)
    assert sorted(node.name for node in graph.node) == ["a", "x", "y"]  # the other passes did their work


@pytest.mark.parametrize("time_limit", [None, 60])
def test_an_interrupt_is_the_users(time_limit: float | None) -> None:
    with pytest.raises(KeyboardInterrupt):
        optimized(misbehaving(raising(KeyboardInterrupt())), time_limit=time_limit)


def _remark(**fields: Any) -> Work:
    return lambda context, rewriter: context.remarks.add(
        Remark(**{"id": "merged", "function": "", "nodes": (), **fields})
    )


NONSENSE: dict[str, Work] = {
    "merge nothing": lambda context, rewriter: rewriter.merge("nothing", "a"),
    "merge into nothing": lambda context, rewriter: rewriter.merge("a", "nothing"),
    "merge None": lambda context, rewriter: rewriter.merge(None, 7),
    "merge a list": lambda context, rewriter: rewriter.merge("a", ["b"]),
    "merge what is fetched": lambda context, rewriter: rewriter.merge("y", "a"),
    "alias of a word": lambda context, rewriter: rewriter.merge("b", "a", "float"),
    "alias of no type": lambda context, rewriter: rewriter.merge("b", "a", 1 << 40),
    "remove what is used": lambda context, rewriter: rewriter.remove("a"),
    "remove nothing": lambda context, rewriter: rewriter.remove("nothing"),
    "wait for nothing": lambda context, rewriter: rewriter.wait("a", "nothing"),
    "a circle": lambda context, rewriter: rewriter.wait("a", "y"),
    "merge unequal": lambda context, rewriter: rewriter.merge("a", "x"),
    "alias of another type": lambda context, rewriter: rewriter.merge("a", "x", 3),
    "a journal of its own": lambda context, rewriter: rewriter.journal.append("done"),
    "edits behind its back": lambda context, rewriter: rewriter.forward.update(a="nothing", b=7),
    "no remark": lambda context, rewriter: context.remarks.add("done"),
    "a remark with a number": _remark(detail=7),
    "a remark about a number": _remark(nodes=7),
    "a remark about numbers": _remark(nodes=(7,)),
    "a remark of no kind": _remark(id="nothing"),
}


@pytest.mark.parametrize("stacks", [False, True])
@pytest.mark.parametrize("kind", NONSENSE)
def test_a_pass_that_returns_nonsense(kind: str, stacks: bool) -> None:
    graph, report = optimized(misbehaving(NONSENSE[kind], stacks))
    assert {remark["id"] for remark in report.failures} <= {"pass-failed", "proof-refused"} and report.failures
    assert str(report) and report.to_json()
    expected = {"x", "y", "a"} if any(r["pass"] == "strange" for r in report.failures) else {"x", "y", "a", "b"}
    assert {node.name for node in graph.node} == expected


@pytest.mark.parametrize("questions", [("candidates",), ("legal",), ("profitable",)])
@pytest.mark.parametrize("answer", [7, "no", object()])
def test_a_pass_that_answers_nonsense(questions: tuple[str], answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    step = misbehaving(lambda context, rewriter: None)
    for question in questions:
        monkeypatch.setattr(type(step), question, lambda *args: answer)
    graph, report = optimized(step)
    expected = [] if questions == ("candidates",) and answer == "no" else ["pass-failed"]
    assert [remark["id"] for remark in report.failures] == expected
    assert len(graph.node) == 3


def spinning(context: Any, rewriter: Any) -> None:
    while True:
        pass


def deaf(context: Any, rewriter: Any) -> None:
    """Waits, and then loops, and catches what would stop it a first time."""
    for _ in range(2):
        try:
            time.sleep(0.5)
            spinning(context, rewriter)
        except BaseException:
            rewriter.merge("b", "a")


@pytest.fixture
def no_threads_left() -> Iterator[None]:
    """The threads that were given up end soon."""
    yield
    deadline = time.monotonic() + 20
    while any(thread.name == "tfreuse-pass" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "tfreuse-pass" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("work", [spinning, lambda *args: time.sleep(2)], ids=["loop", "sleep"])
@pytest.mark.usefixtures("no_threads_left")
def test_a_pass_that_does_not_come_back(work: Work) -> None:
    started = time.monotonic()
    graph, report = optimized(misbehaving(work), time_limit=0.3)
    assert time.monotonic() - started < 30
    assert [(remark["id"], remark["pass"]) for remark in report.failures] == [("time-limit", "strange")]
    assert graph == repeated()  # the graph that it was at is as it was


@pytest.mark.usefixtures("no_threads_left")
def test_the_rest_of_the_model_is_written(model: Path, tmp_path: Path) -> None:
    """The main graph, at which the pass hangs, stays; the functions are optimised without it, in any thread."""
    steps = (DedupeReads(), misbehaving(spinning), Cse(), Dce())
    reports: list[Any] = []

    def work() -> None:
        reports.append(tfreuse.optimize_saved_model(model, tmp_path / "target", pipeline=steps, time_limit=1))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    (remark,) = reports[0].failures
    assert remark["id"] == "time-limit" and "the graphs after this do without it" in remark["detail"]
    assert reports[0].merged > 0
    assert checks.ops(str(tmp_path / "target"))[""] == checks.ops(str(model))[""]
    with checks.as_written():
        checks.assert_same(checks.run_loaded(str(model)), checks.run_loaded(str(tmp_path / "target")))


DEAF = """
from tests.faults.test_passes import deaf
from tfreuse.passes.cse import Cse
Cse.run = lambda self, context, rewriter: deaf(context, rewriter)
"""


def test_the_command_ends_whatever_a_pass_does(model: Path, tmp_path: Path) -> None:
    done = spawn("optimize", "model", "target", "--time-limit", "0.2", cwd=tmp_path, code=DEAF)
    assert (done.code, done.err) == (0, "")
    assert "time-limit" in done.out
    checks.assert_carried(str(model), str(tmp_path / "target"))


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf"), "5"])
def test_limits_that_are_none(limit: Any) -> None:
    with pytest.raises(InputError, match="give a positive number of seconds"):
        optimized(Cse(), time_limit=limit)


def test_a_limit_that_is_kept_changes_nothing() -> None:
    assert optimized(Cse(), time_limit=1e30)[0] == optimized(Cse())[0]
