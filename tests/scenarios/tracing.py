"""How a decorated function is called, traced, retraced, copied, and how it fails."""

from __future__ import annotations

import copy
import inspect
import re
import threading

import tensorflow as tf

from tests.scenarios.observe import caught, expect, whole
from tests.scenarios.registry import Decorate, scenario


class RefusalError(Exception):
    """An exception of the user's own."""


class DetailedError(Exception):
    """One that cannot be made again from its message alone."""

    def __init__(self, message: str, details: str = "none"):
        super().__init__(f"{message} ({details})")


@scenario
def python_arguments(decorate: Decorate):
    """Defaults, keywords, `*others`, `**rest`: one trace for each set of Python values."""
    weight = tf.Variable(whole(3, seed=1))
    traces = []

    @decorate
    def blend(x, scale=2, *others, mode="sum", **rest):
        """Blend tensors and Python values."""
        traces.append((scale, mode, sorted(rest)))
        total = x * weight * scale + x * weight * scale
        for other in others:
            total += other * weight
        if mode == "mean":
            total /= 2.0
        return total, {key: value * 2 for key, value in rest.items()}, mode

    x = tf.constant([1.0, 2.0, 3.0])
    results = [
        blend(x),
        blend(x, 2),
        blend(x, scale=3, mode="mean"),
        blend(x, 1, x, x, flag=True, bias=x),
        blend(tf.constant([2.0, 2.0, 2.0])),
        blend(x, scale=3, mode="mean"),
    ]
    expect(results[0][0], 4.0 * x.numpy() * weight.numpy())
    expect(results[2][0], 3.0 * x.numpy() * weight.numpy())
    assert traces == [(2, "sum", []), (3, "mean", []), (1, "sum", ["bias", "flag"])]
    return {
        "results": results,
        "traces": traces,
        "count": blend.experimental_get_tracing_count(),
        "signature": str(inspect.signature(blend)),
        "names": [blend.__name__, blend.__doc__],
    }


@scenario
def input_signature(decorate: Decorate):
    """A fixed signature: one trace, named arguments, other shapes and dtypes refused."""
    weight = tf.Variable(whole(3, 2, seed=2))
    traces = []

    def project(x, flag):
        traces.append(x.shape.as_list())
        twice = tf.matmul(x, weight) + tf.matmul(x, weight)
        return tf.where(flag, twice, -twice)

    specs = [tf.TensorSpec([None, 3], tf.float32, name="pixels"), tf.TensorSpec([], tf.bool)]
    project = decorate(input_signature=specs)(project)
    direct = decorate(lambda x: x * x + x * x, input_signature=specs[:1], experimental_implements="square")
    x = whole(4, 3, seed=3)
    results = [project(x, True), project(x[:2], False), project(flag=True, x=x[:1]), direct(x)]
    expect(results[1], -2.0 * x[:2] @ weight.numpy())
    expect(results[3], 2.0 * x * x)
    assert traces == [[None, 3]]
    concrete = project.get_concrete_function()
    return {
        "results": results,
        "refused": [
            caught(lambda: project(tf.ones([2, 4]), True)),
            caught(lambda: project(tf.ones([2, 3], tf.int32), True)),
            caught(lambda: project(x)),
        ],
        "signature": str(project.input_signature),
        "implements": direct.get_concrete_function().function_def.attr["_implements"].s,
        "structure": str(concrete.structured_input_signature),
        "arguments": [tensor.name for tensor in concrete.inputs[:2]],
        "by name": concrete(pixels=tf.constant(x), flag=tf.constant(True)),
    }


@scenario
def retracing(decorate: Decorate):
    """New shapes, dtypes and Python values trace again; `reduce_retracing` relaxes shapes instead."""
    weight = tf.Variable(2.0)
    traces = {"default": [], "reduced": []}

    def poly(kind):
        def compute(x, power=1):
            traces[kind].append((x.dtype.name, str(x.shape), power))
            factor = tf.cast(weight, x.dtype)
            return (x * factor) ** power + (x * tf.cast(weight, x.dtype)) ** power

        return compute

    functions = {
        "default": decorate(poly("default")),
        "reduced": decorate(poly("reduced"), reduce_retracing=True),
    }
    results = {}
    for kind, function in functions.items():
        calls = [function(tf.range(size, dtype=tf.float32)) for size in (2, 3, 4, 5, 3)]
        calls += [function(tf.constant([1.0, 2.0]), power) for power in (1, 2, 2)]
        calls += [function(tf.constant([3], tf.int32)), function(tf.constant([[1.0]]))]
        expect(calls[3], [0.0, 4.0, 8.0, 12.0, 16.0])
        expect(calls[6], [8.0, 32.0])
        results[kind] = [calls, function.experimental_get_tracing_count()]
    assert len(traces["reduced"]) < len(traces["default"])
    listing = functions["default"].pretty_printed_concrete_signatures()
    return results, traces, re.sub(r"\d{6,}", "(id of a capture)", listing)


