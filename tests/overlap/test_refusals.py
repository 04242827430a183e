"""Programs as users write them in which windows are not shared: the values of tf.function, and the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.overlap.programs import whole

KERNEL = whole(3, 3, 2, 2, seed=1)


def conv(x: Any, padding: str = "VALID", stride: int = 1) -> Any:
    return tf.nn.conv2d(x, KERNEL, stride, padding)


def same_padding(x: Any) -> Any:
    return [conv(x[:, i : i + 6], "SAME") for i in range(3)]


def dropout(x: Any) -> Any:
    return [conv(tf.nn.dropout(x[i : i + 4], 0.5, seed=i)) for i in range(3)]


def training(x: Any) -> Any:
    one = tf.ones([2])
    return [conv(tf.compat.v1.nn.fused_batch_norm(x[i : i + 4], one, one, is_training=True)[0]) for i in range(3)]


def out_of_step(x: Any) -> Any:
    return [conv(x[:, i : i + 6], stride=2) for i in range(2)]


def reversed_rows(x: Any) -> Any:
    return [conv(tf.cumsum(x[i : i + 4])) for i in range(3)]


def little_overlap(x: Any) -> Any:
    return [conv(x[:4]), conv(x[3:])]


def own_weights(x: Any) -> Any:
    return [conv(x[i : i + 4] * float(i + 2)) for i in range(3)]


def side_by_side(x: Any) -> Any:
    return [conv(x[:4]), conv(x[4:])]


def loop(x: Any) -> Any:
    total = 0.0
    for i in tf.range(4):
        total += tf.reduce_sum(conv(x[:, i : i + 5], "SAME"))
    return total


def while_loop(x: Any) -> Any:
    def body(i: Any, found: Any) -> Any:
        return i + 1, found.write(i, conv(tf.slice(x, [0, i, 0, 0], [8, 5, 8, 2]), stride=2))

    return tf.while_loop(lambda i, _: i < 3, body, (0, tf.TensorArray(tf.float32, 3)))[1].stack()


def loop_to_the_end(x: Any) -> Any:
    total = 0.0
    for i in tf.range(8):
        total += tf.reduce_sum(conv(x[i : i + 4]))
    return total


def rows_of_a_loop(x: Any) -> Any:
    return tf.map_fn(lambda i: conv(x[2 * i : 2 * i + 2]), tf.range(4), fn_output_signature=tf.float32)


def loop_side_by_side(x: Any) -> Any:
    total = tf.zeros([2, 6, 6, 2])
    for i in tf.range(4):
        total += conv(x[i * 2 : i * 2 + 2])
    return total


REFUSED: list[tuple[Callable[[Any], Any], str | None]] = [
    (same_padding, "overlap-same-padding"),
    (dropout, "overlap-random"),
    (training, "overlap-training"),
    (out_of_step, "overlap-stride"),
    (reversed_rows, "overlap-cross-row"),
    (little_overlap, "overlap-no-gain"),
    (own_weights, None),
    (side_by_side, None),
    (loop, "overlap-loop"),
    (while_loop, "overlap-loop"),
    (loop_to_the_end, "overlap-loop"),
    (rows_of_a_loop, "overlap-loop"),
    (loop_side_by_side, None),
]


@pytest.mark.parametrize(("run", "reason"), REFUSED, ids=[run.__name__ for run, _ in REFUSED])
def test_a_refusal_and_its_reason(run: Callable[[Any], Any], reason: str | None) -> None:
    x = whole(8, 8, 8, 2, seed=3)
    shared = tfreuse.dedupe(run, preset="fast", on_error="raise")
    result = shared(x)
    if run is not dropout:
        for mine, theirs in zip(tf.nest.flatten(result), tf.nest.flatten(tf.function(run)(x)), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    report = shared.report.to_dict()
    assert not [family for function in report["functions"] for family in function["families"]]
    found = {entry["id"] for entry in shared.report.missed if entry["id"].startswith("overlap")}
    assert found == ({reason} if reason else set()), shared.report


def test_border_rows_are_counted() -> None:
    shared = tfreuse.dedupe(same_padding, preset="fast", on_error="raise")
    shared(whole(8, 8, 8, 2, seed=3))
    (entry,) = [entry for entry in shared.report.missed if entry["id"] == "overlap-same-padding"]
    assert entry["detail"] == "2 border rows of 6 on axis 1 would see padding where the union has elements"


def test_the_reason_in_a_loop() -> None:
    def while_true(x: Any) -> Any:
        total, start = tf.zeros([4, 6, 6, 2]), tf.constant(0)
        while tf.reduce_sum(total) > -1e9 and start < 4:
            total, start = total - tf.abs(conv(x[start : start + 4])) - 1e9, start + 1
        return total

    def details(run: Callable[[Any], Any]) -> list[str]:
        shared = tfreuse.dedupe(run, preset="fast", on_error="raise")
        shared(whole(8, 8, 8, 2, seed=3))
        return [entry["detail"] for entry in shared.report.missed if entry["id"] == "overlap-loop"]

    (padded,) = details(loop)
    assert "in its body: 4 windows 5 long, 1 apart on axis 1, each element 2.5 times; 2 border rows of 5" in padded
    (sliced,) = details(while_loop)
    assert "in its body: 3 windows 5 long, 1 apart on axis 1, each element 2.14 times; windows differ" in sliced
    (cut_off,) = details(loop_to_the_end)
    assert "windows differ in more than where they lie: one is cut off at an end" in cut_off
    (endless,) = details(while_true)
    assert endless.endswith("windows 4 long, 1 apart on axis 0; how often the loop runs is not known")
    (mapped,) = details(rows_of_a_loop)
    assert "not known to move by one number" in mapped


def test_an_unknown_length_and_an_unknown_batch() -> None:
    def cut(x: Any) -> Any:
        return [conv(x[i : i + 4]) for i in range(3)]

    def cropped(x: Any) -> Any:
        return [conv(x[:, i : i + 6]) for i in range(3)]

    spec = tf.TensorSpec([None, 8, 8, 2])
    for run, reasons in [(cut, {"overlap-unknown-shape"}), (cropped, set())]:
        shared = tfreuse.dedupe(run, preset="fast", input_signature=[spec], on_error="raise")
        for rows in (3, 5, 8):
            x = whole(rows, 8, 8, 2, seed=rows)
            for mine, theirs in zip(shared(x), run(x), strict=True):
                np.testing.assert_array_equal(mine, theirs)
        assert {m["id"] for m in shared.report.missed if m["id"].startswith("overlap")} == reasons
        assert bool(shared.report.to_dict()["functions"][-1]["families"]) == (run is cropped)
