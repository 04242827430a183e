"""Libraries of real models: who becomes one, who goes, who stays, and what a loaded model gives then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.offline import checks
from tests.offline.models import softened
from tests.seeds import executed
from tfreuse.errors import PipelineError

X = tf.TensorSpec([None, 3], name="x")
GIVEN = tf.constant([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]])


class Twice(tf.Module):
    """Two functions of one text over one variable, a third over another one, and a count that all of them keep."""

    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], name="w")
        self.other = tf.Variable(tf.ones([3, 2]), name="other")
        self.count = tf.Variable(0.0, trainable=False, name="count")

    def _apply(self, x: Any, w: Any) -> Any:
        self.count.assign_add(1.0)
        return tf.nn.relu(tf.matmul(x, w)) + self.count

    @tf.function(input_signature=[X])
    def first(self, x: Any) -> Any:
        return self._apply(x, self.w)

    @tf.function(input_signature=[X])
    def second(self, x: Any) -> Any:
        return self._apply(x, self.w)

    @tf.function(input_signature=[X])
    def third(self, x: Any) -> Any:
        return self._apply(x, self.other)


def optimized(path: Path, model: Any, **options: Any) -> tuple[str, str, tfreuse.Report]:
    """The model saved in `path`, and the optimised one beside it."""
    before, after = str(path / "before"), str(path / "after")
    signatures = options.pop("signatures", None)
    tf.saved_model.save(model, before, signatures=signatures)
    report = tfreuse.optimize_saved_model(before, after, **options)
    assert report.failures == []
    return before, after, report


def names(path: str, part: str) -> list[str]:
    return [name for name in checks.library(checks.serving(path)) if part in name]


def gradients(function: Any, *variables: Any) -> list[Any]:
    with tf.GradientTape() as tape:
        y = function(GIVEN)
    return [tf.convert_to_tensor(g) for g in tape.gradient(y, variables)]


def test_equal_functions_of_one_object_are_one(tmp_path: Path) -> None:
    before, after, report = optimized(tmp_path, Twice())
    assert len(names(before, "first")) == len(names(before, "second")) == 1
    assert len(names(after, "first")) + len(names(after, "second")) == 1
    assert len(names(after, "third")) == 1  # it captures another variable
    library = report.to_dict()["library"]
    assert library["functions"]["before"] - library["functions"]["after"] == len(library["merged"]) == 1
    assert library["bytes"]["before"] > library["bytes"]["after"]
    assert any(
        "third" in remark["detail"] for remark in report.to_dict()["remarks"] if remark["id"] == "equal-functions"
    )
    checks.assert_carried(before, after)
    old, new = tf.saved_model.load(before), tf.saved_model.load(after)
    for name in ("first", "second", "third", "second"):
        checks.assert_same(getattr(old, name)(GIVEN), getattr(new, name)(GIVEN))
        checks.assert_same(old.count, new.count)
        checks.assert_same(*(gradients(getattr(m, name), m.w if name != "third" else m.other) for m in (old, new)))
    new.w.assign(tf.zeros([3, 2]))
    checks.assert_same(new.first(GIVEN), new.second(GIVEN) - 1.0)


def test_what_is_left_can_be_saved_and_optimised_again(tmp_path: Path) -> None:
    _, after, _ = optimized(tmp_path, Twice())
    again = str(tmp_path / "again")
    report = tfreuse.optimize_saved_model(after, again).to_dict()["library"]
    assert report["merged"] == report["unreachable"] == []
    assert checks.content(again) == checks.content(after)
    loaded, saved = tf.saved_model.load(after), str(tmp_path / "saved")
    tf.saved_model.save(loaded, saved)
    fresh = tf.saved_model.load(saved)
    checks.assert_same(fresh.second(GIVEN), loaded.second(GIVEN))


class Layers(tf.Module):
    """One private function for each of two variables that are handed to it; signatures that call both."""

    def __init__(self) -> None:
        super().__init__()
        self.left = tf.Variable([1.0, 2.0, 3.0])
        self.right = tf.Variable([-1.0, 0.5, 4.0])

    @tf.function(input_signature=[X])
    def serve(self, x: Any) -> Any:
        one = tf.function(lambda x, w: tf.nn.tanh(x * w))
        other = tf.function(lambda x, w: tf.nn.tanh(x * w))
        return {"y": one(x, self.left) + other(x, self.right)}


def test_private_functions_with_other_operands_are_one(tmp_path: Path) -> None:
    model = Layers()
    before, after, report = optimized(tmp_path, model, signatures={"serve": model.serve, "more": model.serve}, verify=2)
    assert len(names(before, "lambda")) == 2
    assert len(names(after, "lambda")) == 1
    assert names(before, "signature_wrapper") == names(after, "signature_wrapper")  # one for each signature
    assert {entry["into"] for entry in report.to_dict()["library"]["merged"]} <= set(
        checks.library(checks.serving(after))
    )
    with checks.as_written():
        checks.assert_same(checks.run_loaded(before), checks.run_loaded(after))
        checks.assert_same(checks.run_session(before), checks.run_session(after))
    old, new = tf.saved_model.load(before), tf.saved_model.load(after)
    for one, other in zip(gradients(lambda x: old.serve(x)["y"], old.left, old.right),
                          gradients(lambda x: new.serve(x)["y"], new.left, new.right), strict=True):  # fmt: skip
        checks.assert_same(one, other)


class Drawing(tf.Module):
    """Two private functions that draw with one seed: two kernels, hence one stream each."""

    @tf.function(input_signature=[X])
    def serve(self, x: Any) -> Any:
        one, other = (tf.function(lambda x: x * tf.random.uniform([], seed=7)) for _ in range(2))
        return one(x), other(x)


def test_draws_keep_their_streams(tmp_path: Path) -> None:
    tf.random.set_seed(5)
    before, after, report = optimized(tmp_path, Drawing())
    assert report.to_dict()["library"]["merged"] == []

    def draws(path: str) -> list[Any]:
        tf.random.set_seed(5)
        serve = tf.saved_model.load(path).serve
        return [serve(GIVEN) for _ in range(3)]

    checks.assert_same(draws(before), draws(after))


class Gradients(tf.Module):
    """Equal functions, each with a gradient that the user wrote inside."""

    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(2.0)

    @tf.function(input_signature=[X])
    def first(self, x: Any) -> Any:
        return softened(x * self.w)

    @tf.function(input_signature=[X])
    def second(self, x: Any) -> Any:
        return softened(x * self.w)


def test_gradients_that_the_user_wrote_keep_their_functions(tmp_path: Path) -> None:
    before, after = str(tmp_path / "before"), str(tmp_path / "after")
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    tf.saved_model.save(Gradients(), before, options=options)
    report = tfreuse.optimize_saved_model(before, after)
    assert report.failures == []
    assert checks.library(checks.serving(before)) == checks.library(checks.serving(after))
    old, new = tf.saved_model.load(before), tf.saved_model.load(after)
    for name in ("first", "second"):
        checks.assert_same(gradients(getattr(old, name), old.w), gradients(getattr(new, name), new.w))


def test_functions_that_nothing_names_go(tmp_path: Path) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    tf.saved_model.save(Twice(), source)
    proto = checks.read(source)
    library = proto.meta_graphs[0].graph_def.library
    copy = library.function.add()
    copy.CopyFrom(next(function for function in library.function if "third" in function.signature.name))
    copy.signature.name = "left_behind"
    copy.attr["_noinline"].b = True
    named = library.function.add()
    named.CopyFrom(copy)
    named.signature.name = "named_by_a_text"
    library.function[0].attr["forward_function_name"].s = b"named_by_a_text"
    (Path(source) / "saved_model.pb").write_bytes(proto.SerializeToString())
    report = tfreuse.optimize_saved_model(source, target).to_dict()["library"]
    assert report["unreachable"] == ["left_behind"]
    left = checks.library(checks.serving(target))
    assert "left_behind" not in left and "named_by_a_text" in left
    assert checks.loads(target)


class Decorated(tf.Module):
    """A function in which duplicates were disconnected while it was traced; they are saved with it."""

    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(tf.ones([3, 3]))

    @tfreuse.dedupe(input_signature=[X])
    def serve(self, x: Any) -> Any:
        return tf.matmul(x, self.w) * 2.0 + tf.matmul(x, self.w) * 3.0


def test_nodes_that_nothing_uses_go(tmp_path: Path) -> None:
    before, after, _ = optimized(tmp_path, Decorated())
    old, new = (checks.named(checks.ops(path), "serve") for path in (before, after))
    assert (old["MatMul"], old["ReadVariableOp"]) == (2, 2)
    assert (new["MatMul"], new["ReadVariableOp"]) == (1, 1)
    kept, left = (tf.saved_model.load(path) for path in (before, after))
    checks.assert_same(kept.serve(GIVEN), left.serve(GIVEN))


def test_reads_that_nothing_uses_go_from_a_main_graph_without_fetches(tmp_path: Path) -> None:
    """Beside each variable TensorFlow 2 saves a read that only TensorFlow 1 would use."""
    before, after, _ = optimized(tmp_path, Twice())
    old, new = (checks.ops(path)[""] for path in (before, after))
    assert (old["ReadVariableOp"], new["ReadVariableOp"]) == (3, 0)
    for op in ("VarHandleOp", "StatefulPartitionedCall"):
        assert old[op] == new[op]
    with checks.as_written():
        checks.assert_same(checks.run_session(before), checks.run_session(after))


def test_static_shapes_are_inferred_again(tmp_path: Path) -> None:
    before, after, report = optimized(tmp_path, Twice(), strip_shapes=True, verify=1)
    assert report.to_dict()["library"]["shapes_stripped"]
    assert b"_output_shapes" in Path(before, "saved_model.pb").read_bytes()
    graph = checks.serving(after).graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert [node.name for node in nodes if "_output_shapes" in node.attr] == []
    old, new = tf.saved_model.load(before), tf.saved_model.load(after)
    one, other = (model.first.get_concrete_function(X) for model in (old, new))
    assert one.output_shapes == other.output_shapes
    checks.assert_same(old.second(GIVEN), new.second(GIVEN))
    again = str(tmp_path / "again")
    tfreuse.optimize_saved_model(after, again, strip_shapes=True)
    assert checks.content(again) == checks.content(after)


def test_preset_fast_tidies_the_library_as_exact_does(tmp_path: Path) -> None:
    before, after, report = optimized(tmp_path, Twice(), preset="fast")
    assert len(names(before, "first")) + len(names(before, "second")) == 2
    assert len(names(after, "first")) + len(names(after, "second")) == 1
    assert len(report.to_dict()["library"]["merged"]) == 1


def test_a_pass_for_models_is_refused_elsewhere() -> None:
    for name in ("merge-functions", "drop-orphans", "strip-shapes"):
        with pytest.raises(PipelineError, match=f"{name}' is for SavedModels"):
            tfreuse.dedupe(lambda x: x, pipeline=f"cse,{name}")
    with pytest.raises(PipelineError, match="comes last"):
        tfreuse.optimize_saved_model("nowhere", None, dry_run=True, pipeline="merge-functions,cse")


def test_conditions_traced_twice_are_executed_once() -> None:
    """Their branches have other names (`cond_true_12`, `cond_true_30`) and equal bodies."""

    v = tf.Variable(1.0)

    def program(x: Any) -> Any:
        found = [tf.cond(tf.reduce_sum(x) > 0.0, lambda: tf.sin(x + v), lambda: x) for _ in range(2)]
        return found[0] * 2.0 + found[1] * 3.0

    x = tf.constant([[0.1, 0.2], [0.3, 0.4]])
    plain, shared = tf.function(program), tfreuse.dedupe(program)
    (one, old), (other, new) = executed.call(plain, x), executed.call(shared, x)
    checks.assert_same(one, other)
    assert (old["Sin"], new["Sin"]) == (2, 1)
