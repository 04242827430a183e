"""SavedModels with loops: what is the same in every iteration is computed once, with equal values and gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from tests.loops.runs import assert_same_results, normal, times, values_and_gradients
from tests.offline.checks import serving
from tfreuse.api import optimize_saved_model

PIPELINE = "hoist-loop-invariants,dedupe-reads,cse,dedupe-constants,dce,drop-orphans,merge-functions"
IMAGE = tf.TensorSpec([1, 6, 6, 3])
COUNT = tf.TensorSpec([], tf.int32)


class Model(tf.Module):
    """A convolution whose kernel is computed from a variable, and one that is read inside the loop."""

    def __init__(self) -> None:
        self.scale = tf.Variable(0.5)
        self.kernel = tf.Variable(normal(3, 3, 3, 3, seed=1))
        self.count = tf.Variable(0)

    @tf.function(input_signature=[IMAGE, COUNT])
    def loop(self, image: Any, count: Any) -> Any:
        kernel = normal(3, 3, 3, 3, seed=2) * self.scale
        return tf.while_loop(
            lambda i, y: i < count,
            lambda i, y: (i + 1, tf.tanh(y) * tf.nn.conv2d(image, kernel, 1, "SAME")),
            [0, image],
            maximum_iterations=4,
            parallel_iterations=3,
        )[1]

    @tf.function(input_signature=[IMAGE, COUNT])
    def reads(self, image: Any, count: Any) -> Any:
        result = image
        for _ in tf.range(count):
            result = tf.tanh(result) + tf.nn.conv2d(image, self.kernel, 1, "SAME")
        return result

    @tf.function(input_signature=[IMAGE, COUNT])
    def writes(self, image: Any, count: Any) -> Any:
        result = image
        for _ in tf.range(count):
            result = tf.tanh(result) + tf.nn.conv2d(image, self.kernel, 1, "SAME")
            self.kernel.assign(self.kernel * 0.5)
        return result

    @tf.function(input_signature=[IMAGE, COUNT])
    def nested(self, image: Any, count: Any) -> Any:
        result = image
        for _ in tf.range(count):
            for _ in tf.range(2):
                result = tf.tanh(result) + tf.nn.conv2d(image, self.kernel, 1, "SAME")
        return result

    @tf.function(input_signature=[IMAGE, COUNT])
    def checks(self, image: Any, count: Any) -> Any:
        result = image
        for _ in tf.range(count):
            tf.debugging.assert_less(tf.reduce_sum(tf.nn.conv2d(image, self.kernel, 1, "SAME")), -1e9)
            result += 1.0
        return result


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any, Path]:
    """The model as saved and as optimised, the report, and where the latter is."""
    folder = tmp_path_factory.mktemp("loops")
    model = Model()
    signatures = {name: getattr(model, name) for name in ("loop", "reads", "writes", "nested")}
    tf.saved_model.save(model, str(folder / "plain"), signatures=signatures)
    report = optimize_saved_model(folder / "plain", folder / "hoisted", pipeline=PIPELINE, verify=3)
    plain, hoisted = (tf.saved_model.load(str(folder / name)) for name in ("plain", "hoisted"))
    return plain, hoisted, report, folder / "hoisted"


@pytest.mark.parametrize(
    ("name", "count", "plain_runs", "runs"),
    [("loop", 3, 3, 1), ("loop", 0, 0, 1), ("reads", 3, 3, 1), ("writes", 3, 3, 3), ("nested", 3, 6, 1)],
)
def test_runs(models: Any, name: str, count: int, plain_runs: int, runs: int) -> None:
    plain, hoisted, _, _ = models
    args = (tf.constant(normal(1, 6, 6, 3)), tf.constant(count))
    assert times("Conv2D", getattr(plain, name), *args) == plain_runs
    assert times("Conv2D", getattr(hoisted, name), *args) == runs


@pytest.mark.parametrize("count", [0, 1, 4, 9])
@pytest.mark.parametrize("name", ["reads", "nested", "loop"])
def test_values(models: Any, name: str, count: int) -> None:
    plain, hoisted, _, _ = models
    args = (tf.constant(normal(1, 6, 6, 3)), tf.constant(count))
    assert_same_results([getattr(plain, name)(*args)], [getattr(hoisted, name)(*args)])


def test_a_read_beside_a_write_sees_each_write(models: Any) -> None:
    plain, hoisted, report, _ = models
    args = (tf.constant(normal(1, 6, 6, 3)), tf.constant(3))
    for model in (plain, hoisted):
        model.kernel.assign(normal(3, 3, 3, 3, seed=1))
    results = [[model.writes(*args), model.kernel.read_value()] for model in (plain, hoisted)]
    assert_same_results(*results, exact=2)
    for model in (plain, hoisted):
        model.kernel.assign(normal(3, 3, 3, 3, seed=1))
    missed = [entry["detail"] for function in report.to_dict()["functions"] for entry in function["missed"]]
    assert any("may be written there" in detail for detail in missed)


@pytest.mark.parametrize("count", [0, 1, 3, 9])
def test_gradients_of_first_and_second_order(models: Any, count: int) -> None:
    plain, hoisted, _, _ = models
    args = (tf.constant(normal(1, 6, 6, 3)), tf.constant(count))
    first = values_and_gradients(plain.loop, args, [args[0], plain.scale])
    assert first[2] is not None
    assert_same_results(first, values_and_gradients(hoisted.loop, args, [args[0], hoisted.scale]))


def test_a_check_is_made_only_in_iterations(models: Any) -> None:
    _, hoisted, _, _ = models
    image = tf.constant(normal(1, 6, 6, 3))
    assert_same_results([image], [hoisted.checks(image, tf.constant(0))])
    with pytest.raises(tf.errors.InvalidArgumentError):
        hoisted.checks(image, tf.constant(1))


def test_what_is_written(models: Any) -> None:
    """The loop keeps its attributes, and functions that nothing names any more are gone."""
    _, _, _, folder = models
    library = serving(str(folder)).graph_def.library.function
    loops = [node for function in library for node in function.node_def if node.op in ("While", "StatelessWhile")]
    assert {loop.attr["parallel_iterations"].i for loop in loops} == {0, 3}  # 0 stands for the default, 10
    for loop in loops:
        body = next(f for f in library if f.signature.name == loop.attr["body"].func.name)
        condition = next(f for f in library if f.signature.name == loop.attr["cond"].func.name)
        data = [name for name in loop.input if not name.startswith("^")]
        sizes = [len(data), len(body.signature.input_arg), len(body.signature.output_arg)]
        sizes += [len(condition.signature.input_arg), len(loop.attr["T"].list.type)]
        sizes += [loop.attr["_num_original_outputs"].i]
        assert len(set(sizes)) == 1
    named = {func.name for loop in loops for func in (loop.attr["body"].func, loop.attr["cond"].func)}
    bodies = {
        f.signature.name for f in library if "while_body_" in f.signature.name or "while_cond_" in f.signature.name
    }
    assert bodies == named


def test_a_second_run_changes_nothing(models: Any, tmp_path: Path) -> None:
    _, _, _, folder = models
    report = optimize_saved_model(folder, tmp_path / "again", pipeline=PIPELINE)
    assert not [remark for remark in report.to_dict()["remarks"] if remark["kind"] == "passed"]
    assert (tmp_path / "again" / "saved_model.pb").read_bytes() == (folder / "saved_model.pb").read_bytes()
