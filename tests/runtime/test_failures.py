"""When tfreuse itself fails, the function works as tf.function made it, once warned about and named in the report."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.seeds import executed
from tfreuse.errors import InputError, PipelineError, TfreuseError
from tfreuse.passes.cse import Cse
from tfreuse.passes.dedupe_reads import DedupeReads
from tfreuse.runtime import tracing
from tfreuse.runtime.live import LiveGraph

X = tf.constant([1.0, 2.0])


def broken(*_args: Any, **_options: Any) -> Any:
    raise ZeroDivisionError("broken on purpose")


def make_program() -> Callable[[Any], Any]:
    """Reads, a loop and writes, with something to merge in the main graph and in the loop's body."""
    weight, count = tf.Variable([2.0, 3.0]), tf.Variable(0.0)

    def program(x: Any) -> Any:
        first = x * weight + x * weight
        for _ in tf.range(2):
            x = x * weight + x * weight
        count.assign_add(1.0)
        weight.assign_sub([1.0, 1.0])
        return first, x, count + count, x * weight + x * weight, tf.exp(x) - tf.exp(x)

    return program


def observe(function: Callable[[Any], Any], *calls: Any) -> list[Any]:
    return [function(x) for x in calls]


def warnings_of(call: Callable[[], Any]) -> tuple[Any, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    ours = [each for each in caught if "tfreuse" in str(each.message)]
    assert all(each.category is RuntimeWarning for each in ours)
    return result, [str(each.message) for each in ours]


BREAKS = {
    "a pass's candidates": (Cse, "candidates"),
    "a pass's legality": (DedupeReads, "legal"),
    "the end of a pass": (DedupeReads, "finish"),
    "reading the graph": (LiveGraph, "read"),
    "carrying edits out": (LiveGraph, "apply"),
    "one edit": (LiveGraph, "_move_inputs"),
}


@pytest.mark.parametrize("where", BREAKS.values(), ids=BREAKS.keys())
def test_a_failure_leaves_the_function_as_it_was(monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str]) -> None:
    calls = X, X, X[:1] * tf.constant([1.0, 5.0])
    plain = observe(tf.function(make_program()), *calls)
    monkeypatch.setattr(*where, broken)
    function = tfreuse.dedupe(make_program())
    values, messages = warnings_of(lambda: observe(function, *calls))
    executed.assert_same(plain, values)
    assert len(messages) == 1
    assert "broken on purpose" in messages[0]
    assert function.report.failures
    assert all("ZeroDivisionError: broken on purpose" in failure["detail"] for failure in function.report.failures)
    assert "failure:" in str(function.report)
    assert len(function.reports) == function.experimental_get_tracing_count()


