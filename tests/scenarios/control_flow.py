"""Loops, branches, and Python control flow turned into them."""

from __future__ import annotations

import tensorflow as tf

from tests.scenarios.observe import caught, expect, whole
from tests.scenarios.registry import Decorate, scenario


def two_orders(function, x, *others):
    """The value of `function(x)`, its gradients to `x` and `others`, and those of the gradient to `x`."""
    sources = [x, *others]
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = function(x)
        first = inner.gradient(y, sources)
    return y, first, outer.gradient(first[0], sources)


@scenario
def while_loop_gradients(decorate: Decorate):
    """First and second order through a loop, with the tapes outside and inside."""
    weight = tf.Variable(2.0)

    @decorate
    def compute(x):
        total = x * weight
        step = tf.constant(0)
        while step < 2:
            total = total * weight + total * weight
            total += x * weight + x * weight
            step += 1
        return total * x + total * x

    x = tf.constant(3.0)
    results = two_orders(compute, x, weight)
    inside = decorate(lambda x: two_orders(compute, x, weight))(x)
    expect(results[0], 18.0 * (4 * 2**3 + 4 * 2**2 + 2 * 2))
    expect(results[1], [12.0 * 52, 18.0 * (12 * 4 + 8 * 2 + 2)])
    expect(results[2], [4.0 * 52, 12.0 * (12 * 4 + 8 * 2 + 2)])
    expect(inside, results)
    return results, inside


@scenario
def cond_gradients(decorate: Decorate):
    """First and second order through branches that repeat the work around them."""
    weight, other = tf.Variable(2.0), tf.Variable(2.0)

    @decorate
    def compute(x):
        outside = x * weight * x
        positive = tf.cond(
            x > 0.0,
            lambda: x * weight * x + x * weight * x,
            lambda: x * other * x * x + x * other * x * x,
        )
        same = tf.cond(x > 0.0, lambda: x * other * x, lambda: x * weight)
        return outside + positive + same

    results = [two_orders(compute, tf.constant(value), weight, other) for value in (3.0, -3.0)]
    expect(results[0], (72.0, [48.0, 27.0, 9.0], [16.0, 18.0, 6.0]))
    expect(results[1][:2], (18.0 - 108.0 - 6.0, [-12.0 + 108.0 + 2.0, 9.0 - 3.0, -54.0]))
    assert results[1][2][2] is not None
    return results


@scenario
def switch_case_gradients(decorate: Decorate):
    """First and second order through equal switches, and through `tf.case`."""
    weight = tf.Variable(2.0)

    @decorate
    def choose(index, x):
        branches = [
            lambda: x * weight * x + x * weight * x,
            lambda: x * x * x + x * x * x,
            lambda: tf.zeros([]) + weight,
        ]
        picked = tf.switch_case(index, branches)
        again = tf.switch_case(index, branches)
        cases = [(x > 10.0, lambda: x * weight), (x > 1.0, lambda: x * weight * 2.0)]
        cased = tf.case(cases, default=lambda: x)
        return picked + again + cased

    x = tf.constant(3.0)
    first_orders = []
    for index in range(4):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = choose(tf.constant(index), x)
        first_orders.append([y, tape.gradient(y, [x, weight])])
    results = two_orders(lambda x: choose(tf.constant(0), x), x, weight)
    expect(first_orders[:2], [[84.0, [52.0, 42.0]], [120.0, [112.0, 6.0]]])
    expect(first_orders[2:], [[16.0, [4.0, 8.0]], [16.0, [4.0, 8.0]]])
    expect(results, (*first_orders[0], [16.0, 26.0]))
    return first_orders, results, choose.experimental_get_tracing_count()


@scenario
def map_fn_gradients(decorate: Decorate):
    """First and second order through `map_fn`; first through folds and scans."""
    weight = tf.Variable(whole(2, 2, seed=1))

    @decorate
    def compute(rows):
        def each(row):
            once, again = tf.linalg.matvec(weight, row), tf.linalg.matvec(weight, row)
            return tf.reduce_sum(once * row) + tf.reduce_sum(again)

        return tf.reduce_sum(tf.map_fn(each, rows))

    @decorate
    def fold(rows):
        def add(total, row):
            return total + tf.reduce_sum(row * row) + tf.reduce_sum(row * row)

        folded = tf.foldl(add, rows, 0.0) + tf.foldl(add, rows, 0.0)
        scanned = tf.scan(lambda total, row: total + row * row + row * row, rows)
        return folded + tf.reduce_sum(scanned)

    rows = tf.constant(whole(3, 2, seed=2))
    results = two_orders(compute, rows, weight)
    products = rows.numpy() @ weight.numpy().T
    expect(results[0], (products * rows.numpy()).sum() + products.sum())
    with tf.GradientTape() as tape:
        tape.watch(rows)
        folded = fold(rows)
    slope = tape.gradient(folded, rows)
    expect(slope, [[8.0], [16.0], [12.0]] * rows.numpy() + [[3.0], [0.0], [0.0]])
    inside = decorate(lambda rows: tf.gradients(compute(rows), [rows, weight]))(rows)
    expect(inside, results[1])
    return results, folded, slope, inside


