"""Small random programs full of effects, with much that is written twice; run with any decorator and observed whole.

All numbers are whole, in float64, and results are clipped, so that sums are exact in whatever order they are made.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

PURE = ("add", "multiply", "square", "bent")
READS = ("read", "gather", "gather_at", "find", "find_at", "size", "reader")
WRITES = ("assign", "assign_add", "scatter", "insert", "remove", "writer", "note")
BLOCKS = ("cond", "loop", "after")


@dataclass(frozen=True)
class Step:
    """One statement, which adds one value to those that later statements may use.

    `operands` number the values that it uses, `number` is a constant, `blocks` are the statements of its branches
    or its body, which see the first `known` values.
    """

    kind: str
    operands: tuple[int, int]
    number: int
    known: int
    blocks: tuple[tuple[Step, ...], ...] = ()

    def __str__(self) -> str:
        inside = "".join(f" {{{'; '.join(map(str, block))}}}" for block in self.blocks)
        return f"{self.kind}({self.operands[0]}, {self.operands[1]}, {self.number}){inside}"


def generate(seed: int, least: int = 10, most: int = 14) -> tuple[Step, ...]:
    """The program of a seed: a run of statements, of which about half repeat an earlier one."""
    return _block(random.Random(seed), 1, 0, least, most)


def _block(rng: random.Random, known: int, depth: int, least: int = 2, most: int = 4) -> tuple[Step, ...]:
    steps: list[Step] = []
    for _ in range(rng.randint(least, most)):
        if steps and rng.random() < 0.5:
            steps.append(rng.choice(steps))
            continue
        now = known + len(steps)
        nested = depth == 0 or (depth == 1 and rng.random() < 0.3)  # gradients of nested loops are slow to trace
        kind = rng.choice([*PURE, *READS, *READS, *WRITES, *(BLOCKS if nested else ())])
        operands = rng.randrange(now), rng.randrange(now)
        blocks: tuple[tuple[Step, ...], ...] = ()
        if kind in BLOCKS:
            inside = now + (kind == "loop")
            blocks = tuple(_block(rng, inside, depth + 1) for _ in range(2 if kind == "cond" else 1))
        steps.append(Step(kind, operands, rng.randrange(4), now, blocks))
    return tuple(steps)


class State:
    """Variables, a table, functions and a log, new for each run of a program."""

    def __init__(self) -> None:
        self.weights = tf.Variable([1.0, -2.0, 3.0], dtype=tf.float64)
        self.rows = tf.Variable(np.arange(12.0).reshape(4, 3) % 5.0 - 2.0)
        self.table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float64, -1.0)
        self.log: list[float] = []
        self.reader = tf.function(self._read, autograph=False)
        self.writer = tf.function(self._write, autograph=False)

    def _read(self, value: tf.Tensor) -> tf.Tensor:
        return clipped(value * self.weights + tf.gather(self.rows, 1) + value * self.weights)

    def _write(self, value: tf.Tensor) -> tf.Tensor:
        before = value * self.weights + value * self.weights
        self.weights.assign(clipped(self.weights + value))
        return clipped(before + value * self.weights)

    def note(self, value: Any) -> None:
        self.log.append(float(tf.reduce_sum(value)))

    def final(self) -> dict[str, Any]:
        keys, values = self.table.export()
        order = np.argsort(keys)
        return {
            "weights": self.weights.numpy(),
            "rows": self.rows.numpy(),
            "keys": keys.numpy()[order],
            "values": values.numpy()[order],
            # Sorted: TensorFlow orders Python functions with each other, and not with those in branches and loops.
            "log": np.array(sorted(self.log)),
        }


def clipped(value: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(value, -6.0, 6.0)


def index_of(value: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.math.floormod(value, 4.0), tf.int64)


class Interpreter:
    """Runs the statements of a program on a state, eagerly or while a function is traced."""

    def __init__(self, state: State) -> None:
        self.state = state

    def block(self, steps: tuple[Step, ...], values: list[tf.Tensor]) -> list[tf.Tensor]:
        """The values that the statements add."""
        values, first = list(values), len(values)
        for step in steps:
            one, other = (values[index] for index in step.operands)
            values.append(getattr(self, step.kind)(step, one, other, values))
        return values[first:]

    def skip(self, step: Step, one: Any, other: Any, _: Any) -> Any:
        """What a statement becomes that is taken out of a program."""
        return one

    def add(self, step: Step, one: Any, other: Any, _: Any) -> Any:
        return clipped(one + other)

    def multiply(self, step: Step, one: Any, other: Any, _: Any) -> Any:
        return clipped(one * other)

    def square(self, step: Step, one: Any, other: Any, _: Any) -> Any:
        return clipped(tf.square(one) - float(step.number))

    def bent(self, step: Step, one: Any, other: Any, _: Any) -> Any:
        held = clipped(other * self.state.weights)  # in this graph: TensorFlow fails where a body's closure reaches out

        @tf.custom_gradient
        def scale(value: Any) -> Any:
            return value * 2.0, lambda upstream: clipped(upstream * held)

        return clipped(scale(one))

    def read(self, step: Step, one: Any, other: Any, _: Any) -> Any:
        return clipped(self.state.weights * one)

    def gather(self, step: Step, one: Any, other: Any, _: Any) -> Any:
        return tf.gather(self.state.rows, step.number)

    def gather_at(self, step: Step, one: Any, other: Any, _: Any) -> Any:
        return tf.gather(self.state.rows, index_of(one)[0])

    def find(self, step: Step, one: Any, other: Any, _: Any) -> Any:
        return tf.ensure_shape(self.state.table.lookup(tf.constant([step.number, 1, 2], tf.int64)), [3])

    def find_at(self, step: Step, one: Any, other: Any, _: Any) -> Any:
        return tf.ensure_shape(self.state.table.lookup(index_of(one)), [3])

    def size(self, step: Step, one: Any, other: Any, _: Any) -> Any:
        return one * 0.0 + tf.cast(self.state.table.size(), tf.float64)

    def reader(self, step: Step, one: Any, other: Any, _: Any) -> Any:
        return self.state.reader(one)

    def writer(self, step: Step, one: Any, other: Any, _: Any) -> Any:
        return self.state.writer(one)

    def assign(self, step: Step, one: Any, other: Any, _: Any) -> Any:
        self.state.weights.assign(one)
        return other

    def assign_add(self, step: Step, one: Any, other: Any, _: Any) -> Any:
        return clipped(self.state.rows.assign_add(tf.stack([one, one * 0.0, one * 0.0, other]))[step.number])

    def scatter(self, step: Step, one: Any, other: Any, _: Any) -> Any:
        self.state.rows.scatter_nd_update([[step.number]], [one])
        return other

    def insert(self, step: Step, one: Any, other: Any, _: Any) -> Any:
        self.state.table.insert(tf.constant([step.number], tf.int64), one[:1])
        return other

    def remove(self, step: Step, one: Any, other: Any, _: Any) -> Any:
        self.state.table.remove(index_of(one)[:1])
        return other

    def note(self, step: Step, one: Any, other: Any, _: Any) -> Any:
        tf.py_function(self.state.note, [one], [])
        return other

    def after(self, step: Step, one: Any, other: Any, values: list[Any]) -> Any:
        with tf.control_dependencies([one]):
            return self.block(step.blocks[0], values[: step.known])[-1]

    def inline(self, step: Step, one: Any, other: Any, values: list[Any]) -> Any:
        """What `after` becomes where nothing is to wait."""
        return self.block(step.blocks[0], values[: step.known])[-1]

    def cond(self, step: Step, one: Any, other: Any, values: list[Any]) -> Any:
        branches = [lambda block=block: self.block(block, values[: step.known])[-1] for block in step.blocks]
        return tf.cond(tf.reduce_sum(one) > float(step.number), *branches)

    def loop(self, step: Step, one: Any, other: Any, values: list[Any]) -> Any:
        def body(count: Any, value: Any) -> Any:
            return count + 1, self.block(step.blocks[0], [*values[: step.known], value])[-1]

        return tf.while_loop(lambda count, _: count < 2, body, (0, one))[1]


def run(seed: int, decorate: Callable[..., Any], calls: int = 2) -> tuple[dict[str, Any], Any]:
    """What can be seen of a program's run with a decorator that is called as tf.function is; and the function."""
    return run_steps(generate(seed), decorate, calls)


