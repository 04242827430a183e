"""A small model with something for every test, and passes that are wrong on purpose."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfreuse.ir.graph import Node
from tfreuse.pipeline.passes import REASSOCIATES, Context, Pass
from tfreuse.pipeline.rewriter import Rewriter

_ROOT = tempfile.TemporaryDirectory(prefix="verified-")
IMAGE = tf.TensorSpec([None, 6, 6, 2], tf.float32, name="image")
X, Y, Z = (tf.TensorSpec([None, 3], tf.float32, name=name) for name in "xyz")
KEYS = [b"ant", b"bee", b"cat"]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


class Small(tf.Module):
    """One function for each thing that can go right or wrong."""

    def __init__(self) -> None:
        super().__init__(name="small")
        self.one = tf.Variable(normal(3, 3, 2, 2, seed=1), name="one")
        self.other = tf.Variable(normal(3, 3, 2, 2, seed=2), name="other")
        self.rows = tf.Variable(normal(5, 4, seed=3), name="rows")
        self.count = tf.Variable(0, name="count", trainable=False)
        self.noise = tf.Variable(0.0, name="noise", trainable=False)
        keys = tf.lookup.KeyValueTensorInitializer(KEYS, tf.constant([1, 2, 3], tf.int64))
        self.words = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
        self.words.insert(tf.constant(KEYS), tf.constant([5, 6, 7], tf.int64))
        self.table = tf.lookup.StaticHashTable(keys, -1)

    @tf.function(input_signature=[IMAGE])
    def convs(self, image: Any) -> Any:
        sides = [tf.nn.conv2d(image, kernel, 1, "SAME") for kernel in (self.one, self.other, self.one)]
        return {"sum": tf.add_n(sides)}

    @tf.function(input_signature=[X, Y])
    def subtract(self, x: Any, y: Any) -> Any:
        return {"product": (x - y) * (y - x)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="step")])
    def bump(self, step: Any) -> Any:
        before = self.count.read_value()
        self.count.assign_add(step)
        between = self.count.read_value()
        self.count.assign_add(step)
        return {"before": before * 2, "between": between * 3}

    @tf.function(input_signature=[X])
    def drawn(self, x: Any) -> Any:
        self.noise.assign(tf.random.normal([]))
        even = tf.random.stateless_normal([3], seed=[1, 2])
        return {"noisy": tf.nn.relu(self.shaken(x)), "even": x + even, "plain": tf.sin(x) + tf.sin(x)}

    @tf.function
    def shaken(self, x: Any) -> Any:
        return x + tf.random.uniform(tf.shape(x))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, "ids"), tf.TensorSpec([None], tf.string, "words")])
    def find(self, ids: Any, words: Any) -> Any:
        found = tf.gather(self.rows, ids) + tf.gather(self.rows, ids)
        return {"rows": found, "numbers": self.table.lookup(words) + self.table.lookup(words)}

    @tf.function(input_signature=[tf.TensorSpec([2], tf.string, "words")])
    def learn(self, words: Any) -> Any:
        self.words.insert(words, tf.constant([8, 9], tf.int64))
        self.words.insert(tf.strings.join([words, "s"]), tf.constant([8, 9], tf.int64))
        return {"length": tf.strings.length(words) + tf.strings.length(words)}

    @tf.function(input_signature=[X, Y, Z])
    def sums(self, x: Any, y: Any, z: Any) -> Any:
        left, right = tf.add(tf.add(x, y), z, name="left"), tf.add(x, tf.add(y, z), name="right")
        return {"sum": left * 3.0 - right, "power": tf.exp(right), "alone": left}

    @tf.function(input_signature=[X])
    def checked(self, x: Any) -> Any:
        return {"sure": tf.debugging.check_numerics(x * 2.0, "no") + tf.debugging.check_numerics(x * 2.0, "no")}


@cache
def saved(*keys: str) -> str:
    """The folder of a model with the signatures `keys`."""
    path = f"{_ROOT.name}/{'-'.join(keys)}"
    model = Small()
    tf.saved_model.save(model, path, {key: getattr(model, key) for key in keys})
    return path


@dataclass(frozen=True)
class MergeAlike(Pass):
    """Wrong on purpose: merges nodes of one op with equal `by`: "first" operand, the "set" of them, or "name"."""

    op: str = "Sub"
    by: str = "set"

    def candidates(self, context: Context) -> Iterable[Any]:
        found: dict[Any, str] = {}
        for node in context.graph.nodes.values():
            if node.op == self.op and not node.name.startswith("save"):
                key = self._key(node)
                if key in found:
                    yield node.name, found[key]
                found.setdefault(key, node.name)

    def _key(self, node: Node) -> Any:
        return node.inputs[0] if self.by == "first" else frozenset(node.inputs)

    def apply(self, context: Context, candidate: Any, rewriter: Rewriter) -> None:
        rewriter.merge(*candidate)


@dataclass(frozen=True)
class Reassociate(Pass):
    """Takes `(x + y) + z` for `x + (y + z)`, or, `wrongly`, `x + y` for `(x + y) + z`."""

    wrongly: bool = False
    exactness: ClassVar[str] = REASSOCIATES

    def candidates(self, context: Context) -> Iterable[Any]:
        nodes = context.graph.nodes
        if "left" in nodes and "right" in nodes:
            yield "right", nodes["left"].inputs[0].node if self.wrongly else "left"

    def apply(self, context: Context, candidate: Any, rewriter: Rewriter) -> None:
        rewriter.merge(*candidate)
