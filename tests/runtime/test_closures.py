"""Closures of custom gradients hold tensors of the traced graph, duplicates too, and ask for them long after the trace.

What they hold must then be what it was when the program stood there, whatever is written later in the function.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.runtime.test_executed import image, whole
from tests.runtime.test_inlined_calls import Layer, X, two_functions
from tests.seeds import executed

RUNS = 20
"""How often a program runs that a lost order spoils now and then."""


class State:
    """Rows that are read through an index that takes milliseconds to compute, and written at the end."""

    def __init__(self) -> None:
        self.matrix = tf.Variable(tf.ones([500, 500]))
        self.rows = tf.Variable([1.0, 2.0])

    def read(self) -> Any:
        product = tf.matmul(self.matrix, tf.matmul(self.matrix, self.matrix))
        return tf.gather(self.rows, tf.cast(tf.reduce_min(product) * 0.0, tf.int32), name="row")

    def write(self) -> None:
        self.rows.assign([100.0, 200.0])


def in_line(state: State, x: Any) -> Any:
    first, held = state.read(), state.read()

    @tf.custom_gradient
    def scaled(x: Any) -> Any:
        return x * held, lambda upstream: upstream * held

    result = scaled(x)
    state.write()
    return first + result


def in_a_loop(state: State, x: Any) -> Any:
    return tf.while_loop(lambda i, _: i < 1, lambda i, x: (i + 1, in_line(state, x)), (0, x))[1]


def in_a_branch(state: State, x: Any) -> Any:
    return tf.cond(x > 0.0, lambda: in_line(state, x), lambda: x)


def in_a_call(state: State, x: Any) -> Any:
    return tf.function(lambda x: in_line(state, x), autograph=False)(x)


def in_tensorflow(state: State, x: Any) -> Any:
    """`tf.nn.silu` has a custom gradient, whose closure holds the features."""
    result = tf.nn.silu(x * state.read()) + tf.nn.silu(x * state.read())
    state.write()
    return result


def recomputed(state: State, x: Any) -> Any:
    first, held = state.read(), state.read()
    result = tf.recompute_grad(lambda held, x: held * tf.square(x))(held, x)
    state.write()
    return first * 0.0 + result


PROGRAMS = [in_line, in_a_loop, in_a_branch, in_a_call, in_tensorflow, recomputed]
ALL = pytest.mark.parametrize("program", PROGRAMS, ids=[program.__name__ for program in PROGRAMS])


def slopes(function: Callable[[Any], Any], state: State, runs: int) -> set[float]:
    found = set()
    for _ in range(runs):
        state.rows.assign([1.0, 2.0])
        x = tf.constant(2.0)
        with tf.GradientTape() as tape:
            tape.watch(x)
            result = function(x)
        found.add(float(tape.gradient(result, x)))
    return found


@ALL
def test_a_closure_finds_the_value_that_was_read_before_the_write(program: Callable[[State, Any], Any]) -> None:
    state = State()
    expected = slopes(tf.function(lambda x: program(state, x), autograph=False), state, 1)
    assert slopes(tfreuse.dedupe(lambda x: program(state, x), autograph=False), state, RUNS) == expected


def reads_before_the_write(graph_def: Any) -> set[str]:
    """The gathers that the assignment waits for, at whatever remove."""
    nodes = {node.name: node for node in graph_def.node}
    (write,) = [node.name for node in graph_def.node if node.op == "AssignVariableOp"]
    found: set[str] = set()
    work = [write]
    while work:
        for text in nodes[work.pop()].input:
            name = text.lstrip("^").partition(":")[0]
            if name not in found:
                found.add(name)
                work.append(name)
    return {name for name in found if nodes[name].op == "ResourceGather"}


@pytest.mark.parametrize("program", [in_line, in_tensorflow, recomputed], ids=lambda program: program.__name__)
def test_the_write_waits_for_all_reads_that_a_closure_may_hold(program: Callable[[State, Any], Any]) -> None:
    state = State()
    graphs = []
    for door in (tf.function, tfreuse.dedupe):
        function = door(lambda x: program(state, x), autograph=False)
        graphs.append(function.get_concrete_function(tf.TensorSpec([])).graph.as_graph_def())
    assert len(reads_before_the_write(graphs[0])) == 2
    assert reads_before_the_write(graphs[0]) == reads_before_the_write(graphs[1])


def convolutions(run: Callable[[Any], Any]) -> tuple[Any, Counter[str]]:
    values, ran = executed.call(run, image())
    return values, Counter({op: ran[op] for op in ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter")})


@pytest.mark.parametrize("inside", [True, False], ids=["step decorated", "forward decorated"])
def test_a_recomputed_forward_is_run_again(inside: bool) -> None:
    """Merging it with the first forward would keep alive the very tensors that the user wanted to be dropped."""
    kernels = [tf.Variable(whole(3, 3, 2, 2, seed=seed)) for seed in (2, 3)]

    @tf.recompute_grad
    def block(x: Any) -> Any:
        hidden = tf.nn.relu(tf.nn.conv2d(x, kernels[0], 1, "SAME"))
        return tf.nn.relu(tf.nn.conv2d(hidden, kernels[1], 1, "SAME"))

    def make(door: Callable[..., Any]) -> Callable[[Any], Any]:
        forward = (lambda f: f) if inside else door

        def loss(x: Any) -> Any:
            return tf.reduce_sum(tf.square(block(x) + block(x)))

        def step(x: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = forward(loss)(x)
            return value, tape.gradient(value, [x, *kernels])

        return door(step) if inside else step

    plain, before = convolutions(make(tf.function))
    shared, after = convolutions(make(tfreuse.dedupe))
    executed.assert_same(plain, shared)
    assert before == {"Conv2D": 8, "Conv2DBackpropInput": 4, "Conv2DBackpropFilter": 4}
    if inside:  # one forward and one recomputed forward, each of two convolutions
        assert after == {"Conv2D": 4, "Conv2DBackpropInput": 2, "Conv2DBackpropFilter": 2}
    else:  # each call has a gradient closure of its own, which recomputes for itself
        assert after["Conv2D"] == 6


@pytest.mark.parametrize("writes", [True, False])
def test_a_closure_in_another_function_finds_what_a_call_gave_before_a_write(writes: bool) -> None:
    """It holds the very output of the call, and asks for it when its gradient is taken."""
    found, reports = [], []
    for decorate in (tf.function, lambda f: tfreuse.dedupe(f, on_error="raise")):
        layer = Layer()
        calls = two_functions(layer)

        def program(x: Any, layer: Layer = layer, calls: Callable[[Any], Any] = calls) -> Any:
            held, other = calls(x)
            scaled = tf.custom_gradient(lambda y: (y * 2.0, lambda upstream: upstream * tf.reduce_sum(held)))
            result = tf.function(lambda y: scaled(y), autograph=False)(x)
            if writes:
                layer.kernel.assign_add(layer.kernel)
            return result, held, other

        function = decorate(program)
        x = tf.constant(X)
        with tf.GradientTape() as tape:
            tape.watch(x)
            result = function(x)[0]
        found.append(tape.gradient(result, x).numpy().tobytes())
        reports.append(getattr(function, "report", None))
    assert found[0] == found[1]
    assert ("inlined" in [remark["id"] for remark in reports[1].to_dict()["remarks"]]) is not writes
