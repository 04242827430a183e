"""What is said of each op's axes, against TensorFlow: every op, stride, dilation and padding, odd and even sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfreuse.analysis.dilated import dilated
from tfreuse.analysis.receptive import SAME, Crop, Window
from tfreuse.analysis.receptive_ops import ROW, TRAILING, WHOLE, axes_of
from tfreuse.analysis.shapes import stated_shapes
from tfreuse.bridge.module import MAIN, ops_of, read_module
from tfreuse.ops.elements import BINARY, UNARY
from tfreuse.ops.integers import Integers
from tfreuse.runtime.live import with_outputs

INEXACT = (UNARY | BINARY | {"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"}) - {"Relu", "Add", "Maximum"}
Apply = Callable[[Any], Any]


def integers(*shape: int) -> Any:
    """Small integers: sums of products of them are exact in float32, so that equal means equal bits."""
    return tf.constant(np.random.default_rng(sum(shape)).integers(-3, 4, shape), tf.float32)


def kinds_of(apply: Apply, data: Any) -> Any:
    """What the facts say of the one op with axes that `apply` traces to; the op's name."""
    graph = tf.function(apply).get_concrete_function(tf.TensorSpec(data.shape, data.dtype)).graph
    graph_def = graph.as_graph_def()
    ops = ops_of(graph_def)
    module = with_outputs(
        read_module(graph_def, ops, arguments=[graph.inputs[0].op.name]), graph, graph.outputs, graph.control_outputs
    )
    main = module.graphs[MAIN]
    nodes = [node for node in main.nodes.values() if node.op not in ("Const", "Identity", "Placeholder")]
    last = next((node for node in nodes if node.op == "BatchToSpaceND"), None)
    if last is not None:
        found = dilated(main, last, Integers(main.nodes, ()), stated_shapes(main), lambda value: len(data.shape))
        assert found is not None
        return found.kinds, f"dilated {found.convolution.op}"
    (node,) = nodes
    return axes_of(node, len(data.shape), stated_shapes(main)), node.op


def crops(kinds: Any, shape: tuple[int, ...]) -> Iterator[tuple[list[Crop], list[Crop], list[int]]]:
    """Crops of the operand, those of the result that they should give, and their phases."""
    choices: list[list[tuple[Crop, Crop, int]]] = []
    for kind, length in zip(kinds, shape, strict=True):
        found = [
            (start, size) for start, size in [(0, length), (1, length - 2), (2, 4), (3, 5)] if start + size <= length
        ]
        if kind == WHOLE:
            choices.append([((0, length), (0, -1), 0)])
        elif kind == ROW:
            choices.append([(crop, crop, 0) for crop in found if crop[1] > 0])
        elif not kind.never_pads:
            choices.append([((0, length), (0, -1), 0)])
        else:
            valid = [crop for crop in found if kind.result_length(crop[1]) > 0]
            choices.append([(crop, kind.result_crop(crop), kind.phase(crop[0])) for crop in valid])
    for chosen in product(*choices):
        yield [c[0] for c in chosen], [c[1] for c in chosen], [c[2] for c in chosen]


def compare(apply: Apply, data: Any) -> tuple[str, int]:
    """Crop then apply against apply then crop, over all choices of crops; the op and how many there were."""
    kinds, op = kinds_of(apply, data)
    assert isinstance(kinds, tuple) and isinstance(kinds[0], str), kinds
    count = 0
    for operand, result, phases in crops(kinds, tuple(data.shape)):
        begin, size = zip(*operand, strict=True)
        cropped = apply(tf.slice(data, begin, size))
        whole = apply(tf.slice(data, phases, [-1] * len(phases)))
        begin, size = zip(*result, strict=True)
        expected = tf.slice(whole, begin, size)
        where = f"{op} {kinds} {operand}"
        if op in INEXACT or op in TRAILING:  # vectorised functions round by an element's place in the buffer
            np.testing.assert_allclose(cropped.numpy(), expected.numpy(), rtol=1e-6, atol=1e-6, err_msg=where)
        else:
            np.testing.assert_array_equal(cropped.numpy(), expected.numpy(), err_msg=where)
        count += 1
    return op, count


