"""Generated feeds have edge values and empty dimensions, and are what the consumers take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfreuse.bridge.module import ops_of, read_module
from tfreuse.ir.graph import Value
from tfreuse.validate.domains import Domain, Domains
from tfreuse.validate.feeds import FLAVOURS, Wanted, can_make, edges, make_feed
from tfreuse.validate.numeric_makers import TensorFlowMakers
from tfreuse.validate.signatures import Input, Signature
from tfreuse.validate.steering import steering_loop

MAKERS = TensorFlowMakers({"words keys": np.array([b"ant", b"bee"], object)})
NARROW = tf.dtypes.experimental
FLOATS = [np.float16, np.float32, np.float64, tf.bfloat16.as_numpy_dtype]


@pytest.mark.parametrize("dtype", FLOATS)
def test_edges(dtype: Any) -> None:
    values = edges(np.dtype(dtype))
    wide = values.astype(np.float64)
    raw = values.view(f"u{values.dtype.itemsize}")
    assert len(set(raw[np.isnan(wide)].tolist())) == 8
    assert {np.inf, -np.inf} <= set(wide.tolist())
    assert sum((wide == 0) & np.signbit(wide)) == 1
    tiny = float(tf.as_dtype(dtype).as_numpy_dtype(1)) and np.abs(wide[(wide != 0) & np.isfinite(wide)])
    assert (tiny < {2: 1e-4, 4: 1.1e-38, 8: 2.2e-308}[values.dtype.itemsize]).sum() >= 2


@pytest.mark.parametrize(
    ("dtype", "possible"),
    [*((dtype, True) for dtype in FLOATS), (np.complex128, True), (np.int64, True), (np.uint8, True), (bool, True),
     *((dtype.as_numpy_dtype, False) for dtype in (NARROW.int4, NARROW.float8_e5m2, tf.qint8))],
)  # fmt: skip
def test_types(dtype: Any, possible: bool) -> None:
    """No values narrower than a byte, and no quantised ones, are made."""
    assert can_make(np.dtype(dtype)) is possible
    if possible:
        assert make_feed([Wanted("x", np.dtype(dtype), (2, 3))], 0, MAKERS)["x"].dtype == dtype


def test_flavours() -> None:
    wanted = [Wanted("x", np.dtype(np.float32), (-1, 50)), Wanted("y", np.dtype(np.complex64), (-1, 2))]
    feeds = [make_feed(wanted, number, MAKERS) for number in range(2 * len(FLAVOURS))]
    sizes = [feed["x"].shape[0] for feed in feeds]
    assert sizes[2::5] == [1, 1] and sizes[3::5] == [0, 0] and min(sizes[0], sizes[1], sizes[4]) >= 2
    assert all(feed["x"].shape[0] == feed["y"].shape[0] for feed in feeds)
    edge = feeds[1]["x"]
    assert np.isnan(edge).any() and np.isinf(edge).any() and ((edge == 0) & np.signbit(edge)).any()
    assert ((edge != 0) & (np.abs(edge) < np.finfo(np.float32).tiny)).any()
    assert len(set(edge.view(np.uint32)[np.isnan(edge)].tolist())) >= 4
    assert np.isnan(feeds[6]["y"]).any()
    again = make_feed(wanted, 1, MAKERS)["x"]
    assert again.tobytes() == edge.tobytes()
    calm = [make_feed([Wanted("x", np.dtype(np.float32), (-1, 50), None, True)], n, MAKERS)["x"] for n in range(5)]
    assert all(np.isfinite(value).all() for value in calm)


def test_unknown_ranks() -> None:
    ranks = {make_feed([Wanted("x", np.dtype(np.float32), None)], number, MAKERS)["x"].ndim for number in range(10)}
    assert {0, 1, 2, 4} <= ranks


def domains_of(function: Any, *specs: Any) -> list[Domain | None]:
    graph = tf.function(function).get_concrete_function(*specs).graph
    graph_def = graph.as_graph_def(add_shapes=True)
    ops = ops_of(graph_def)
    module = read_module(graph_def, ops, arguments=[tensor.op.name for tensor in graph.inputs])
    domains = Domains(module, ops)
    return [domains.of(Value(tensor.op.name)) for tensor in graph.inputs[: len(specs)]]


def test_domains() -> None:
    variable = tf.Variable(tf.zeros([7, 2]))

    @tf.function
    def inner(ids: Any) -> Any:
        return tf.gather(tf.zeros([3, 5]), tf.reshape(ids, [-1]), axis=1), tf.nn.embedding_lookup(variable, ids)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def parsed(texts: Any) -> Any:
        features = {"a": tf.io.FixedLenFeature([2], tf.float32), "b": tf.io.VarLenFeature(tf.int64)}
        return tf.io.parse_example(texts, features)

    text, ids = tf.TensorSpec([], tf.string), tf.TensorSpec([None], tf.int32)
    assert domains_of(lambda x: inner(x + 0) and inner(x), ids) == [Domain("below", "GatherV2", 5)]
    assert domains_of(lambda x: tf.io.decode_jpeg(x), text) == [Domain("image", "DecodeJpeg", 0, "jpeg")]
    assert domains_of(lambda x: x * 2, ids) == [None]
    (example,) = domains_of(parsed, tf.TensorSpec([None], tf.string))
    assert example is not None and [(f.key, f.values) for f in example.detail] == [("a", 2), ("b", 0)]
    feed = make_feed([Wanted("x", np.dtype(object), (3,), example)], 0, MAKERS)["x"]
    assert parsed(tf.constant(feed))["a"].shape == [3, 2]
    for format in ("jpeg", "png", "bmp", "gif"):
        picture = Wanted("x", np.dtype(object), (), Domain("image", "Decode", 0, format))
        assert tf.io.decode_image(make_feed([picture], 0, MAKERS)["x"].item()).shape[-1] == 3
    keys = make_feed([Wanted("x", np.dtype(object), (40,), Domain("key", "LookupTableFindV2"))], 0, MAKERS)["x"]
    assert {b"ant", b"bee"} < set(keys.tolist())


@pytest.mark.parametrize(
    ("steered", "body"),
    [
        (True, lambda x: tf.while_loop(lambda v: tf.reduce_sum(v) < 9.0, lambda v: [v + 1.0], [x])),
        (True, lambda x: tf.while_loop(lambda n, _: n < 9.0, lambda n, v: [n + v[0], v], [0.0, x])),
        (False, lambda x: tf.while_loop(lambda n, _: n < tf.shape(x)[0], lambda n, v: [n + 1, v * v], [0, x])),
    ],
)
def test_loops_that_values_steer(steered: bool, body: Any) -> None:
    graph = tf.function(body).get_concrete_function(tf.TensorSpec([3], tf.float32)).graph
    graph_def = graph.as_graph_def()
    module = read_module(graph_def, ops_of(graph_def), arguments=[tensor.op.name for tensor in graph.inputs])
    inputs = tuple(Input(tensor.op.name, Value(tensor.op.name), 1, (3,)) for tensor in graph.inputs)
    outputs = tuple((tensor.name, Value(tensor.op.name, tensor.value_index)) for tensor in graph.outputs)
    assert bool(steering_loop(module, Signature("graph", inputs, outputs))) == steered
