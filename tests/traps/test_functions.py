"""Traps of the decorator: the same program under tf.function and under tfreuse.dedupe, seen and counted.

Numbers are small and whole, so sums are exact in any order.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.offline.checks import assert_same
from tests.seeds import executed
from tfreuse.passes.cse import Cse

pytestmark = pytest.mark.tensorflow

Make = Callable[[], Callable[..., Any]]


def whole(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float32)


IMAGE = tf.constant(whole(2, 8, 8, 2, seed=1))
X = tf.constant([1.0, 2.0, -3.0])


def same(left: Any, right: Any) -> None:
    """Bit-equal, strings and the parts of composite tensors as well."""
    tf.nest.assert_same_structure(left, right, expand_composites=True)
    assert_same(*(tf.nest.flatten(value, expand_composites=True) for value in (left, right)))


def compare(make: Make, *args: Any, **options: Any) -> tuple[Counter[str], Counter[str], Any]:
    """Run two fresh programs, one plain and one shared: equal results, what each executed, and the shared function."""
    plain, before = executed.call(tf.function(make(), **options), *args)
    function = tfreuse.dedupe(make(), on_error="raise", **options)
    shared, after = executed.call(function, *args)
    same(plain, shared)
    return before, after, function


def live(function: Callable[..., Any], *args: Any) -> Counter[str]:
    """The ops that the traced graph needs for its results and effects, as written."""
    graph = function.get_concrete_function(*args).graph
    work = [tensor.op for tensor in graph.outputs] + list(graph.control_outputs)
    seen = {}
    while work:
        op = work.pop()
        if op.name not in seen:
            seen[op.name] = op.type
            work += [tensor.op for tensor in op.inputs] + list(op.control_inputs)
    return Counter(seen.values())


def slopes(make: Make, *args: Any) -> None:
    """Gradients with respect to all arguments are equal, plain and shared."""

    def run(function: Callable[..., Any]) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(args)
            values = function(*args)
        return values, tape.gradient(values, args, unconnected_gradients="zero")

    executed.assert_same(run(tf.function(make())), run(tfreuse.dedupe(make(), on_error="raise")))


def test_trap_001_read_on_both_sides_of_a_write() -> None:
    def make() -> Callable[..., Any]:
        state = tf.Variable(X)

        def program(x: Any) -> Any:
            old = state + x
            state.assign(old)
            return old, state + x, state.read_value() - state.read_value()

        return program

    before, after, function = compare(make, X)
    assert after["ReadVariableOp"] < before["ReadVariableOp"]
    executed.assert_same(function(X)[1], 4.0 * X)


def test_trap_002_layer_called_four_times() -> None:
    def make() -> Callable[..., Any]:
        layer = tf.keras.layers.Conv2D(3, 3)
        layer.build((None, None, None, 2))
        layer.set_weights([whole(3, 3, 2, 3, seed=2), whole(3, seed=3)])
        return lambda x: tf.add_n([layer(x) * float(i) for i in range(4)])

    before, after, _ = compare(make, IMAGE)
    assert (before["ReadVariableOp"], before["Conv2D"]) == (8, 4)
    assert (after["ReadVariableOp"], after["Conv2D"]) == (2, 1)


def test_trap_006_one_variable_in_two_arguments() -> None:
    state = tf.Variable(X)

    @tfreuse.dedupe
    def inner(one: Any, other: Any) -> Any:
        first = one.read_value() - one.read_value()
        other.assign_add(X)
        return first, one.read_value()

    @tfreuse.dedupe
    def program(x: Any) -> Any:
        return inner(state, state), state + x

    executed.assert_same(program(X), ((0.0 * abs(X), 2.0 * X), 3.0 * X))
    executed.assert_same(inner(state, state), (0.0 * abs(X), 3.0 * X))


def test_trap_009_read_and_write_in_a_loop() -> None:
    def make() -> Callable[..., Any]:
        state = tf.Variable(X)

        def program(x: Any) -> Any:
            total = x + state
            for _ in tf.range(3):
                total += state.read_value() * state.read_value()
                state.assign_add(x)
            return total, state + x

        return program

    _, _, function = compare(make, X)
    assert function.report.merged > 0


def test_trap_011_random_ops_registered_as_stateless() -> None:
    """TensorFlow's own optimiser merges these two; as written they are two."""

    @tfreuse.dedupe
    def program(x: Any) -> Any:
        return [tf.raw_ops.FractionalMaxPool(value=x, pooling_ratio=[1.0, 1.5, 1.5, 1.0])[0] for _ in range(2)]

    assert live(program, tf.constant(whole(1, 60, 60, 1)))["FractionalMaxPool"] == 2


