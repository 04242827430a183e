"""Graphs as TensorFlow 1 writes them, each with work that repeats, and what of it has to be left.

A program fills the default graph. Its counts are those of the nodes by op, before and after; nodes that only the
collections or a saver name stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
Counts = dict[str, tuple[int, int]]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """The same float32 array in each run."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@dataclass
class Built:
    """What the tests do with a graph: tensors to feed and to fetch, an op for a step of training, expected counts."""

    fed: dict[Any, np.ndarray]
    fetched: list[Any]
    train: Any = None
    counts: Counts = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names of what is fetched."""
        return [tensor.name for tensor in self.fetched]


PROGRAMS: dict[str, Callable[[], Built]] = {}


def program(build: Callable[[], Built]) -> Callable[[], Built]:
    """Register a program by its name."""
    PROGRAMS[build.__name__] = build
    return build


def variable(name: str, *shape: int, resource: bool = True, seed: int = 1) -> Any:
    """A variable of the default graph with normal values."""
    return v1.get_variable(name, initializer=normal(*shape, seed=seed), use_resource=resource)


def image() -> tuple[Any, dict[Any, np.ndarray]]:
    """A placeholder and its feed."""
    pixels = v1.placeholder(tf.float32, [None, 6, 6, 2], "image")
    return pixels, {pixels: normal(2, 6, 6, 2, seed=9)}


def _tower(resource: bool) -> Built:
    pixels, fed = image()
    kernel, bias = (variable(n, *s, resource=resource) for n, s in (("kernel", (3, 3, 2, 4)), ("bias", (4,))))
    sides = [tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(pixels, kernel, 1, "SAME"), bias)) for _ in range(3)]
    loss = tf.reduce_sum(sides[0] * sides[1] + sides[2], name="loss")
    train = v1.train.MomentumOptimizer(0.01, 0.5).minimize(loss)
    counts = {"Conv2D": (3, 1), "BiasAdd": (3, 1), "Relu": (3, 1), "Conv2DBackpropFilter": (3, 3)}
    if resource:
        counts["ReadVariableOp"] = (10, 4)
    return Built(fed, [loss], train, counts)


@program
def reference_tower() -> Built:
    """A layer applied three times; its variables are references, read once each by the graph."""
    return _tower(resource=False)


@program
def resource_tower() -> Built:
    """The same with resource variables, which are read at each use."""
    return _tower(resource=True)


@program
def nested_loops() -> Built:
    """A loop in a loop: equal work in the inner frame, in the outer one and outside stays in its frame."""
    pixels, fed = image()
    kernel = variable("kernel", 3, 3, 2, 2)

    def twice(value: Any) -> Any:
        return tf.nn.conv2d(value, kernel, 1, "SAME") + tf.nn.conv2d(value, kernel, 1, "SAME")

    def inner(step: Any, value: Any) -> Any:
        return step + 1, twice(value) * 0.1

    def outer(step: Any, value: Any) -> Any:
        deep = v1.while_loop(lambda k, _: k < 2, inner, (0, value))[1]
        return step + 1, deep + twice(value) * 0.1

    end = v1.while_loop(lambda k, _: k < 2, outer, (0, pixels))[1] + twice(pixels)
    return Built(fed, [tf.identity(end, "end")], counts={"Conv2D": (6, 3), "Enter": (6, 6), "Exit": (4, 4)})


@program
def branches() -> Built:
    """A branch in a branch: both sides of each hold equal work, twice."""
    pixels, fed = image()
    kernel = variable("kernel", 3, 3, 2, 2)

    def twice(shift: float) -> Any:
        both = [tf.nn.conv2d(pixels, kernel, 1, "SAME") for _ in range(2)]
        return both[0] * both[1] + shift

    def left() -> Any:
        return v1.cond(tf.reduce_sum(pixels) > 100.0, lambda: twice(1.0), lambda: twice(2.0))

    end = v1.cond(tf.reduce_sum(pixels) > 0.0, left, lambda: twice(3.0))
    # Outside of the branches the same once more: what a branch holds may be dead.
    end += tf.nn.conv2d(pixels, kernel, 1, "SAME")
    return Built(fed, [tf.identity(end, "end")], counts={"Conv2D": (7, 4), "Switch": (10, 10), "Merge": (2, 2)})


@program
def gradient_of_a_loop() -> Built:
    """The gradient of a loop pushes to and pops from stacks, which are never one."""
    pixels, fed = image()
    kernel = variable("kernel", 3, 3, 2, 2)

    def body(step: Any, value: Any) -> Any:
        return step + 1, tf.tanh(tf.nn.conv2d(value, kernel, 1, "SAME")) * tf.tanh(
            tf.nn.conv2d(value, kernel, 1, "SAME")
        )

    end = v1.while_loop(lambda k, _: k < 3, body, (0, pixels))[1]
    loss = tf.reduce_sum(end, name="loss")
    train = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
    slope = tf.identity(v1.gradients(loss, pixels)[0], "slope")
    counts = {"Tanh": (2, 1), "Conv2D": (2, 1), "StackV2": (14, 14), "StackPushV2": (14, 14)}
    return Built(fed, [loss, slope], train, counts)


@program
def cells_over_arrays() -> Built:
    """A recurrent cell as `dynamic_rnn` makes it: two equal gates in a loop over one TensorArray into another."""
    rows = v1.placeholder(tf.float32, [4, 2, 3], "rows")
    kernel = variable("kernel", 3, 3)
    source = tf.TensorArray(tf.float32, 4).unstack(rows)
    target = tf.TensorArray(tf.float32, 4)

    def body(step: Any, state: Any, found: Any) -> Any:
        row = source.read(step)
        gates = [tf.sigmoid(tf.matmul(row, kernel) + state) for _ in range(2)]
        state = gates[0] * tf.tanh(gates[1])
        return step + 1, state, found.write(step, state)

    start = (0, tf.zeros([2, 3]), target)
    _, last, found = v1.while_loop(lambda k, *_: k < 4, body, start)
    fed = {rows: normal(4, 2, 3, seed=3)}
    counts = {"MatMul": (2, 1), "Sigmoid": (2, 1), "TensorArrayV3": (2, 2)}
    return Built(fed, [tf.identity(last, "last"), tf.identity(found.stack(), "all")], counts=counts)


@program
def queues() -> Built:
    """Every dequeue takes another element; what is computed twice from one element is one."""
    x = v1.placeholder(tf.float32, [2], "x")
    queue = v1.FIFOQueue(10, [tf.float32], [[2]], name="queue")
    last = x
    for element in (x, x * 2.0, x * 2.0):
        with tf.control_dependencies([last]):
            last = queue.enqueue(element)
    with tf.control_dependencies([last]):
        first = queue.dequeue()
    with tf.control_dependencies([first]):
        second = queue.dequeue()
    work = [tf.sin(first) * tf.sin(first), tf.sin(second) * tf.sin(second)]
    with tf.control_dependencies(work):
        size = queue.size()
    fetched = [tf.add(*work, name="sum"), tf.identity(size, "size")]
    counts = {"Sin": (4, 2), "QueueDequeueV2": (2, 2), "QueueEnqueueV2": (3, 3), "Mul": (4, 3)}
    return Built({x: np.float32([1.5, -2.0])}, fetched, counts=counts)


@program
def normalization_and_updates() -> Built:
    """Batch normalization with moving averages: two equal updates are two, and so are the differences that race."""
    pixels, fed = image()
    average = variable("average", 2, resource=False, seed=4)
    counter = v1.get_variable("counter", initializer=0, trainable=False, use_resource=False)
    kernel = variable("kernel", 3, 3, 2, 2, resource=False)
    moments = [tf.nn.moments(pixels, [0, 1, 2]) for _ in range(2)]
    normalized = [tf.nn.batch_normalization(pixels, *pair, None, None, 1e-3) for pair in moments]
    for mean, _ in moments:
        v1.add_to_collection(v1.GraphKeys.UPDATE_OPS, v1.assign_sub(average, (average - mean) * 0.1))
    loss = tf.reduce_sum(tf.add_n([tf.nn.conv2d(one, kernel, 1, "SAME") for one in normalized]) ** 2, name="loss")
    with tf.control_dependencies(v1.get_collection(v1.GraphKeys.UPDATE_OPS)):
        train = v1.train.AdamOptimizer(0.1).minimize(loss, global_step=counter)
    counts = {"Conv2D": (2, 1), "SquaredDifference": (2, 1), "AssignSub": (2, 2), "Sub": (3, 3)}
    return Built(fed, [loss], train, counts)


@program
def embeddings() -> Built:
    """Rows of a reference variable, gathered twice and updated sparsely."""
    ids = v1.placeholder(tf.int32, [3], "ids")
    table = variable("table", 5, 2, resource=False)
    rows = [tf.nn.embedding_lookup(table, ids) for _ in range(2)]
    loss = tf.reduce_sum(tf.exp(rows[0]) * tf.exp(rows[1]), name="loss")
    train = v1.train.AdagradOptimizer(0.1).minimize(loss)
    return Built({ids: np.int32([0, 3, 3])}, [loss], train, {"Exp": (2, 1), "GatherV2": (2, 1)})


@program
def reads_of_a_reference() -> Built:
    """Each `read_value` of a reference variable reads for itself, before a write or behind it."""
    weight = variable("weight", 3, resource=False)
    before = [weight.read_value() * 2.0 for _ in range(2)]
    with tf.control_dependencies(before):
        change = v1.assign_add(weight, tf.ones([3]))
    with tf.control_dependencies([change]):
        after = [weight.read_value() * 2.0 for _ in range(2)]
    fetched = [tf.identity(before[0] - before[1] + after[0] * after[1], "end")]
    return Built({}, fetched, counts={"Identity": (6, 6), "Mul": (5, 5), "AssignAdd": (1, 1)})