@scenario
def stateful_loop(decorate: Decorate):
    """A loop that reads, writes and reads again; what it leaves behind is read after it."""
    value, log = tf.Variable(1.0), tf.Variable(tf.zeros([4]))
    table = tf.lookup.experimental.MutableHashTable(tf.int32, tf.float32, 0.0)

    @decorate
    def compute(count):
        before = value + value
        for step in tf.range(count):
            start = value * 2.0 + value * 2.0
            seen = table.lookup(step) + table.lookup(step)
            value.assign_add(1.0)
            table.insert(step, value + value)
            seen += table.lookup(step) + table.lookup(step)
            log.scatter_nd_update([[step]], [start + value + value + seen])
        after = value + value
        unchanged = tf.constant(0.0)
        for _ in tf.range(count):
            unchanged += value * 3.0 + value * 3.0
        return before, after, unchanged, log + 0.0

    @decorate
    def twice(count):
        def body(step):
            value.assign_add(1.0)
            return [step + 1]

        for _ in range(2):
            tf.while_loop(lambda step: step < count, body, [0])
        return value + value

    results = [compute(tf.constant(3)), compute(tf.constant(2)), compute(tf.constant(0))]
    expect(results[0], (2.0, 8.0, 72.0, [16.0, 26.0, 36.0, 0.0]))
    expect(results[1], (8.0, 12.0, 72.0, [54.0, 68.0, 36.0, 0.0]))
    expect(results[2], (12.0, 12.0, 0.0, [54.0, 68.0, 36.0, 0.0]))
    doubled = twice(tf.constant(3))
    expect(doubled, 24.0)
    return results, doubled, value, log, table.size(), compute.experimental_get_tracing_count()


@scenario
def autograph(decorate: Decorate):
    """Python loops and branches over tensors, its options, and its errors."""
    weight, visits = tf.Variable(2.0), tf.Variable(0)

    def helper(x):
        if tf.reduce_sum(x) > 10.0:
            return x * weight + x * weight
        return -(x * weight + x * weight)

    @tf.autograph.experimental.do_not_convert
    def unconverted(x):
        return x * 2 if isinstance(x, tf.Tensor) else None

    @decorate
    def compute(items, limit):
        total, rows = tf.constant(0.0), tf.TensorArray(tf.float32, 0, dynamic_size=True)
        for item in items:
            visits.assign_add(1)
            if item < 0.0:
                continue
            if item > limit or total > 100.0:
                break
            total += item * weight + item * weight
            rows = rows.write(rows.size(), item * weight)
        kinds = [helper(total * ones) for ones in (tf.ones([2]), tf.ones([3]))]
        for number in tf.data.Dataset.range(3):
            total += tf.cast(number, tf.float32) * weight
        return total, rows.stack(), kinds, unconverted(total)

    @decorate(experimental_autograph_options=tf.autograph.experimental.Feature.ASSERT_STATEMENTS)
    def checked(limit):
        assert limit > 0.0, "limit"
        return limit * weight + limit * weight

    items = tf.constant([1.0, -1.0, 2.0, 9.0, 3.0])
    results = [compute(items, tf.constant(5.0)), compute(items, tf.constant(50.0))]
    expect(results[0][0], 18.0)
    expect(results[1][0], 66.0)
    expect(visits, ["variable", tf.constant(9)])
    errors = [
        caught(lambda: decorate(helper, autograph=False)(items)),
        caught(lambda: checked(tf.constant(-1.0)), "limit"),
    ]
    assert errors[0]["raised"] == "OperatorNotAllowedInGraphError"
    assert errors[1] == {"raised": "InvalidArgumentError", "names the place": True}
    return results, visits, errors, decorate(helper)(items), checked(tf.constant(1.0))
