"""Orders between what runs inside a call, a branch or a loop and what runs outside.

TensorFlow runs bodies in line. What happens in one waits for the control inputs of its node, not for all operands, and
a control edge from the node waits for the control outputs of the body, not for all that runs in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.runtime.test_orders import keys, slow_zero, table
from tests.seeds import executed

RUNS = 10
"""How often a program runs that a lost order spoils nearly always."""


def called(fill: Any, found: Any, key: Any) -> Any:
    return tf.function(fill, autograph=False)(found)


def branched(fill: Any, found: Any, key: Any) -> Any:
    return tf.cond(key[0] > 0, lambda: fill(found), lambda: found)


def switched(fill: Any, found: Any, key: Any) -> Any:
    return tf.switch_case(tf.cast(key[0] - 1, tf.int32), [lambda: fill(found), lambda: found])


def looped(fill: Any, found: Any, key: Any) -> Any:
    return tf.while_loop(lambda i, _: i < 1, lambda i, x: (i + 1, fill(x)), (0, found))[1]


def looped_beside(fill: Any, found: Any, key: Any) -> Any:
    return tf.while_loop(lambda i, _: i < 1, lambda i, x: (i + 1, x + fill(found)), (0, key))[1]


@pytest.mark.parametrize("body", [called, branched, switched, looped, looped_beside])
def test_a_body_that_inserts_waits_for_the_lookup_that_it_is_given(body: Callable[..., Any]) -> None:
    """TensorFlow runs bodies in line: what happens in one waits for the control inputs, not for all operands."""
    stored, weight = table(), tf.Variable(tf.ones([500, 500]))

    def program(key: Any, other: Any) -> Any:
        def fill(found: Any) -> Any:
            stored.insert(other, other * 7)
            return tf.ensure_shape(found * 2, [1])

        first = stored.lookup(key)
        second = tf.ensure_shape(stored.lookup(other + slow_zero(weight, other)), [1])
        third = stored.lookup(key)
        return first, second, third, body(fill, second, key)

    function = tfreuse.dedupe(program, autograph=False)
    for _ in range(10):
        assert [int(part[0]) for part in function(keys(1), keys(2))[:3]] == [-1, -1, -1]
        stored.remove(keys(2))
    assert executed.reported(function.report, "LookupTableFindV2") == (3, 2)


class State:
    """Rows that a body reads, and that are written once it has run."""

    def __init__(self) -> None:
        self.matrix = tf.Variable(tf.ones([500, 500]))
        self.rows = tf.Variable([1.0, 2.0])

    def read(self, x: Any) -> Any:
        """Reads one row twice; the first time, nobody looks at it, so TensorFlow lets it be."""
        index = slow_zero(self.matrix, tf.constant(0))
        tf.gather(self.rows, index)
        return tf.gather(self.rows, index) + x

    def seen(self, function: Callable[[Any], Any]) -> set[float]:
        found = set()
        for _ in range(RUNS):
            self.rows.assign([1.0, 2.0])
            found.add(float(function(tf.constant(1.0))))
            assert self.rows.numpy().tolist() == [100.0, 200.0]
        return found

    def written_after(self, body: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def run(x: Any) -> Any:
            result = body(x)
            self.rows.assign([100.0, 200.0])
            return result

        return run


BODIES: dict[str, Callable[[Callable[[Any], Any]], Callable[[Any], Any]]] = {
    "call": lambda read: lambda x: tf.function(read, autograph=False)(x),
    "branch": lambda read: lambda x: tf.cond(x > 0.0, lambda: read(x), lambda: x),
    "case": lambda read: lambda x: tf.switch_case(tf.cast(x, tf.int32), [lambda: x, lambda: read(x)]),
    "loop": lambda read: lambda x: tf.while_loop(lambda i, _: i < 1, lambda i, x: (i + 1, read(x)), (0, x))[1],
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_write_waits_for_the_reads_of_a_body(body: Callable[..., Any]) -> None:
    state = State()
    function = tfreuse.dedupe(state.written_after(body(state.read)), autograph=False)
    assert state.seen(function) == {2.0}
    assert executed.reported(function.report, "ResourceGather") == (2, 1)


def test_a_write_waits_for_the_reads_of_a_decorated_function() -> None:
    state = State()
    inner = tfreuse.dedupe(state.read, autograph=False)
    assert state.seen(tf.function(state.written_after(inner), autograph=False)) == {2.0}
    assert executed.reported(inner.report, "ResourceGather") == (2, 1)


@pytest.mark.parametrize("body", [lambda read: read, *BODIES.values()], ids=["plain", *BODIES.keys()])
def test_a_write_waits_for_the_reads_of_an_optimized_function(body: Callable[..., Any]) -> None:
    state = State()
    original = tf.function(body(state.read), autograph=False).get_concrete_function(tf.TensorSpec([]))
    optimized, _ = tfreuse.optimize(original)
    assert state.seen(tf.function(state.written_after(optimized), autograph=False)) == {2.0}
