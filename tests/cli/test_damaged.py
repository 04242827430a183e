"""Models that are damaged in ways that once ended in a traceback, or in the end of the process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.cli.command import Command, spawn
from tests.cli.graphs import repeated, rewritten
from tests.offline import checks
from tfreuse.bridge.savedmodel import _bears_fingerprinting
from tfreuse.errors import GraphError
from tfreuse.offline import rewrite, saved_model
from tfreuse.report.report import Report


def _without(op: str, attr: str) -> Callable[[Any], None]:
    def change(graph: Any) -> None:
        strings = (n for n in graph.graph_def.node if n.op == op and n.attr["dtype"].type in (0, 7))
        del next(strings).attr[attr]

    return change


LACKING = [("StatefulPartitionedCall", "f"), ("Const", "dtype"), ("Const", "value")]


@pytest.mark.parametrize(("op", "attr"), LACKING)
def test_attributes_that_fingerprinting_needs(model: Path, tmp_path: Path, op: str, attr: str) -> None:
    """TensorFlow's fingerprinting ends the process where one is missing: the model is written without a fingerprint."""
    assert (model / "fingerprint.pb").exists()
    rewritten(model, _without(op, attr))
    done = spawn("optimize", "model", "small", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "small"]
    assert sorted(path.name for path in (tmp_path / "small").iterdir()) == ["assets", "saved_model.pb", "variables"]


def test_other_models_have_a_fingerprint(command: Command, model: Path, tmp_path: Path) -> None:
    assert _bears_fingerprinting(checks.read(str(model)))
    assert command("optimize", "model", "small").code == 0
    assert (tmp_path / "small" / "fingerprint.pb").exists()


def test_negative_numbers_in_the_object_graph(command: Command, model: Path, tmp_path: Path) -> None:
    def change(graph: Any) -> None:
        graph.object_graph_def.nodes[0].children.add(node_id=-1000, local_name="nothing")
        graph.object_graph_def.nodes[0].children.add(node_id=1 << 30, local_name="nothing")

    rewritten(model, change)
    assert command("optimize", "model", "small").code == 0


@pytest.mark.parametrize("number", [1 << 40, (1 << 20) + 1, -1])
def test_impossible_numbers_of_tensors(command: Command, model: Path, tmp_path: Path, number: int) -> None:
    damage = f"attribute 'num_split' is {number}, which is no number of tensors"
    graph = repeated()
    _add_split(graph.node, "x", number)
    (tmp_path / "graph.pb").write_bytes(graph.SerializeToString())
    line = command.refusal("optimize", "graph.pb", "small.pb", "--outputs", "split")
    assert line == f"graph.pb is damaged: {damage}"

    def change(graph: Any) -> None:
        function = graph.graph_def.library.function[0]
        _add_split(function.node_def, function.signature.input_arg[0].name, number)
        function.node_def.add(name="user", op="Neg", input=["split:output:0"]).attr["T"].type = 1

    rewritten(model, change)
    assert command.refusal("optimize", "model", "small") == f"model is damaged: {damage}"


def _add_split(nodes: Any, source: str, number: int) -> None:
    node = nodes.add(name="split", op="Split", input=[source, source])
    node.attr["T"].type = tf.float32.as_datatype_enum
    node.attr["num_split"].i = number


@pytest.mark.parametrize("depth", [80, 200, 5000])
def test_text_that_is_nested_too_deeply(command: Command, tmp_path: Path, depth: int) -> None:
    inner = "name: 'f'" + " attr { key: 'a' value { func { name: 'f'" * depth + " } } }" * depth
    graph = f"node {{ name: 'y' op: 'NoOp' attr {{ key: 'f' value {{ func {{ {inner} }} }} }} }}"
    (tmp_path / "graph.pbtxt").write_text(graph)
    line = command.refusal("optimize", "graph.pbtxt", "small.pbtxt", "--outputs", "y")
    assert line.startswith("graph.pbtxt is no graph: graph.pbtxt ")


def _raising(*args: Any, **kwargs: Any) -> Any:
    raise GraphError("an edge leads nowhere")


def test_damage_that_shows_in_the_pipeline(
    command: Command, model: Path, graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewrite, "run_proved", _raising)
    damaged = "is damaged: an edge leads nowhere"
    assert command.refusal("optimize", "model", "small") == f"model {damaged}"
    assert command.refusal("optimize", "graph.pb", "small.pb", "--outputs", "y") == f"graph.pb {damaged}"


@pytest.mark.parametrize("error", [GraphError("an edge leads nowhere"), ValueError("a bug")])
def test_the_report_is_made_before_the_target(model: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def build() -> dict[str, Any]:
        raise error

    monkeypatch.setattr(saved_model, "make_report", lambda *args, **options: Report(build))
    expected = r"model is damaged: an edge" if isinstance(error, GraphError) else "a bug"
    with pytest.raises(ValueError, match=expected):
        tfreuse.optimize_saved_model(model, model.parent / "small")
    assert [path.name for path in model.parent.iterdir()] == ["model"]
