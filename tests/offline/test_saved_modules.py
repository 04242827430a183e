"""A loaded `tf.Module` behaves as before: calls, signatures, state, tables, assets, saving again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.offline import checks
from tests.offline.models import IMAGE, WORDS, normal, optimized, saved
from tests.seeds.executed import assert_close

MODELS = ["service", "softened", "keras-save", "keras-export"]
PIXELS = tf.constant(normal(2, 8, 8, 2, seed=9))
NUMBERS = tf.constant(normal(3, 4, seed=8))
TEXT = tf.constant([WORDS[2], "none", WORDS[0]])


def both(name: str) -> tuple[Any, Any]:
    """The model and the optimised model, loaded."""
    return tf.saved_model.load(saved(name)), tf.saved_model.load(optimized(name))


@pytest.mark.parametrize("name", MODELS)
def test_signatures(name: str) -> None:
    before, after = both(name)
    assert before.signatures.keys() == after.signatures.keys()
    for key in before.signatures:
        old, new = before.signatures[key], after.signatures[key]
        assert old.structured_input_signature == new.structured_input_signature
        assert old.structured_outputs == new.structured_outputs
    with checks.as_written():
        checks.assert_same(checks.run_loaded(saved(name)), checks.run_loaded(optimized(name)))


@pytest.mark.parametrize("name", MODELS)
def test_in_a_session(name: str) -> None:
    before, failed = checks.split(checks.run_session(saved(name)))
    after, failed_after = checks.split(checks.run_session(optimized(name)))
    checks.assert_same(before, after)
    # The loader's own signature wants to be fed; Keras lets a session restore only what `export` wrote.
    assert failed == failed_after
    assert failed.keys() <= {"__saved_model_init_op"} or name == "keras-save"


def test_outputs_after_grappler_are_close() -> None:
    before, after = (checks.run_loaded(path("softened"))["serving_default"] for path in (saved, optimized))
    assert_close([run["output_0"] for run in before], [run["output_0"] for run in after], relative=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model(PIXELS, training=True),
        lambda model: model(PIXELS, training=False),
        lambda model: model(PIXELS),
        lambda model: model(image=PIXELS, training=True),
        lambda model: model.features(PIXELS),
        lambda model: model.nested(PIXELS),
        lambda model: model.looped(PIXELS),
        lambda model: model.looped(-PIXELS),
        lambda model: model.mixed(NUMBERS),
        lambda model: model.lookup(TEXT),
        lambda model: model.serve(PIXELS),
        lambda model: [model.count(tf.constant(3, tf.int64)) for _ in range(2)],
    ],
)
def test_restored_functions(call: Callable[[Any], Any]) -> None:
    before, after = both("service")
    checks.assert_same(call(before), call(after))


def test_state_moves_as_before() -> None:
    _, after = both("service")
    step = tf.constant(5, tf.int64)
    found = after.count(step)
    assert {name: int(value) for name, value in found.items()} == {"before": 0, "between": 10, "after": 20}
    assert int(after.signatures["count"](step=step)["before"]) == 20
    assert int(after.calls) == 20
    after.kernel.assign(tf.zeros_like(after.kernel))
    after.bias.assign(tf.ones_like(after.bias))
    np.testing.assert_array_equal(after.features(PIXELS), np.full((2, 8, 8, 4), 10.0))


def test_variables() -> None:
    before, after = both("service")
    for name in ("kernel", "bias", "scale", "calls"):
        old, new = getattr(before, name), getattr(after, name)
        assert (old.name, old.trainable, old.dtype, old.shape) == (new.name, new.trainable, new.dtype, new.shape)
        checks.assert_same(old.numpy(), new.numpy())


def test_variables_of_a_keras_model() -> None:
    before, after = both("keras-export")
    for field in ("variables", "trainable_variables", "non_trainable_variables"):
        old, new = getattr(before, field), getattr(after, field)
        assert [variable.name for variable in old] == [variable.name for variable in new]
        checks.assert_same([variable.numpy() for variable in old], [variable.numpy() for variable in new])
    assert len(before.variables) == 8


def test_table_and_asset() -> None:
    _, after = both("service")
    found = after.lookup(TEXT)
    assert found["ids"].numpy().tolist() == [4, -2, 0]
    assert found["lines"].numpy().decode().split() == 2 * list(WORDS)
    path = after.words.asset_path.numpy().decode()
    assert Path(path).parent == Path(optimized("service"), "assets")


def test_function_aliases() -> None:
    options = tf.saved_model.LoadOptions(experimental_load_function_aliases=True)
    before, after = (tf.saved_model.load(path("service"), options=options) for path in (saved, optimized))
    for aliases in (before.function_aliases, after.function_aliases):
        assert list(aliases) == ["the_features"]
    names = [[f.name for f in model.function_aliases["the_features"]] for model in (before, after)]
    assert len(names[0]) > len(names[1]) >= 1  # equal traces of one alias are one


@pytest.mark.parametrize("name", MODELS)
def test_saved_again_and_again_and_moved(name: str, tmp_path: Path) -> None:
    first, second, third = (str(tmp_path / part) for part in ("first", "second", "third"))
    loaded = tf.saved_model.load(optimized(name))
    tf.saved_model.save(loaded, first, signatures=dict(loaded.signatures))
    tfreuse.optimize_saved_model(first, second)
    shutil.rmtree(first)
    os.rename(second, third)
    with checks.as_written():
        checks.assert_same(checks.run_loaded(saved(name)), checks.run_loaded(third))


def test_a_new_function_around_a_loaded_one() -> None:
    found = []
    for model in both("service"):
        wrapped = tf.function(lambda image, model=model: model(image) + model.features(image), input_signature=[IMAGE])
        found.append(wrapped(PIXELS))
    checks.assert_same(*found)


class Constants(tf.Module):
    """Equal constants that are captured: TensorFlow keeps each as a node of its own in the main graph."""

    def __init__(self) -> None:
        super().__init__(name="constants")
        self.first = tf.constant(normal(8, 8, seed=7))
        self.second = tf.constant(normal(8, 8, seed=7))
        rows = [
            tf.lookup.KeyValueTensorInitializer(tf.constant([1, 2], tf.int64), tf.constant(values))
            for values in ([1.0, 2.0], [3.0, 4.0])
        ]
        self.tables = [tf.lookup.StaticHashTable(each, -1.0) for each in rows]

    @tf.function(input_signature=[tf.TensorSpec([None, 8], tf.float32)])
    def __call__(self, numbers: Any) -> Any:
        keys = tf.constant([1, 2, 3], tf.int64)
        found = [table.lookup(keys) for table in self.tables]
        return tf.matmul(numbers, self.first) + tf.matmul(numbers, self.second), found


def test_equal_captured_constants(tmp_path: Path) -> None:
    before, after = str(tmp_path / "before"), str(tmp_path / "after")
    tf.saved_model.save(Constants(), before)
    tfreuse.optimize_saved_model(before, after)
    numbers = tf.constant(normal(3, 8, seed=1))
    checks.assert_same(*(tf.saved_model.load(path)(numbers) for path in (before, after)))
    held = [
        node.constant.operation for node in checks.serving(after).object_graph_def.nodes if node.HasField("constant")
    ]
    nodes = {node.name: node.op for node in checks.serving(after).graph_def.node}
    assert len(held) > 2 and {nodes[name] for name in held} == {"Const"}
