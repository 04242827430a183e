"""Structures that go into and come out of a decorated function."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from tests.scenarios.observe import expect, whole
from tests.scenarios.registry import Decorate, scenario


class Point(NamedTuple):
    """A named tuple of tensors."""

    x: tf.Tensor
    y: tf.Tensor


@dataclasses.dataclass
class Sample:
    """A dataclass that takes part in `tf.nest`: one tensor, one static label."""

    value: tf.Tensor
    label: str

    def __tf_flatten__(self):
        return (self.label,), (self.value,)

    @classmethod
    def __tf_unflatten__(cls, metadata, components):
        return cls(*components, *metadata)


class Span(tf.experimental.ExtensionType):
    """An extension type: a composite with its own type spec."""

    start: tf.Tensor
    stop: tf.Tensor


@scenario
def nested_dict_and_list(decorate: Decorate):
    """Nested dicts, lists and tuples keep their shape, also where two outputs are the same duplicate."""
    weight = tf.Variable(whole(3, 2, seed=1))

    @decorate
    def project(batch):
        left = tf.matmul(batch["images"][0], weight)
        again = tf.matmul(batch["images"][0], weight)
        right = tf.matmul(batch["images"][1], weight)
        return {"pair": [left, again], "deep": ({"sum": left + right}, [again - left]), "tag": batch["tag"]}

    first, second = whole(4, 3, seed=2), whole(4, 3, seed=3)
    batch = {"images": [tf.constant(first), tf.constant(second)], "tag": (tf.constant("a"), tf.constant(1))}
    result = project(batch)
    expect(result["pair"], [first @ weight.numpy()] * 2)
    expect(result["deep"][0]["sum"], (first + second) @ weight.numpy())
    concrete = project.get_concrete_function(batch)
    return {
        "result": result,
        "flat": [output.shape.as_list() for output in concrete.outputs],
        "structure": str(concrete.structured_outputs),
        "shapes": str(concrete.output_shapes),
        "types": str(concrete.output_dtypes),
    }


@scenario
def namedtuple_and_dataclass(decorate: Decorate):
    """Named tuples, dataclasses and extension types come out as what went in."""
    scale = tf.Variable([2.0, 3.0])

    @decorate
    def move(point, sample, span):
        step = tf.reduce_sum(point.x * scale) - tf.reduce_sum(point.x * scale) / 2.0
        moved = Point(x=point.x * scale + step, y=point.x * scale - step)
        length = span.stop - span.start
        return (
            moved,
            Sample(sample.value * scale, sample.label + "!"),
            Span(length, length + (span.stop - span.start)),
        )

    point = Point(tf.constant([1.0, 2.0]), tf.constant([3.0, 4.0]))
    five, two_to_seven = Sample(tf.constant([5.0, 6.0]), "five"), Span(tf.constant(2), tf.constant(7))
    moved, sample, span = move(point, five, two_to_seven)
    expect(moved.x, [6.0, 10.0])
    expect(moved.y, [-2.0, 2.0])
    expect(sample.value, [10.0, 18.0])
    assert sample.label == "five!"
    assert isinstance(span, Span)
    expect([span.start, span.stop], [5, 10])
    return moved, sample, span.start, span.stop


@scenario
def none_outputs(decorate: Decorate):
    """Functions that return nothing still do their work; None stands where it stood."""
    counter = tf.Variable(0.0)

    @decorate
    def nothing(x):
        counter.assign_add(tf.reduce_sum(x))
        counter.assign_add(tf.reduce_sum(x))

    @decorate
    def partly(x, extra):
        return None, {"value": counter * x + counter * x, "none": extra}, [None]

    x = tf.constant([1.0, 2.0])
    results = [nothing(x), nothing(x), partly(x, None)]
    expect(counter, ["variable", tf.constant(12.0)])
    expect(results[2][1]["value"], [24.0, 48.0])
    assert results[0] is None
    return results, counter, str(nothing.get_concrete_function(x).structured_outputs)


@scenario
def composite_tensors(decorate: Decorate):
    """Sparse and ragged tensors, IndexedSlices and TensorArray, each both ways."""
    weight = tf.Variable(whole(3, 2, seed=4))

    @decorate
    def sparse(matrix):
        product = tf.sparse.sparse_dense_matmul(matrix, weight)
        product += tf.sparse.sparse_dense_matmul(matrix, weight)
        return product, matrix.with_values(matrix.values * tf.reduce_sum(weight))

    @decorate
    def ragged(rows):
        total = tf.reduce_sum(rows, axis=1) + tf.reduce_sum(rows, axis=1)
        return total, rows * tf.reduce_sum(weight), tf.ragged.stack([rows, rows])

    @decorate
    def slices(update):
        doubled = update.values * 2.0 + update.values * 2.0
        return tf.convert_to_tensor(update), tf.IndexedSlices(doubled, update.indices, update.dense_shape)

    @decorate
    def append(items):
        items = items.write(2, tf.reduce_sum(weight)).write(3, tf.reduce_sum(weight))
        return items.stack() + items.stack(), items.gather([0, 3]) * items.gather([0, 3])

    @decorate
    def array(x):
        items = tf.TensorArray(tf.float32, size=4, clear_after_read=False, element_shape=[]).unstack(x)
        other = tf.TensorArray(tf.float32, size=4, clear_after_read=False, element_shape=[]).unstack(x)
        return (
            *append(items),
            *append(items),
            other.stack(),
            other.write(0, 5.0).stack(),
            items.read(1),
            items,
        )

    matrix = tf.sparse.from_dense([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    update = tf.IndexedSlices(tf.constant([[1.0, 2.0]]), tf.constant([1]), tf.constant([3, 2]))
    *arrays, items = array(tf.constant([1.0, 2.0, 0.0, 0.0]))
    stacked = tf.raw_ops.TensorListStack(input_handle=items, element_shape=[], element_dtype=tf.float32)
    results = {
        "sparse": sparse(matrix),
        "ragged": ragged(tf.ragged.constant([[1.0, 2.0], [], [3.0]])),
        "slices": slices(update),
        "array": [arrays, stacked],
    }
    expect(results["sparse"][0], 2.0 * tf.sparse.to_dense(matrix).numpy() @ weight.numpy())
    expect(results["ragged"][0], [6.0, 0.0, 6.0])
    expect(results["slices"][1].values, [[4.0, 8.0]])
    expect(results["array"][0][0][:2], [2.0, 4.0])
    expect(results["array"][0][4:6], [[1.0, 2.0, 0.0, 0.0], [5.0, 2.0, 0.0, 0.0]])
    expect(stacked, [1.0, 2.0, 0.0, 0.0])
    return results
