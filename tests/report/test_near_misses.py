"""Near misses: what was not merged, and the one thing that stood in the way, by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from tests.report.samples import report_of

Spec = tf.TensorSpec
SQUARE = Spec([2, 2])


def misses(function: Callable[..., Any], *specs: Any, **options: Any) -> list[tuple[str, str, str]]:
    """Id, field and detail of each miss; every miss names nodes that are in the graph."""
    report = report_of(function, *specs, **options)
    (entry,) = [entry for entry in report.to_dict()["functions"] if "cond" not in entry["label"]]
    assert not report.failures
    assert entry["missed_count"] == len(entry["missed"])
    for miss in entry["missed"]:
        assert len(miss["nodes"]) >= 2
        assert miss["scopes"] == sorted({node.rpartition("/")[0] for node in miss["nodes"] if "/" in node})
    return [(miss["id"], miss["field"], miss["detail"]) for miss in entry["missed"]]


def test_layers_with_weights_of_their_own() -> None:
    layers = [tf.keras.layers.Conv2D(2, 1, name=name) for name in ("one", "other")]
    for layer in layers:
        layer.build((None, None, None, 2))
    report = report_of(lambda x: [layer(x) for layer in layers], Spec([1, 4, 4, 2]))
    (miss,) = report.missed
    assert (miss["id"], miss["field"]) == ("different-variables", "operand 1")
    assert miss["detail"].startswith("one")
    assert " and other" in miss["detail"]
    assert [scope.partition("/")[0][:3] for scope in miss["scopes"]] == ["one", "oth"]
    assert "call one layer twice" in miss["advice"]


def test_a_write_between_two_reads_is_named() -> None:
    value, other = tf.Variable([1.0, 2.0]), tf.Variable([1.0, 2.0])

    def program(x: Any) -> Any:
        first = value * x
        other.assign(x, name="elsewhere")
        value.assign_add(x, name="grow")
        return first, value * x

    assert misses(program, Spec([2])) == [("write-between", "state", "grow runs before only one of them")]


def test_a_call_that_writes_between_two_look_ups_is_named() -> None:
    table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, -1)

    @tf.function
    def fill(key: Any) -> None:
        table.insert(key, key)

    def program(key: Any) -> Any:
        first = table.lookup(key)
        fill(key)
        return first, table.lookup(key)

    found = [miss for miss in misses_of_outer(program, Spec([1], tf.int64)) if miss["id"] == "write-between"]
    assert [miss["detail"] for miss in found] == ["StatefulPartitionedCall runs before only one of them"]


def misses_of_outer(function: Callable[..., Any], *specs: Any) -> list[dict[str, Any]]:
    missed: list[dict[str, Any]] = report_of(function, *specs).to_dict()["functions"][-1]["missed"]
    return missed


def device(x: Any) -> Any:
    with tf.device("CPU:0"):
        pinned = tf.matmul(x, x)
    return pinned + tf.matmul(x, x)


def attribute(x: Any) -> Any:
    return tf.matmul(x, x) + tf.matmul(x, x, transpose_a=True)


def two_attributes(x: Any) -> Any:
    image = x[None, :, :, None]
    kernel = tf.ones([1, 1, 1, 1])
    return tf.nn.conv2d(image, kernel, 1, "SAME"), tf.nn.conv2d(image, kernel, 2, "VALID")


def operand(x: Any) -> Any:
    return tf.matmul(x, x) + tf.matmul(x, tf.transpose(x))


def control_input(x: Any) -> Any:
    free = tf.matmul(x, x)
    with tf.control_dependencies([tf.square(x, name="gate")]):
        return free + tf.matmul(x, x)


def control_input_with_effect(x: Any) -> Any:
    free = tf.matmul(x, x)
    with tf.control_dependencies([tf.raw_ops.PrintV2(input="seen")]):
        return free + tf.matmul(x, x)


def random_draw(x: Any) -> Any:
    return tf.random.uniform([2]) + tf.random.uniform([2]) + x


def seeded_draw(x: Any) -> Any:
    return tf.random.uniform([2], seed=1) + tf.random.uniform([2], seed=2) + x


def effect(x: Any) -> Any:
    for _ in range(2):
        tf.raw_ops.PrintV2(input="seen")
    return x


def variants(x: Any) -> Any:
    arrays = [tf.TensorArray(tf.float32, 1, element_shape=[2, 2]) for _ in range(2)]
    return arrays[0].write(0, x).stack() + arrays[1].write(0, 2.0 * x).stack()


def quantisation(x: Any) -> Any:
    return tf.quantization.fake_quant_with_min_max_args(x) + tf.quantization.fake_quant_with_min_max_args(x)


def unknown_effects(x: Any) -> Any:
    options = {"num_batch_threads": 1, "max_batch_size": 1, "batch_timeout_micros": 1, "grad_timeout_micros": 1}
    return [tf.raw_ops.Batch(in_tensors=[x], **options).batched_tensors[0] for _ in range(2)]


CASES = {
    device: ("different-device", "device", "/device:CPU:0 and no device"),
    attribute: ("different-attributes", "transpose_a", "false and true"),
    two_attributes: ("different-attributes", "padding, strides", '"SAME" and "VALID"'),
    operand: ("different-operand", "operand 1", "x and transpose"),
    control_input: ("different-order", "control inputs", "gate"),
    control_input_with_effect: ("different-order", "control inputs", "PrintV2"),
    random_draw: ("random-draw", "effect", "each RandomUniform draws numbers of its own"),
    seeded_draw: ("random-draw", "effect", "each RandomUniform draws numbers of its own"),
    effect: ("observable-effect", "effect", "each PrintV2 writes ambient io"),
    variants: ("variant-value", "", ""),
    quantisation: ("quantization-unit", "", ""),
    unknown_effects: ("unknown-effects", "effect", "what Batch does is not known"),
}


@pytest.mark.parametrize(("program", "miss"), CASES.items(), ids=[program.__name__ for program in CASES])
def test_the_field_that_differs_is_named(program: Callable[[Any], Any], miss: tuple[str, str, str]) -> None:
    assert misses(program, SQUARE) == [miss]


def test_stateless_draws_with_one_key_say_how_to_merge_them() -> None:
    def program(key: Any) -> Any:
        return tf.random.stateless_uniform([2], key) + tf.random.stateless_uniform([2], key)

    specs = [Spec([2], tf.int32)]
    assert {miss[0] for miss in misses(program, *specs)} == {"stateless-random"}
    (advice,) = {miss["advice"] for miss in report_of(program, *specs).missed}
    assert "cse{stateless-random=true}" in advice
    assert misses(program, *specs, pipeline="dedupe-reads,cse{stateless-random=true},dedupe-constants,dce") == []


def test_what_was_merged_is_no_miss() -> None:
    weight = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    assert misses(lambda x: tf.matmul(x, weight) + tf.matmul(x, weight), SQUARE) == []


def test_what_nothing_uses_is_no_miss() -> None:
    def program(x: Any) -> Any:
        tf.matmul(x, x, transpose_b=True)  # its result is thrown away
        return tf.matmul(x, x)

    assert misses(program, SQUARE) == []


def test_only_the_first_cause_is_told() -> None:
    """What hangs from two different products is not told as well."""
    first, second = (tf.Variable([[1.0, 2.0], [3.0, 4.0]]) for _ in range(2))

    def tower(x: Any, weight: Any) -> Any:
        return tf.matmul(tf.nn.relu(tf.matmul(tf.nn.relu(tf.matmul(x, weight)), x)), x)

    found = misses(lambda x: tower(x, first) + tower(x, second), SQUARE)
    assert [miss[:2] for miss in found] == [("different-variables", "operand 1")]