def windowed() -> Iterator[tuple[Apply, Any]]:
    for size, stride, padding, length in product((1, 2, 3), (1, 2, 3), ("VALID", "SAME"), (7, 8)):
        image, video = integers(3, length, 7, 2), integers(2, length, 4, 4, 2)
        clip = integers(2, length, 2)
        taps, deep = integers(size, 2, 2, 3), integers(size, 2, 1, 2, 2)
        for dilation in (1, 2):
            yield lambda x, t=taps, s=stride, p=padding, d=dilation: tf.nn.conv2d(x, t, s, p, dilations=d), image
        yield (
            lambda x, t=taps, s=stride, p=padding: tf.raw_ops.DepthwiseConv2dNative(
                input=x, filter=t, strides=[1, s, s, 1], padding=p
            ),
            image,
        )
        yield lambda x, t=deep, s=stride, p=padding: tf.nn.conv3d(x, t, [1, s, s, s, 1], p), video
        yield lambda x, k=size, s=stride, p=padding: tf.nn.max_pool2d(x, k, s, p), image
        yield lambda x, k=size, s=stride, p=padding: tf.nn.avg_pool2d(x, k, s, p), image
        yield lambda x, k=size, s=stride, p=padding: tf.nn.max_pool3d(x, k, s, p), video
        yield lambda x, k=size, s=stride, p=padding: tf.nn.avg_pool3d(x, k, s, p), video
        if stride == 1:
            for dilation in (2, 3):
                yield lambda x, t=taps, p=padding, d=dilation: tf.nn.convolution(x, t, 1, p, dilations=[d, 2]), image
                yield lambda x, t=deep[:, 0, 0], p=padding, d=dilation: tf.nn.convolution(x, t, 1, p, dilations=d), clip
                yield lambda x, t=deep, p=padding, d=dilation: tf.nn.convolution(x, t, 1, p, dilations=[d, 1, 2]), video
    for size, padding, length in product((1, 2), ("VALID", "SAME"), (6, 9)):
        deep, video = integers(size, 2, 1, 2, 2), integers(2, length, 4, 4, 2)
        yield lambda x, t=deep, p=padding: tf.nn.convolution(x, t, 1, p, dilations=[2, 2, 1]), video
    for pads in product((0, 1), (0, 2)):
        explicit = [[0, 0], list(pads), [0, 0], [0, 0]]
        yield lambda x, e=explicit: tf.nn.conv2d(x, integers(3, 2, 2, 2), 1, e), integers(2, 8, 7, 2)


def by_row() -> Iterator[tuple[Apply, Any]]:
    data, channel = integers(5, 6, 6, 3), integers(3)
    variance = channel**2
    yield lambda x: tf.nn.bias_add(x, channel), data
    yield lambda x: tf.nn.bias_add(x, integers(6), data_format="NCHW"), data
    yield lambda x: tf.nn.softmax(x), data
    yield lambda x: tf.nn.log_softmax(x), data
    yield lambda x: tf.matmul(x, integers(4, 5)), integers(6, 4)
    yield lambda x: tf.raw_ops.BatchMatMulV2(x=x, y=integers(3, 5)), integers(4, 6, 3)
    for version in ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"):
        yield (
            lambda x, v=version: getattr(tf.raw_ops, v)(
                x=x, scale=channel, offset=channel, mean=channel, variance=variance, is_training=False
            )[0],
            data,
        )


def test_windows_of_every_op() -> None:
    counts: dict[str, int] = {}
    for apply, data in windowed():
        op, count = compare(apply, data)
        counts[op] = counts.get(op, 0) + count
    print(f"crops compared: {counts}")
    assert counts.keys() == {
        "Conv2D",
        "Conv3D",
        "DepthwiseConv2dNative",
        "MaxPool",
        "AvgPool",
        "MaxPool3D",
        "AvgPool3D",
        "dilated Conv2D",
        "dilated Conv3D",
    }
    assert min(counts.values()) > 200


