"""What is no model, or a damaged one, is refused in one line; what cannot be understood is carried as it is."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2

import tfreuse
from tests.offline import checks
from tests.offline.models import saved
from tests.offline.models_v1 import SERVE, TRAIN
from tests.offline.test_safety import refusal
from tfreuse.passes.cse import Cse


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A model of the test's own."""
    return Path(shutil.copytree(saved("softened"), tmp_path / "source"))


def rewritten(source: Path, change: Callable[[Any], None]) -> Path:
    """The model with its first graph changed."""
    proto = checks.read(str(source))
    change(proto.meta_graphs[0])
    (source / "saved_model.pb").write_bytes(proto.SerializeToString())
    return source


def test_missing_path(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path, tmp_path / "nothing", tmp_path / "target")


@pytest.mark.parametrize("path", ["", "nope://somewhere", "ram://nothing/here"])
def test_no_path(tmp_path: Path, path: str) -> None:
    refusal(tmp_path, path, tmp_path / "target")
    refusal(tmp_path, path, None, dry_run=True)


def test_target_that_nothing_can_write(source: Path, tmp_path: Path) -> None:
    assert "nope" in refusal(tmp_path, source, "nope://somewhere")


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no SavedModel" in refusal(tmp_path, tmp_path / "empty", tmp_path / "target")


def test_file_in_place_of_a_folder(source: Path, tmp_path: Path) -> None:
    assert "no SavedModel" in refusal(tmp_path, source / "saved_model.pb", tmp_path / "target")


def test_folder_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "source" / "saved_model.pb").mkdir(parents=True)
    assert "cannot read" in refusal(tmp_path, tmp_path / "source", tmp_path / "target")


def test_split_model(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "saved_model.cpb").write_bytes(b"riegeli")
    assert "split" in refusal(tmp_path, tmp_path / "source", tmp_path / "target")


@pytest.mark.parametrize("part", [0.0, 0.001, 0.1, 0.5, 0.9, 0.9999])
def test_truncated(source: Path, tmp_path: Path, part: float) -> None:
    data = (source / "saved_model.pb").read_bytes()
    (source / "saved_model.pb").write_bytes(data[: int(len(data) * part)])
    assert "no SavedModel" in refusal(tmp_path, source, tmp_path / "target")


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes(tmp_path: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "saved_model.pb").write_bytes(generator.bytes(int(generator.integers(1, 2000))))
    assert "no SavedModel" in refusal(tmp_path, tmp_path / "source", tmp_path / "target")


@pytest.mark.parametrize("text", ["", "meta_graphs {", "meta_graphs { nonsense: 1 }", "\x00\x01", "meta_graphs: 7"])
def test_broken_text(tmp_path: Path, text: str) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "saved_model.pbtxt").write_text(text)
    assert "no SavedModel" in refusal(tmp_path, tmp_path / "source", tmp_path / "target")


def test_text_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "saved_model.pbtxt").write_bytes(b"\xff\xfe\x00")
    assert "no SavedModel" in refusal(tmp_path, tmp_path / "source", tmp_path / "target")


@pytest.mark.parametrize("flips", range(30))
def test_flipped_bits(source: Path, tmp_path: Path, flips: int) -> None:
    """Some flips damage the model and some do not; nothing but a refusal may come of them."""
    generator = np.random.default_rng(flips)
    data = np.frombuffer((source / "saved_model.pb").read_bytes(), np.uint8).copy()
    data[generator.integers(0, data.size, 3)] ^= np.uint8(1) << generator.integers(0, 8, 3).astype(np.uint8)
    (source / "saved_model.pb").write_bytes(data.tobytes())
    with contextlib.suppress(tfreuse.TfreuseError):
        tfreuse.optimize_saved_model(source, tmp_path / "target")
        (tmp_path / "target").rename(tmp_path / "source" / "written")
    assert sorted(os.listdir(tmp_path)) == ["source"]


def _body(graph: Any) -> Any:
    return next(f for f in graph.graph_def.library.function if "__call__" in f.signature.name)


def _value(graph: Any) -> Any:
    nodes = [node for function in graph.graph_def.library.function for node in function.node_def]
    found = (node for node in nodes if node.op == "Const" and node.attr["dtype"].type == tf.float32.as_datatype_enum)
    return next(found).attr["value"].tensor


