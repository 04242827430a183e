"""SavedModels whose functions call functions: equal work in two calls runs once, and the model is what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.seeds import executed

X = np.random.default_rng(3).integers(-2, 3, (2, 6, 6, 2)).astype(np.float32)


class Model(tf.Module):
    """Two heads over one backbone, each a function of its own; the second counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        numbers = np.random.default_rng(0)
        self.kernels = [tf.Variable(numbers.integers(-2, 3, (3, 3, 2, 2)).astype(np.float32)) for _ in range(2)]
        self.calls = tf.Variable(0.0, trainable=False)
        self.scale = tf.constant(np.full((6, 6, 2), 2.0, np.float32))

    def backbone(self, x: Any) -> Any:
        for kernel in self.kernels:
            x = tf.nn.relu(tf.nn.conv2d(x * self.scale, kernel, 1, "SAME"))
        return x

    @tf.function
    def embed(self, x: Any) -> Any:
        return tf.reduce_sum(self.backbone(x), [1, 2])

    @tf.function
    def detect(self, x: Any) -> Any:
        self.calls.assign_add(1.0)
        return tf.reduce_max(self.backbone(x), [1, 2])

    @tf.function(input_signature=[tf.TensorSpec([None, 6, 6, 2], name="x")])
    def serve(self, x: Any) -> dict[str, Any]:
        return {"embedding": self.embed(x), "detection": self.detect(x), "calls": tf.identity(self.calls)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("nested")
    model = Model()
    tf.saved_model.save(model, str(folder / "before"), signatures=model.serve)
    return folder / "before", folder / "after"


@pytest.fixture(scope="module")
def report(folders: tuple[Path, Path]) -> Any:
    return tfreuse.optimize_saved_model(*folders, verify=3).to_dict()


def observe(folder: Path) -> tuple[Any, Any, Any]:
    """Values, gradients and state, from the function and from the signature, and what ran."""
    loaded = tf.saved_model.load(str(folder))
    found = []
    for call in (loaded.serve, lambda x: loaded.signatures["serving_default"](x=x)):
        x = tf.constant(X)
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = call(x)
            loss = tf.add_n([tf.reduce_sum(outputs[name]) for name in ("embedding", "detection")])
        found.append({name: value.numpy().tolist() for name, value in sorted(outputs.items())})
        found.append([gradient.numpy().tobytes() for gradient in tape.gradient(loss, [x, *loaded.kernels])])
        found.append(float(loaded.calls))
    return found, executed.call(loaded.signatures["serving_default"], tf.constant(X))[1], loaded


def test_each_convolution_runs_once_and_all_else_is_as_it_was(folders: tuple[Path, Path], report: Any) -> None:
    (before, ran_before, _), (after, ran_after, _) = (observe(folder) for folder in folders)
    assert before == after
    assert (ran_before["Conv2D"], ran_after["Conv2D"]) == (4, 2)
    assert after[2] == 1.0  # one call of `serve`, one of `detect`


def test_the_report_names_what_the_user_wrote(report: Any) -> None:
    (serve,) = [entry for entry in report["functions"] if entry["regions"]]
    assert any(name.startswith("embed/") for region in serve["regions"] for name in region["survivor"])
    assert [remark["detail"] for remark in report["remarks"] if remark["id"] == "inlined"] == ["as embed", "as detect"]
    assert report["verification"]["signatures"]


def test_the_functions_themselves_stay(folders: tuple[Path, Path], report: Any) -> None:
    before, after = (tf.saved_model.load(str(folder)) for folder in folders)
    assert np.array_equal(before.embed(X), after.embed(X))
    assert np.array_equal(before.detect(X), after.detect(X))
    assert float(after.calls) == 1.0


def test_a_second_run_changes_nothing(folders: tuple[Path, Path], report: Any, tmp_path: Path) -> None:
    again = tfreuse.optimize_saved_model(folders[1], tmp_path / "again").to_dict()
    assert again["totals"]["functions_changed"] == 0
    written = [(folder / "saved_model.pb").read_bytes() for folder in (folders[1], tmp_path / "again")]
    assert written[0] == written[1]


def test_a_session_runs_it(folders: tuple[Path, Path], report: Any) -> None:
    found = []
    for folder in folders:
        with tf.compat.v1.Session(graph=tf.Graph()) as session:
            meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
            signature = meta_graph.signature_def["serving_default"]
            names = [info.name for _, info in sorted(signature.outputs.items())]
            found.append([value.tolist() for value in session.run(names, {signature.inputs["x"].name: X})])
    assert found[0] == found[1]


def test_without_the_pass_the_calls_stay(folders: tuple[Path, Path], tmp_path: Path) -> None:
    tfreuse.optimize_saved_model(folders[0], tmp_path / "other", pipeline="dedupe-reads,cse,dedupe-constants,dce")
    assert observe(tmp_path / "other")[1]["Conv2D"] == 4


def test_a_graph_in_hand() -> None:
    """Reading calls in a main graph, which has no control outputs."""
    model = Model()
    first = tf.function(lambda x: tf.nn.relu(model.backbone(x)), autograph=False)
    second = tf.function(lambda x: tf.square(model.backbone(x)), autograph=False)
    concrete = tf.function(lambda x: (first(x), second(x)), autograph=False).get_concrete_function(
        tf.TensorSpec([2, 6, 6, 2])
    )
    optimized, _ = tfreuse.optimize(concrete, verify=2)
    for mine, theirs in zip(optimized(tf.constant(X)), concrete(tf.constant(X)), strict=True):
        assert np.array_equal(mine, theirs)
    assert executed.call(optimized, tf.constant(X))[1]["Conv2D"] == 2
