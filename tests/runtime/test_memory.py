"""Recomputation is kept, in the graph and in the memory that TensorFlow takes; large cheap results as well.

Peaks are what the allocators recorded, of graphs without captures and without Grappler (`tools.bench.allocator`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tools.bench.allocator import peak_bytes

BLOCKS, LAYERS = 6, 4
ARGUMENTS = [
    np.random.default_rng(seed).standard_normal(shape, dtype=np.float32) * np.float32(0.1)
    for seed, shape in enumerate([(2048, 64), *[(64, 64)] * LAYERS])
]
Block = Callable[..., Any]


def block(x: Any, *weights: Any) -> Any:
    for weight in weights:
        x = tf.tanh(tf.matmul(x, weight) * 1.5)
    return x


def by_control_dependencies(function: Block) -> Block:
    """What people write themselves: the block once more behind the gradient that comes in."""

    @tf.custom_gradient
    def call(*args: Any) -> Any:
        def gradient(dy: Any) -> Any:
            with tf.control_dependencies([dy]):
                again = [tf.identity(arg) for arg in args]
                with tf.GradientTape() as tape:
                    tape.watch(again)
                    result = function(*again)
            return tape.gradient(result, again, dy)

        return function(*args), gradient

    return call


RECOMPUTING: dict[str, Callable[[Block], Block]] = {
    "recompute_grad": tf.recompute_grad,
    "keras.remat": getattr(keras, "remat", tf.recompute_grad),
    "control dependencies": by_control_dependencies,
}

WITHOUT_REMAT = pytest.mark.skipif(not hasattr(keras, "remat"), reason="this Keras has no remat")
NAMES = [pytest.param(name, marks=[WITHOUT_REMAT] if name == "keras.remat" else []) for name in RECOMPUTING]


def training(wrap: Callable[[Block], Block]) -> Callable[..., Any]:
    def step(x: Any, *weights: Any) -> Any:
        layer = wrap(block)
        with tf.GradientTape() as tape:
            tape.watch([x, *weights])
            y = x
            for _ in range(BLOCKS):
                y = layer(y, *weights)
            loss = tf.reduce_sum(y)
        return loss, *tape.gradient(loss, [x, *weights])

    return step


def trace(door: Callable[..., Any], program: Callable[..., Any], arguments: list[Any] = ARGUMENTS) -> Any:
    return door(program).get_concrete_function(*[tf.TensorSpec(a.shape, a.dtype) for a in arguments])


def live(concrete: Any) -> Counter[str]:
    """The ops that a run needs, with those of the functions they call."""
    graph_def = concrete.graph.as_graph_def()
    wanted = [tensor.op.name for tensor in concrete.outputs] + [op.name for op in concrete.graph.control_outputs]
    needed = tf.compat.v1.graph_util.extract_sub_graph(graph_def, wanted)
    return Counter(node.op for node in needed.node)


@pytest.mark.parametrize("name", NAMES)
def test_recomputation_is_kept(name: str) -> None:
    program = training(RECOMPUTING[name])
    plain = trace(tf.function, program)
    shared = trace(lambda f: tfreuse.dedupe(f, on_error="raise"), program)
    forward = live(plain)["Tanh"]
    assert forward >= 2 * BLOCKS * LAYERS - LAYERS
    assert live(shared)["Tanh"] == forward
    assert live(shared)["MatMul"] == live(plain)["MatMul"]
    for one, other in zip(plain(*ARGUMENTS), shared(*ARGUMENTS), strict=True):
        assert one.numpy().tobytes() == other.numpy().tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_recomputation_saves_memory_as_before(name: str) -> None:
    """Without it every layer's results stay; with it those of one block, and one of each block."""
    dedupe = trace(lambda f: tfreuse.dedupe(f, on_error="raise"), training(RECOMPUTING[name]))
    everything = peak_bytes(trace(tf.function, training(lambda f: f)), ARGUMENTS)
    assert peak_bytes(dedupe, ARGUMENTS) < 0.75 * everything