def test_a_failure_in_a_loop_body_is_in_the_report_of_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The main graph went well; that must not hide what happened before."""
    rewire = tracing.rewire

    def broken_in_bodies(live: Any, *args: Any) -> Any:
        return broken() if "while" in live.graph.name else rewire(live, *args)

    plain = observe(tf.function(make_program()), X)
    monkeypatch.setattr(tracing, "rewire", broken_in_bodies)
    function = tfreuse.dedupe(make_program())
    values, messages = warnings_of(lambda: observe(function, X))
    executed.assert_same(plain, values)
    assert len(messages) == 1
    assert function.report.merged
    assert function.report.failures
    assert len(function.reports) == 1


def signature(graph: Any) -> dict[str, Any]:
    nodes = {node.name: node for node in graph.as_graph_def().node}
    inputs = {name: [each for each in node.input if each[0] != "^"] for name, node in nodes.items()}
    return {name: (node.op, inputs[name], sorted(set(node.input) - set(inputs[name]))) for name, node in nodes.items()}


@pytest.mark.parametrize("last", [0, 1, 2, 5])
def test_edits_are_undone_whole(monkeypatch: pytest.MonkeyPatch, last: int) -> None:
    """The edit number `last` fails behind those before it; the graph is then the one that tf.function traced."""
    program = make_program()
    plain = tf.function(program).get_concrete_function(X)
    done = []

    def failing(edit: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            done.append(args)
            return broken() if len(done) == last + 1 else edit(*args)

        return run

    monkeypatch.setattr(LiveGraph, "_control_setter", failing(LiveGraph._control_setter))
    monkeypatch.setattr(LiveGraph, "_move_inputs", failing(LiveGraph._move_inputs))
    monkeypatch.setattr(tracing, "_encloses", lambda outer, inner: False)  # loop bodies are left alone
    function = tfreuse.dedupe(program)
    shared, messages = warnings_of(lambda: function.get_concrete_function(X))
    assert len(done) > last
    assert len(messages) == 1
    assert signature(shared.graph) == signature(plain.graph)
    assert {op.name for op in shared.graph.control_outputs} == {op.name for op in plain.graph.control_outputs}


def test_errors_are_raised_where_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = tf.Variable([2.0, 3.0])
    function = tfreuse.dedupe(lambda x: x * weight + x * weight, on_error="raise")
    with_loop = tfreuse.dedupe(make_program(), on_error="raise")
    with monkeypatch.context() as patch:
        patch.setattr(Cse, "candidates", broken)
        with pytest.raises(ZeroDivisionError, match="broken on purpose"):
            function(X)
        with pytest.raises(Exception, match="broken on purpose"):  # autograph gives it a type of its own
            with_loop(X)
        assert not tracing._active.traces
        assert function.report is with_loop.report is None
    executed.assert_same(observe(tf.function(make_program()), X), observe(with_loop, X))
    assert function(X).numpy().tolist() == [4.0, 12.0]
    for each in (function, with_loop):
        assert each.report.merged
        assert not each.report.failures


def test_an_error_of_the_user_leaves_nothing_behind() -> None:
    weight = tf.Variable(2.0)
    outcome: list[Any] = [KeyError("first"), tf.errors.InternalError(None, None, "second"), KeyboardInterrupt(), None]

    def inner(x: Any) -> Any:
        result = x * weight + x * weight
        error = outcome.pop(0)
        if error is not None:
            raise error
        return result

    @tfreuse.dedupe(autograph=False)
    def outer(x: Any) -> Any:
        return tf.cond(x > 0.0, lambda: tfreuse.dedupe(inner, autograph=False)(x), lambda: x)

    for kind in (KeyError, tf.errors.InternalError, KeyboardInterrupt):
        with pytest.raises(kind):
            outer(tf.constant(1.0))
        assert not tracing._active.traces
        assert outer.reports == []
    assert float(outer(tf.constant(1.0))) == 4.0
    assert len(outer.reports) == 1
    assert not outer.report.failures


REFUSED: dict[str, tuple[type[Exception], dict[str, Any], str]] = {
    "on_error": (InputError, {"on_error": "ignore"}, "'fallback' or 'raise', not 'ignore'"),
    "preset": (PipelineError, {"preset": "best"}, "unknown preset 'best'; there are exact, hoist, conv, fast"),
    "pass": (PipelineError, {"pipeline": "cse,licm"}, "unknown pass 'licm'; there are"),
    "option": (PipelineError, {"pipeline": "cse{op=Conv2D}"}, "no option 'op'; it has ops"),
    "option's value": (PipelineError, {"pipeline": "cse{quantization=1}"}, "takes true or false"),
    "no pass": (PipelineError, {"pipeline": " "}, "pipeline"),
    "text that does not parse": (PipelineError, {"pipeline": "cse;dce"}, "cannot read the pipeline"),
    "passes by name in a tuple": (PipelineError, {"pipeline": ("cse", "dce")}, "a text or a sequence of passes"),
    "no pipeline at all": (PipelineError, {"pipeline": 3}, "a text or a sequence of passes"),
    "argument of tf.function": (TypeError, {"inputs": None}, "unexpected keyword argument 'inputs'"),
    "value of tf.function": (TypeError, {"input_signature": 3}, "input_signature must be"),
}


@pytest.mark.parametrize(("kind", "options", "message"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("with_parentheses", [False, True], ids=["dedupe(f, ...)", "@dedupe(...)"])
def test_wrong_arguments_are_refused_at_decoration(
    kind: type[Exception], options: dict[str, Any], message: str, with_parentheses: bool
) -> None:
    with pytest.raises(kind, match=message) as raised:
        tfreuse.dedupe(**options)(make_program()) if with_parentheses else tfreuse.dedupe(make_program(), **options)
    if isinstance(raised.value, TfreuseError):
        assert "\n" not in str(raised.value)
        assert isinstance(raised.value, ValueError)