DAMAGE: dict[str, Callable[[Any], None]] = {
    "edge to nothing": lambda graph: graph.graph_def.node.add(name="x", op="Abs", input=["nothing"]),
    "control edge to nothing": lambda graph: graph.graph_def.node.add(name="x", op="NoOp", input=["^nothing"]),
    "no port": lambda graph: graph.graph_def.node.add(name="x", op="Abs", input=["a:b"]),
    "two nodes of one name": lambda graph: graph.graph_def.node.add(name=graph.graph_def.node[0].name, op="NoOp"),
    "cycle": lambda graph: graph.graph_def.node.add(name="x", op="Abs", input=["x"]),
    "two functions of one name": lambda graph: graph.graph_def.library.function.add().CopyFrom(_body(graph)),
    "no output": lambda graph: _body(graph).ret.clear(),
    "output of nothing": lambda graph: _body(graph).ret.update(dict.fromkeys(_body(graph).ret, "nothing:y:0")),
    "no such output": lambda graph: _body(graph).node_def[-1].input.append(f"{_body(graph).node_def[0].name}:z:0"),
    "beyond an output": lambda graph: (
        _body(graph).node_def[-1].input.append(f"{_body(graph).node_def[0].name}:output:7")
    ),
    "control output of nothing": lambda graph: _body(graph).signature.control_output.append("x"),
    "argument of a node's name": lambda graph: _body(graph).node_def.add(
        name=_body(graph).signature.input_arg[0].name, op="NoOp"
    ),
    "too long a constant": lambda graph: setattr(_value(graph), "tensor_content", bytes(4096)),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_graph(source: Path, tmp_path: Path, kind: str) -> None:
    message = refusal(tmp_path, rewritten(source, DAMAGE[kind]), tmp_path / "target")
    assert "is damaged" in message


def _with(name: str, **kind: Any) -> Callable[[Any], None]:
    """Gives attribute `name` a value of another kind, on every node that has it."""

    def change(graph: Any) -> None:
        for function in graph.graph_def.library.function:
            for node in function.node_def:
                if name in node.attr:
                    node.attr[name].Clear()
                    node.attr[name].MergeFrom(attr_value_pb2.AttrValue(**kind))

    return change


@pytest.mark.parametrize(("name", "kind"), [("T", {"i": 1}), ("Tout", {"i": 1}), ("dtype", {"s": b"float"})])
def test_attribute_of_the_wrong_kind(source: Path, tmp_path: Path, name: str, kind: dict[str, Any]) -> None:
    """TensorFlow would not load such a model either."""
    assert "is damaged" in refusal(tmp_path, rewritten(source, _with(name, **kind)), tmp_path / "target")


@pytest.mark.parametrize("kind", [{"s": b"text"}, {"list": {"i": [1]}}])
@pytest.mark.parametrize("name", ["_output_shapes", "_class"])
def test_private_attribute_of_an_odd_kind(source: Path, tmp_path: Path, name: str, kind: dict[str, Any]) -> None:
    """Attributes that begin with an underscore are nobody's signature: anything may stand there."""

    def change(graph: Any) -> None:
        for function in graph.graph_def.library.function:
            for node in function.node_def:
                node.attr[name].CopyFrom(attr_value_pb2.AttrValue(**kind))

    report = tfreuse.optimize_saved_model(rewritten(source, change), tmp_path / "target")
    assert report.failures == []
    assert report.merged > 0
    assert str(report)


@pytest.mark.parametrize("tags", [["nothing"], [], ["serve", "train"], ["serve", "gpu"]])
def test_wrong_tags(tmp_path: Path, tags: list[str]) -> None:
    message = refusal(tmp_path, saved("v1-resource"), tmp_path / "target", tags=tags)
    assert SERVE in message and TRAIN in message


def test_one_tag_as_a_string(tmp_path: Path) -> None:
    """As every function of TensorFlow takes it."""
    report = tfreuse.optimize_saved_model(saved("v1-resource"), None, tags=SERVE, dry_run=True)
    assert len(report.to_dict()["functions"]) == 1


@pytest.mark.parametrize(
    "options", [{"preset": "none"}, {"pipeline": "cse,,dce"}, {"pipeline": "nothing"}, {"pipeline": ""}]
)
def test_wrong_pipeline(source: Path, tmp_path: Path, options: dict[str, str]) -> None:
    refusal(tmp_path, source, tmp_path / "target", **options)


def test_function_with_an_unknown_op_is_carried(source: Path, tmp_path: Path) -> None:
    def rename(graph: Any) -> None:
        next(node for node in _body(graph).node_def if node.op == "MatMul").op = "SomebodysMatMul"

    target = str(tmp_path / "target")
    report = tfreuse.optimize_saved_model(rewritten(source, rename), target)
    assert _body(checks.serving(target)) == _body(checks.serving(str(source)))
    assert [remark["id"] for remark in report.to_dict()["remarks"]].count("unknown-op") == 1
    assert report.failures == []


def test_main_graph_with_an_unknown_op_is_carried(source: Path, tmp_path: Path) -> None:
    def add(graph: Any) -> None:
        graph.graph_def.node.add(name="x", op="SomebodysOp")

    target = str(tmp_path / "target")
    report = tfreuse.optimize_saved_model(rewritten(source, add), target)
    assert list(checks.serving(target).graph_def.node) == list(checks.serving(str(source)).graph_def.node)
    assert report.merged > 0  # in the functions


def test_a_pass_that_fails_costs_nothing_else(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def legal(self: Any, context: Any, candidate: Any) -> Any:
        raise RecursionError("a bug")

    monkeypatch.setattr(Cse, "legal", legal)
    target = str(tmp_path / "target")
    report = tfreuse.optimize_saved_model(source, target)
    assert {remark["id"] for remark in report.failures} == {"pass-failed"}
    assert "ReadVariableOp" in report.to_dict()["totals"]["merged_ops"]  # by the pass before
    with checks.as_written():
        checks.assert_same(checks.run_loaded(str(source)), checks.run_loaded(target))


def test_progress(source: Path, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    tfreuse.optimize_saved_model(source, None, dry_run=True, progress=lambda *args: calls.append(args))
    assert [number for _, number, _ in calls] == list(range(len(calls)))
    assert {total for _, _, total in calls} == {len(calls)}

    def stop(*args: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tfreuse.optimize_saved_model(source, tmp_path / "target", progress=stop)
    assert sorted(os.listdir(tmp_path)) == ["source"]


def test_nothing_is_loaded_or_run(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that cannot be read are no obstacle."""
    (source / "variables" / "variables.data-00000-of-00001").write_bytes(b"")
    monkeypatch.setattr(tf, "import_graph_def", None)
    monkeypatch.setattr(tf.saved_model, "load", None)
    tfreuse.optimize_saved_model(source, tmp_path / "target")
    checks.assert_carried(str(source), str(tmp_path / "target"))
