"""Traced branches that write, check or fail to be changed: effects happen once, and a failure costs the move alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.loops.runs import assert_same_results, normal, times, values_and_gradients
from tests.loops.test_live_branches import Weights, hoist, missed, remarks
from tfreuse.runtime import live, live_branches
from tfreuse.runtime.live import LiveGraph

IMAGE = tf.constant(normal(1, 6, 6, 3))
KERNEL = tf.constant(normal(3, 3, 3, 3, seed=1))


def convolve(image: Any, kernel: Any = KERNEL) -> Any:
    return tf.nn.conv2d(image, kernel, 1, "SAME")


@pytest.mark.parametrize("flag", [True, False])
def test_writes_of_a_branch_happen_once_and_in_order(flag: bool) -> None:
    """The operation that gave way does not run beside the one that took its place."""
    results = []
    for make in (tf.function, hoist):
        count = tf.Variable(1.0)

        def program(image: Any, chosen: Any, count: Any = count) -> Any:
            def more() -> Any:
                return convolve(image) * count.assign_add(1.0)

            def less() -> Any:
                return tf.sin(convolve(image)) * count.assign(count * 3.0)

            before = count.read_value()
            value = tf.cond(chosen, more, less)
            after = count.assign_add(10.0)
            return value, before, after, count.assign(count * 2.0) + convolve(image)

        made = make(program)
        values = [value for _ in range(2) for value in made(IMAGE, tf.constant(flag))]
        results.append([*values, count.read_value()])
        runs = times("Conv2D", made, IMAGE, tf.constant(flag))
    assert_same_results(*results, exact=len(results[0]))
    assert (remarks(made, "hoisted"), runs) == (1, 1)


@pytest.mark.parametrize("flag", [True, False])
def test_a_branch_that_gives_nothing(flag: bool) -> None:
    results = []
    for make in (tf.function, hoist):
        count = tf.Variable(1.0)

        def program(image: Any, chosen: Any, count: Any = count) -> Any:
            if chosen:
                count.assign_add(tf.reduce_sum(convolve(image)))
            else:
                count.assign_sub(tf.reduce_sum(convolve(image)) * 2.0)
            return count * 1.0

        made = make(program)
        results.append([made(IMAGE, tf.constant(flag)) for _ in range(2)] + [count.read_value()])
    assert_same_results(*results, exact=3)
    assert remarks(made, "hoisted") == 1


@pytest.mark.parametrize("flag", [True, False])
def test_a_read_of_what_a_branch_writes_stays(flag: bool) -> None:
    results = []
    for make in (tf.function, hoist):
        weights = Weights()

        def program(image: Any, chosen: Any, weights: Any = weights) -> Any:
            def writes() -> Any:
                before = weights.convolve(image)
                weights.kernel.assign(weights.kernel * 0.5)
                return before + weights.convolve(image)

            return tf.cond(chosen, writes, lambda: tf.sin(weights.convolve(image)))

        made = make(program)
        results.append([made(IMAGE, tf.constant(flag)) for _ in range(2)] + [weights.kernel.read_value()])
    assert_same_results(*results, exact=3)
    assert remarks(made, "hoisted") == 0
    assert any("may be written there" in detail for detail in missed(made))


def test_a_read_between_writes_of_the_caller() -> None:
    results = []
    for make in (tf.function, hoist):
        weights = Weights()

        def program(image: Any, chosen: Any, weights: Any = weights) -> Any:
            first = weights.convolve(image)
            weights.kernel.assign(weights.kernel * 0.5)
            second = tf.cond(chosen, lambda: weights.convolve(image) * 2.0, lambda: tf.sin(weights.convolve(image)))
            weights.kernel.assign(weights.kernel * 0.5)
            return first, second, weights.convolve(image)

        made = make(program)
        results.append([value for flag in (True, False) for value in made(IMAGE, tf.constant(flag))])
    assert_same_results(*results, exact=6)
    assert (remarks(made, "hoisted"), times("Conv2D", made, IMAGE, tf.constant(True))) == (1, 3)


@pytest.mark.parametrize("flag", [True, False])
def test_checks_stay_in_their_branch(flag: bool) -> None:
    """What comes behind a check stays with it; the check of the other branch is not made."""

    def program(image: Any, chosen: Any) -> Any:
        def checked(limit: float) -> Any:
            check = tf.debugging.Assert(tf.reduce_sum(tf.square(image)) < limit, [image])
            free = convolve(image)
            with tf.control_dependencies([check]):
                return free * 2.0 + tf.tanh(convolve(image + 1.0))

        return tf.cond(chosen, lambda: checked(1e6), lambda: tf.sin(checked(0.0)))

    made = hoist(program)
    if flag:
        assert_same_results([tf.function(program)(IMAGE, tf.constant(True))], [made(IMAGE, tf.constant(True))])
        assert times("Conv2D", made, IMAGE, tf.constant(True)) == 2
    else:
        with pytest.raises(tf.errors.InvalidArgumentError, match="assertion failed"):
            made(IMAGE, tf.constant(False))
    assert remarks(made, "hoisted") == 1  # `free` moves, the other convolution waits for the check


def test_branches_of_a_loaded_model_stay() -> None:
    """Python has no graphs of the branches of a function that was built from its definition."""
    inner = tf.function(lambda image, flag: tf.cond(flag, lambda: convolve(image), lambda: tf.sin(convolve(image))))
    concrete = inner.get_concrete_function(IMAGE, tf.constant(True))
    graph_def = concrete.graph.as_graph_def()

    def program(image: Any, flag: Any) -> Any:
        names = [tensor.name for tensor in concrete.inputs[:2]]
        mapped = dict(zip(names, (image, flag), strict=True))
        return tf.graph_util.import_graph_def(graph_def, mapped, [concrete.outputs[0].name], name="")[0]

    made = hoist(program)
    assert_same_results([inner(IMAGE, tf.constant(True))], [made(IMAGE, tf.constant(True))])
    assert (remarks(made, "hoisted"), times("Conv2D", made, IMAGE, tf.constant(True))) == (0, 1)
    assert any("Python does not know" in detail for detail in missed(made))


def test_a_branch_without_identities_stays() -> None:
    """Somebody may hold its very outputs, and it would run once more."""
    from tensorflow.python.ops import cond_v2

    if not hasattr(cond_v2, "fast_cond_v2"):
        pytest.skip("this TensorFlow has no such branches")

    def program(image: Any, flag: Any) -> Any:
        return cond_v2.fast_cond_v2(flag, lambda: convolve(image), lambda: tf.sin(convolve(image))) * 2.0

    made = hoist(program)
    assert_same_results([tf.function(program)(IMAGE, tf.constant(False))], [made(IMAGE, tf.constant(False))])
    assert remarks(made, "hoisted") == 0
    assert any("may hold its own outputs" in detail for detail in missed(made))


def broken(*_args: Any, **_options: Any) -> Any:
    raise ZeroDivisionError("broken on purpose")


def after(function: Callable[..., Any]) -> Callable[..., Any]:
    """What `function` does, and then a failure."""

    def run(*args: Any, **options: Any) -> Any:
        function(*args, **options)
        return broken()

    return run


BREAKS = {
    "behind the new operation": (live, "replace_branch", after(live.replace_branch)),
    "behind the edits of one branch": (live_branches, "move_nodes", after(live_branches.move_nodes)),
    "instead of the functions": (live_branches, "register", broken),
    "behind the first function": (live_branches, "register", after(live_branches.register)),
    "one edit": (LiveGraph, "_move_inputs", after(LiveGraph._move_inputs)),
    "when others are to wait for it": (LiveGraph, "_control_setter", broken),
}


@pytest.mark.parametrize(
    ("name", "where"),
    [*(("chosen", where) for where in BREAKS), ("three", "behind the new operation"), ("in_a_loop", "one edit")],
)
def test_a_failure_leaves_branches_as_they_were(monkeypatch: pytest.MonkeyPatch, name: str, where: str) -> None:
    """Gradients are taken of the graphs of the branches, which went back to what they were."""
    weights, results, seen, apply = Weights(), [], [], LiveGraph.apply
    count = tf.Variable(0.0)

    def program(image: Any, flag: Any) -> Any:
        value = getattr(weights, name)(image, flag)
        if flag:
            count.assign_add(tf.reduce_sum(convolve(image)))
        else:
            count.assign_sub(tf.reduce_sum(convolve(image)))
        return value * count.assign(1.0)

    def watched(self: LiveGraph, *args: Any) -> None:
        was = branches_of(self.graph)
        try:
            apply(self, *args)
        except ZeroDivisionError:
            seen.append((was, branches_of(self.graph)))
            raise

    monkeypatch.setattr(LiveGraph, "apply", watched)
    monkeypatch.setattr(*BREAKS[where])
    args = (IMAGE, tf.constant(True))
    plain, made = tf.function(program), tfreuse.dedupe(program, preset="hoist")
    plain(*args)
    with pytest.warns(RuntimeWarning, match="broken on purpose"):
        made(*args)
    assert made.report.failures
    assert any(was for was, _ in seen)
    assert all(was == now for was, now in seen)
    for function in (plain, made):
        results.append(values_and_gradients(function, args, [IMAGE, weights.kernel, weights.scale]))
    assert_same_results(*results)


def branches_of(graph: Any) -> list[Any]:
    """How the operations of each branch that is in use are wired, those of branches in loops included."""
    found = []
    for op in graph.get_operations():
        places = ("_true_graph", "_false_graph", "_branch_graph_0", "_branch_graph_1", "_branch_graph_2", "_body_graph")
        for inner in [getattr(op, place) for place in places if hasattr(op, place)]:
            numbers = {each: number for number, each in enumerate(inner.get_operations())}
            wires = {
                number: (
                    [numbers[source.op] for source in each.inputs],
                    [numbers[wait] for wait in each.control_inputs],
                )
                for each, number in numbers.items()
                if each.type != "Placeholder"
            }
            ends = [[numbers[tensor.op] for tensor in tensors] for tensors in (inner.inputs, inner.outputs)]
            ends.append([numbers[each] for each in inner.control_outputs])
            found.append((op.type, len(op.inputs), len(inner.external_captures), wires, ends))
            found += branches_of(inner)
    return found