@scenario
def variable_as_argument(decorate: Decorate):
    """Variables as arguments, read and written, also the same one twice."""

    @decorate
    def update(target, source, x):
        before = target * x + target * x
        source.assign_add(x)
        return before, target * x, source + 0.0

    @decorate
    def penalty(variable):
        return tf.reduce_sum(variable * variable) + tf.reduce_sum(variable * variable)

    left, right = tf.Variable(1.0, name="left"), tf.Variable(1.0, name="right")
    x = tf.constant(2.0)
    results = [update(left, right, x), update(right, left, x), update(left, left, x)]
    expect(results[0], (4.0, 2.0, 3.0))
    expect(results[2], (12.0, 10.0, 5.0))
    with tf.GradientTape() as tape:
        loss = penalty(left) + penalty(right)
    slopes = tape.gradient(loss, [left, right])
    expect(slopes, [20.0, 12.0])
    return results, slopes, left, right, update.experimental_get_tracing_count()


@scenario
def copied_functions(decorate: Decorate):
    """Copies of modules and of functions have their own state."""

    class Accumulator(tf.Module):
        """Counts what its decorated method sees."""

        def __init__(self):
            super().__init__(name="accumulator")
            self.total = tf.Variable(0.0)

        @decorate
        def add(self, x):
            before = self.total + 0.0
            self.total.assign_add(x * x)
            return before, self.total + x * x

    original = Accumulator()
    first = original.add(tf.constant(2.0))
    twin = copy.deepcopy(original)
    results = [first, original.add(tf.constant(3.0)), twin.add(tf.constant(1.0)), twin.add(tf.constant(1.0))]
    expect([original.total.numpy(), twin.total.numpy()], [13.0, 6.0])
    function = decorate(lambda x: tf.sin(x) + tf.sin(x))
    duplicate = copy.deepcopy(function)
    same = decorate(lambda x: x + x)
    return results, function(tf.constant(1.0)), duplicate(tf.constant(1.0)), copy.copy(same)(tf.constant(2))


@scenario
def run_functions_eagerly(decorate: Decorate):
    """The switch that runs functions eagerly works, on and off."""
    weight = tf.Variable(3.0)
    runs = []

    @decorate
    def compute(x):
        runs.append(tf.executing_eagerly())
        if x > 0.0:
            weight.assign_add(x)
        return x * weight + x * weight

    x = tf.constant(2.0)
    results = [compute(x)]
    tf.config.run_functions_eagerly(True)
    try:
        with tf.GradientTape() as tape:
            results += [compute(x), compute(-x)]
        results.append(tape.gradient(results[-1], weight))
    finally:
        tf.config.run_functions_eagerly(False)
    results.append(compute(x))
    expect(results, [20.0, 28.0, -28.0, -4.0, 36.0])
    assert runs == [False, True, True]
    return results, weight, runs


@scenario
def concurrent_tracing(decorate: Decorate):
    """Six threads trace one shared function, and one of their own each, at the same moment."""
    weight = tf.Variable(whole(2, 2, seed=5))
    workers = 6
    barrier = threading.Barrier(workers)
    results: list = [None] * workers
    shared = decorate(lambda x: tf.matmul(x, weight) + tf.matmul(x, weight))

    def work(index):
        own = decorate(lambda x: tf.matmul(x, weight) * index + tf.matmul(x, weight) * index)
        x = tf.constant(whole(index + 1, 2, seed=index))
        barrier.wait()
        with tf.GradientTape() as tape:
            outputs = [shared(x), own(x), shared(x + 1.0)]
        results[index] = [outputs, tape.gradient(outputs, weight)]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, result in enumerate(results):
        expect(result[0][0], 2.0 * whole(index + 1, 2, seed=index) @ weight.numpy())
    return results


@scenario
def error_messages(decorate: Decorate):
    """Failures name the user's line, and leave the function usable."""
    table = tf.Variable(whole(4, seed=6))

    def lookup(index):
        return tf.gather(table + 0.0, index) + tf.gather(table + 0.0, index)

    def refuse(x):
        if x.shape.rank == 0:
            raise KeyError("no scalars")
        return x + x

    def mismatch(x):
        return tf.matmul(x, tf.ones([3, 3])) + tf.matmul(x, tf.ones([3, 3]))

    def reject(x, kind):
        raise kind("not this one")

    def place(function, offset=1):
        return f'tracing.py", line {function.__code__.co_firstlineno + offset}, in '

    look, stop, match, never = decorate(lookup), decorate(refuse), decorate(mismatch), decorate(reject)
    errors = [
        caught(lambda: look(tf.constant(9)), place(lookup)),
        caught(lambda: stop(tf.constant(1.0)), place(refuse, 2)),
        caught(lambda: match(tf.ones([2, 2])), place(mismatch)),
        caught(lambda: never(tf.constant(1), RefusalError), place(reject)),
        caught(lambda: never(tf.constant(1), DetailedError), place(reject)),
        caught(lambda: never(tf.constant(1), StopIteration)),
        caught(lambda: look(tf.constant(1), 2, 3)),
    ]
    kinds = [error["raised"] for error in errors]
    assert kinds[:4] == ["InvalidArgumentError", "KeyError", "ValueError", "RefusalError"]
    assert kinds[-1] == "TypeError"
    assert all(error["names the place"] for error in errors[:5])
    after = look(tf.constant(1)), stop(tf.ones([2])), match(tf.ones([2, 3]))
    expect(after[0], 2.0 * table.numpy()[1])
    return errors, after