def test_a_block_behind_a_call_that_only_reads() -> None:
    """The gradient that holds the recomputation back may come from a function with a variable of its own."""
    scale, kernel = tf.Variable(2.0), tf.Variable(tf.ones([3, 3, 1, 1]))

    @tf.function
    def incoming(dy: Any) -> Any:
        return dy * scale

    def program(x: Any, dy: Any) -> Any:
        first = tf.nn.conv2d(x, kernel, 1, "SAME")
        gradient = incoming(dy)
        with tf.control_dependencies([gradient]):
            again = tf.nn.conv2d(x, kernel, 1, "SAME")
        return tf.reduce_sum(first) + gradient, again

    specs = [np.ones([1, 8, 8, 1], np.float32), np.float32(1.0)]
    assert live(trace(tfreuse.dedupe, program, specs))["Conv2D"] == 2


def apart(x: Any) -> Any:
    """A tile at both ends and 16 MiB between."""
    middle = tf.fill([4096, 1024], tf.reduce_sum(tf.tile(x, [1, 1024])))
    middle = tf.sin(tf.cumsum(middle))
    return tf.reduce_max(tf.tile(x, [1, 1024]) * tf.reduce_sum(middle))


def masks(x: Any) -> Any:
    for _ in range(4):
        x = tf.nn.softmax(tf.matmul(x, x) + tf.tile(x[:, :1], [1, 1024]) + tf.one_hot(tf.range(1024), 1024))
    return x


COLUMN = [np.ones([2048, 1], np.float32)]


@pytest.mark.parametrize(
    ("options", "tiles"),
    [
        ({}, 2),
        ({"pipeline": "cse{cheap-large=true}"}, 1),
        ({"pipeline": "cse{cheap-large=true}", "max_memory_growth": 0}, 2),
    ],
)
def test_large_cheap_results_used_far_apart(options: dict[str, Any], tiles: int) -> None:
    function = tfreuse.dedupe(apart, on_error="raise", **options)
    assert live(trace(lambda _: function, apart, COLUMN))["Tile"] == tiles
    memory = function.report.to_dict()["functions"][0]["memory"]
    peaks = [memory[schedule]["after"] - memory[schedule]["before"] for schedule in ("one_by_one", "at_once")]
    assert peaks == ([0, 0] if tiles == 2 else [2048 * 1024 * 4, 0])
    ids = {missed["id"] for missed in function.report.missed}
    assert ids == (
        {"memory-growth"} if "max_memory_growth" in options else {"cheap-to-repeat"} if tiles == 2 else set()
    )


def test_large_cheap_results_that_would_all_be_there_at_once() -> None:
    """TensorFlow makes all masks at the beginning: one is better than four, and the allocator says so."""
    arguments = [ARGUMENTS[0].reshape(-1)[: 1024 * 64].reshape(1024, 64).repeat(16, axis=1)]
    shared = trace(lambda f: tfreuse.dedupe(f, on_error="raise"), masks, arguments)
    assert live(shared)["OneHot"] == 1
    assert peak_bytes(shared, arguments) <= peak_bytes(trace(tf.function, masks, arguments), arguments)


@pytest.mark.parametrize("program", [training(tf.recompute_grad), training(lambda f: f)])
def test_the_estimate_holds(program: Callable[..., Any]) -> None:
    """The measured peak lies between the two, with room for what kernels take and for what runs side by side."""
    function = tfreuse.dedupe(program, on_error="raise")
    concrete = trace(lambda _: function, program)
    memory = function.report.to_dict()["functions"][0]["memory"]
    assert memory["unknown"] == 0 and not memory["per_example"]
    measured = peak_bytes(concrete, ARGUMENTS)
    assert 0.7 * memory["one_by_one"]["after"] <= measured <= 1.4 * memory["at_once"]["after"]


@pytest.mark.parametrize("limit", ["much", -1, "10 percent"])
def test_a_bad_limit_is_told_at_once(limit: Any) -> None:
    with pytest.raises(tfreuse.TfreuseError, match="the memory growth is"):
        tfreuse.dedupe(apart, max_memory_growth=limit)