def test_trap_012_a_file_read_on_both_sides_of_a_write(tmp_path: Path) -> None:
    name = tmp_path / "file"

    def make() -> Callable[..., Any]:
        def program(name: Any) -> Any:
            name.set_shape([])
            old = tf.io.read_file(name)
            again = tf.io.read_file(name)
            with tf.control_dependencies([old, again]):
                written = tf.io.write_file(name, "new")
            with tf.control_dependencies([written]):
                return old, again, tf.io.read_file(name)

        name.write_text("old")
        return program

    _, after, function = compare(make, tf.constant(str(name)))
    name.write_text("old")
    assert [value.numpy() for value in function(tf.constant(str(name)))] == [b"old", b"old", b"new"]
    assert after["ReadFile"] == 2


def test_trap_017_buffers_updated_in_place() -> None:
    """The graph keeps two buffers; the executor's own pass may still make them one, in plain functions as well."""

    @tfreuse.dedupe
    def program(sizes: Any, one: Any) -> Any:
        buffers = [tf.fill(sizes, 0.0) for _ in range(2)]
        return [tf.raw_ops.InplaceAdd(x=buffer, i=[0], v=[one]) for buffer in buffers]

    graph = program.get_concrete_function(tf.constant([2, 3]), X).graph
    updates = [op for op in graph.get_operations() if op.type == "InplaceAdd"]
    assert len({op.inputs[0].op.name for op in updates}) == 2


def test_trap_020_python_functions_are_called_as_often() -> None:
    calls: list[str] = []

    def make() -> Callable[..., Any]:
        def double(x: Any) -> Any:
            calls.append("double")
            return 2.0 * x

        def triple(x: Any) -> Any:
            calls.append("triple")
            return 3.0 * x

        def program(x: Any) -> Any:
            parts = [tf.numpy_function(f, [x], tf.float32, stateful=False) for f in (double, triple, double)]
            return tf.stack(parts)

        return program

    plain = tf.function(make())(X)
    expected = Counter(calls)
    calls.clear()
    executed.assert_same(plain, tfreuse.dedupe(make(), on_error="raise")(X))
    assert Counter(calls) == expected


def test_trap_025_uninitialised_variable_behind_a_branch() -> None:
    """The branch that does not read runs, although another place would fail."""
    handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[], shared_name="never_written")

    def read() -> Any:
        return tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32)

    @tfreuse.dedupe
    def program(p: Any) -> Any:
        return tf.cond(p, lambda: read() + read(), lambda: 0.0), tf.cond(p, lambda: read() * 2.0, lambda: 1.0)

    assert [float(value) for value in program(tf.constant(False))] == [0.0, 1.0]
    with pytest.raises(tf.errors.FailedPreconditionError):
        program(tf.constant(True))


def test_trap_029_two_dropouts() -> None:
    @tfreuse.dedupe
    def program(x: Any) -> Any:
        return tf.nn.dropout(x, 0.5), tf.nn.dropout(x, 0.5)

    one, other = program(tf.ones([4000]))
    assert np.any(one.numpy() != other.numpy())