def test_rows_of_every_op() -> None:
    counts: dict[str, int] = {}
    for apply, data in by_row():
        op, count = compare(apply, data)
        counts[op] = counts.get(op, 0) + count
    print(f"crops compared: {counts}")
    assert TRAILING - {"BatchMatMul"} <= counts.keys()
    assert min(counts.values()) >= 3


@pytest.mark.parametrize("ops", [UNARY, BINARY])
def test_elements(ops: frozenset[str]) -> None:
    count = 0
    for op in sorted(ops):
        data: Any = tf.abs(integers(5, 6, 7)) + 1.0
        if op.startswith("Logical"):
            data = data > 2.0
        names = [arg.name for arg in tf.raw_ops.__dict__[op].__signature__.parameters.values()]
        operands = 1 if ops is UNARY else 2
        more = {"DstT": tf.int32} if op == "Cast" else {}
        count += compare(
            lambda x, o=op, n=names, k=operands, m=more: getattr(tf.raw_ops, o)(**dict.fromkeys(n[:k], x), **m), data
        )[1]
    print(f"{count} crops of {len(ops)} ops: no mismatch")
    assert count >= 18 * len(ops)


def test_what_is_refused() -> None:
    data, channel = integers(4, 6, 6, 3), integers(3)
    training = lambda x: tf.raw_ops.FusedBatchNormV3(  # noqa: E731
        x=x, scale=channel, offset=channel, mean=channel, variance=channel, is_training=True
    )[0]
    assert kinds_of(training, data)[0].id == "overlap-training"
    turned = lambda x: tf.matmul(x, integers(4, 4), transpose_a=True)  # noqa: E731
    assert kinds_of(turned, integers(4, 4))[0].id == "overlap-cross-row"
    reverse = lambda x: tf.raw_ops.ReverseV2(tensor=x, axis=[0])  # noqa: E731
    assert kinds_of(reverse, data)[0].id == "overlap-cross-row"
    own = lambda x: tf.raw_ops.BatchMatMulV2(x=x, y=integers(4, 3, 2))  # noqa: E731
    assert kinds_of(own, integers(4, 6, 3))[0].id == "overlap-cross-row"


def test_conv3d_begins_elsewhere_with_same_padding_and_a_stride_beyond_its_size() -> None:
    """Why `never_pads` asks for stride 1: by the definition both would be element 0, as Conv2D has it."""
    for size, element in [(4, 1), (7, 0)]:
        line = tf.range(float(size))
        video, tap = tf.reshape(line, [1, 1, 1, size, 1]), tf.ones([1, 1, 1, 1, 1])
        assert float(tf.nn.conv3d(video, tap, [1, 1, 1, 3 if size == 7 else 4, 1], "SAME")[0, 0, 0, 0, 0]) == element
        assert float(tf.nn.conv2d(video[0], tap[0], 3 if size == 7 else 4, "SAME")[0, 0, 0, 0]) == 0


def test_a_window_that_is_wrong_by_one_is_found() -> None:
    data = integers(2, 8, 7, 2)
    apply = lambda x: tf.nn.conv2d(x, integers(3, 2, 2, 2), 2, "VALID")  # noqa: E731
    kinds, _ = kinds_of(apply, data)
    assert kinds[1] == Window(3, 2, 1, (0, 0))
    wrong = [ROW, Window(3, 1), kinds[2], WHOLE]
    mismatches = 0
    for operand, result, phases in crops(wrong, tuple(data.shape)):
        cropped = apply(tf.slice(data, *map(list, zip(*operand, strict=True))))
        whole = apply(tf.slice(data, phases, [-1] * 4))
        begin, size = zip(*result, strict=True)
        within = all(b + max(s, 0) <= n for b, s, n in zip(begin, size, whole.shape, strict=True))
        mismatches += not within or not np.array_equal(cropped, tf.slice(whole, begin, size))
    assert mismatches > 0
    assert (
        Window(1, 1, 3, SAME).never_pads
        and not Window(1, 2, 1, SAME).never_pads
        and not Window(2, 1, 1, SAME).never_pads
    )