def run_steps(steps: tuple[Step, ...], decorate: Callable[..., Any], calls: int = 2) -> tuple[dict[str, Any], Any]:
    """The same for the program of these statements."""
    state = State()
    interpreter = Interpreter(state)
    function = decorate(lambda x: tf.stack(interpreter.block(steps, [x])), autograph=False)
    seen: dict[str, Any] = {}
    for call in range(calls):
        x = tf.constant([1.0, -2.0, float(call)], tf.float64)
        with tf.GradientTape() as tape:
            tape.watch(x)
            values = function(x)
        slopes = tape.gradient(values, [x, state.weights, state.rows])
        seen[f"values {call}"] = values.numpy()
        seen[f"slopes {call}"] = [None if slope is None else tf.convert_to_tensor(slope).numpy() for slope in slopes]
    return {**seen, **state.final()}, function


def differences(expected: dict[str, Any], actual: dict[str, Any]) -> list[str]:
    """What differs; 0.0 and -0.0 count as equal, because sums of gradients are made in another order."""
    found = [f"{name} is there once" for name in expected.keys() ^ actual.keys()]
    for name in expected.keys() & actual.keys():
        pairs = list(zip(tf.nest.flatten(expected[name]), tf.nest.flatten(actual[name]), strict=True))
        if not all(one is other or np.array_equal(one, other, equal_nan=True) for one, other in pairs):
            found.append(f"{name}: {expected[name]} became {actual[name]}")
    return found