def test_trap_033_recomputed_forward() -> None:
    """What is computed again to save memory is computed again."""

    def make() -> Callable[..., Any]:
        kernel = tf.Variable(whole(3, 3, 2, 2, seed=2))

        @tf.recompute_grad
        def segment(x: Any) -> Any:
            return tf.nn.relu(tf.nn.conv2d(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME")), kernel, 1, "SAME"))

        def program(x: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(segment(x))
            return y, tape.gradient(y, x)

        return program

    plain, shared = tf.function(make()), tfreuse.dedupe(make(), on_error="raise")
    same(plain(IMAGE), shared(IMAGE))
    assert live(shared, IMAGE)["Conv2D"] == live(plain, IMAGE)["Conv2D"] == 4


def test_trap_067_outputs_share_no_buffer_that_is_written() -> None:
    """Two outputs that are one value: what changes a variable made of the first leaves the second alone."""
    state, inside = tf.Variable(tf.zeros(3)), tf.Variable(tf.zeros(3))

    @tfreuse.dedupe
    def program(x: Any) -> Any:
        inside.assign(tf.square(x))
        kept = tf.square(x)
        inside.scatter_nd_update([[0]], [100.0])
        return tf.square(x), kept, tf.square(x)

    one, other, third = program(X)
    state.assign(one)
    state.assign_add(X)
    executed.assert_same([one, other, third], [tf.square(X)] * 3)


CONSUMERS: dict[str, Callable[[Any, Any], Any]] = {
    "concat": lambda a, b: tf.concat([a, b, a], 0),
    "stack": lambda a, b: tf.stack([a, b]),
    "add_n": lambda a, b: tf.add_n([a, b, a]),
    "matmul": lambda a, b: tf.linalg.matvec(tf.linalg.diag(a), b),
    "where": lambda a, b: tf.where(a > 0.0, a, b),
    "select": lambda a, b: tf.clip_by_value(a, -b, b),
    "identity_n": lambda a, b: tf.identity_n([a, b]),
    "cond": lambda a, b: tf.cond(a[0] > 0.0, lambda: a - 2.0 * b, lambda: a * b),
    "while": lambda a, b: tf.while_loop(lambda i, *_: i < 2, lambda i, p, q: (i + 1, p * b, q - a), [0, a, b])[1:],
    "call": lambda a, b: tf.function(lambda p, q: p - 2.0 * q)(a, b),
    "map": lambda a, b: tf.map_fn(lambda pair: pair[0] * pair[1], (a, b), fn_output_signature=tf.float32),
    "einsum": lambda a, b: tf.einsum("i,j->ij", a, b),
    "dynamic_stitch": lambda a, b: tf.dynamic_stitch([[0, 1, 2], [3, 4, 5]], [a, b]),
}


@pytest.mark.parametrize("name", CONSUMERS)
def test_trap_068_one_tensor_twice(name: str) -> None:
    def make() -> Callable[..., Any]:
        return lambda x: CONSUMERS[name](tf.square(x) - 3.0, tf.square(x) - 3.0)

    _, _, function = compare(make, X)
    assert function.report.merged > 0 or name == "cond"
    slopes(make, X)


def test_trap_071_control_dependencies_of_the_user() -> None:
    def make() -> Callable[..., Any]:
        state = tf.Variable(0.0)

        def program(x: Any) -> Any:
            early = tf.square(x) + state.read_value()
            with tf.control_dependencies([early]):
                written = state.assign_add(1.0)
            with tf.control_dependencies([written]):
                late = tf.square(x) + tf.raw_ops.ReadVariableOp(resource=state.handle, dtype=tf.float32)
            return early, late

        return program

    compare(make, X)


def test_trap_080_values_of_two_branches() -> None:
    def make() -> Callable[..., Any]:
        def program(x: Any) -> Any:
            return tf.cond(x[0] > 0.0, lambda: tf.square(x) - 1.0, lambda: tf.square(x) + 1.0) * tf.square(x)

        return program

    for x in (X, -X):
        compare(make, x)
        slopes(make, x)


def test_trap_082_bodies_are_visited() -> None:
    def make() -> Callable[..., Any]:
        kernel = tf.Variable(whole(3, 3, 2, 2, seed=2))

        def convolved(x: Any) -> Any:
            return tf.nn.conv2d(x, kernel, 1, "SAME")

        def program(x: Any) -> Any:
            for _ in tf.range(2):
                x = convolved(x) - 2.0 * convolved(x)
            return x

        return program

    before, after, _ = compare(make, IMAGE)
    assert (before["Conv2D"], after["Conv2D"]) == (2, 1)


def test_trap_083_a_body_with_two_callers_and_a_gradient() -> None:
    def run(decorate: Callable[..., Any]) -> Any:
        weight = tf.Variable(X)

        @decorate
        def inner(x: Any) -> Any:
            return tf.square(x * weight) - tf.square(x * weight) * weight

        program = decorate(lambda x, y: inner(x) + inner(y) + 2.0 * inner(x))
        with tf.GradientTape() as tape:
            tape.watch(X)
            value = program(X, X + 1.0)
        return value, tape.gradient(value, [X, weight])

    executed.assert_same(run(tf.function), run(tfreuse.dedupe))


def test_trap_084_one_variable_captured_twice_by_a_loop() -> None:
    def make() -> Callable[..., Any]:
        weight = tf.Variable(X)

        def program(x: Any) -> Any:
            one, other = weight.read_value(), weight.read_value()
            return tf.while_loop(lambda i, _: i < 2, lambda i, v: (i + 1, v * one - other), [0, x])[1]

        return program

    compare(make, X)
    slopes(make, X)


def test_trap_092_fused_convolution() -> None:
    """A whole chain is shared, so that TensorFlow can still fuse it into one kernel."""

    def make() -> Callable[..., Any]:
        kernel, bias = tf.Variable(whole(3, 3, 2, 4, seed=2)), tf.Variable(whole(4, seed=3))

        def tower(x: Any) -> Any:
            return tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias))

        return lambda x: tower(x) - 2.0 * tower(x)

    before, after, _ = compare(make, IMAGE)
    assert (before["Conv2D"], after["Conv2D"]) == (2, 1)
    assert (after["BiasAdd"], after["Relu"]) == (before["BiasAdd"], before["Relu"]) == (0, 0)


def test_trap_098_constants_that_a_compiler_needs() -> None:
    def make() -> Callable[..., Any]:
        def program(x: Any) -> Any:
            sides = [tf.reduce_sum(tf.reshape(tf.tile(x, [2]), [2, -1]), [1]) for _ in range(2)]
            return sides[0] * sides[1]

        return program

    plain = tf.function(make(), jit_compile=True)(X)
    shared = tfreuse.dedupe(make(), jit_compile=True, on_error="raise")
    executed.assert_same(plain, shared(X))
    assert shared.report.merged > 0


def test_trap_099_work_is_done_once_a_trace() -> None:
    program = tfreuse.dedupe(lambda x: tf.square(x) - tf.square(x))
    for x in (X, X + 1.0, X, tf.constant(2.0), tf.constant(3.0)):
        program(x)
    assert len(program.reports) == program.experimental_get_tracing_count() == 2


def test_trap_106_custom_gradients() -> None:
    """One function, two gradients: equal forward, and each keeps its own backward."""

    def make() -> Callable[..., Any]:
        def scaled(factor: float) -> Callable[..., Any]:
            @tf.custom_gradient
            def forward(x: Any) -> Any:
                return tf.square(x), lambda upstream: upstream * factor

            return forward

        one, other = scaled(3.0), scaled(7.0)
        return lambda x: one(x) - 2.0 * other(x) + 4.0 * one(x)

    slopes(make, X)
    with tf.GradientTape() as tape:
        tape.watch(X)
        value = tfreuse.dedupe(make())(X)
    executed.assert_same(tape.gradient(value, X), tf.constant([3.0 - 14.0 + 12.0] * 3))


def test_trap_106_custom_gradients_in_called_functions() -> None:
    """What comes from above is clipped for each call by itself: 1 - 1, and not the clipped 2 - 5."""

    @tf.custom_gradient
    def clipped(x: Any) -> Any:
        return 3.0 * x, lambda upstream: tf.clip_by_value(upstream, -1.0, 1.0)

    inner = tf.function(lambda x: clipped(x))

    def slope(decorate: Callable[..., Any]) -> Any:
        program = decorate(lambda x: 2.0 * inner(x) - 5.0 * inner(x))
        with tf.GradientTape() as tape:
            tape.watch(X)
            value = program(X)
        return tape.gradient(value, X)

    executed.assert_same(slope(tf.function), tf.zeros(3))
    executed.assert_same(slope(tfreuse.dedupe), tf.zeros(3))


def test_trap_107_gradients() -> None:
    def make() -> Callable[..., Any]:
        def program(x: Any) -> Any:
            stopped = tf.stop_gradient(tf.square(x)) * x
            passed = tf.identity(tf.square(x)) * x
            return tf.reduce_sum(stopped - 2.0 * passed) + tf.reduce_sum(tf.square(x))

        return program

    slopes(make, X)


def test_trap_107_prevented_gradients() -> None:
    def program(x: Any) -> Any:
        return tf.raw_ops.PreventGradient(input=tf.square(x), message="not here") + tf.square(x)

    def slope(decorate: Callable[..., Any]) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(X)
            value = decorate(program)(X)
        return tape.gradient(value, X)

    for decorate in (tf.function, tfreuse.dedupe):
        with pytest.raises(LookupError, match="not here"):
            slope(decorate)


def test_trap_108_values_held_for_the_backward_pass() -> None:
    """Loops, branches and calls hand intermediate values to their gradients, also to those of the second order."""

    def make() -> Callable[..., Any]:
        weight = tf.Variable(X)

        @tf.function
        def inner(x: Any) -> Any:
            return tf.square(x) * weight

        def program(x: Any) -> Any:
            y = inner(x) - 2.0 * inner(x)
            y = tf.cond(x[0] > 0.0, lambda: tf.square(y) + tf.square(y) * weight, lambda: y)
            y = y / 64.0
            return tf.while_loop(lambda i, _: i < 2, lambda i, v: (i + 1, v * weight - v * weight * 0.5), [0, y])[1]

        return program

    slopes(make, X)

    def second(function: Callable[..., Any]) -> Any:
        with tf.GradientTape() as outer:
            outer.watch(X)
            with tf.GradientTape() as inner:
                inner.watch(X)
                value = function(X)
            slope = inner.gradient(value, X)
        return value, slope, outer.gradient(slope, X)

    executed.assert_same(second(tf.function(make())), second(tfreuse.dedupe(make(), on_error="raise")))


REPLICAS = """
import tensorflow as tf, tfreuse
from tests.seeds import executed
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

def run(decorate):
    with strategy.scope():
        shared = tf.Variable(1.0, aggregation=tf.VariableAggregation.SUM)
        sums = dict(synchronization=tf.VariableSynchronization.ON_READ, aggregation=tf.VariableAggregation.SUM)
        own = tf.Variable(0.0, **sums)

    @decorate
    def step(x):
        def replica(x):
            context = tf.distribute.get_replica_context()
            own.assign_add(x * tf.cast(1 + context.replica_id_in_sync_group, tf.float32))
            shared.assign_add(x * 0.5)
            return own.read_value() - own.read_value() * shared.read_value() + shared.read_value()

        return strategy.experimental_local_results(strategy.run(replica, (x,)))

    values = [step(tf.constant(2.0)) for _ in range(2)]
    return values, own.read_value(), shared.read_value(), step

*plain, _ = run(tf.function)
*shared, step = run(lambda function: tfreuse.dedupe(function, on_error="raise"))
executed.assert_same(plain, shared)
assert len(plain[0][0]) == 2 and float(plain[0][0][0]) != float(plain[0][0][1])
assert step.report.merged > 0
"""


def test_trap_114_variables_with_components() -> None:
    """Under a strategy each of two replicas reads its own component; in a process of its own, for two devices."""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", REPLICAS], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_trap_115_composite_tensors() -> None:
    def make() -> Callable[..., Any]:
        def program(sparse: Any, ragged: Any) -> Any:
            one, other = tf.sparse.reorder(sparse), tf.sparse.reorder(sparse)
            row, again = ragged * 2.0, ragged * 2.0
            return {"sum": tf.sparse.add(one, other), "both": (one, other), "rows": [row, again, row - again]}

        return program

    sparse = tf.SparseTensor([[1, 0], [0, 1]], [1.0, 2.0], [2, 2])
    _, _, function = compare(make, sparse, tf.ragged.constant([[1.0], [2.0, 3.0]]))
    assert function.report.merged > 0


def test_trap_117_a_failure_costs_the_optimisation(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: Any) -> Any:
        raise ZeroDivisionError("broken on purpose")

    monkeypatch.setattr(Cse, "candidates", broken)
    function = tfreuse.dedupe(lambda x: tf.square(x) - tf.square(x) * 2.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        executed.assert_same(function(X), -tf.square(X))
    assert any("broken on purpose" in str(warning.message) for warning in caught)
    assert function.report.failures
