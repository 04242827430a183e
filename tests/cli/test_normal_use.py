"""The ordinary ways of the command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from tests.cli.command import Command, spawn, tree
from tests.offline import checks


def test_optimize_a_saved_model(command: Command, model: Path, tmp_path: Path) -> None:
    before = tree(model)
    done = command("optimize", "model", "small")
    assert (done.code, done.err) == (0, "")
    assert " ".join(done.out.split()).startswith("model (SavedModel), pipeline inline,dedupe-reads,")
    assert done.out.splitlines()[-1] == "written to small"
    assert tree(model) == before
    checks.assert_carried(str(model), str(tmp_path / "small"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "small"]


def test_optimize_a_graph_file(command: Command, graph: Path, tmp_path: Path) -> None:
    done = command("optimize", "graph.pb", "small.pbtxt", "--outputs", "y", "--inputs", "x")
    assert (done.code, done.err) == (0, "")
    assert "merged 1: 1 Sin" in done.out
    assert (tmp_path / "small.pbtxt").read_text().count('op: "Sin"') == 1
    again = command("optimize", "small.pbtxt", "again.pb", "--outputs", "y:0, x")
    assert "nothing to merge" in again.out
    assert len(tf.compat.v1.GraphDef.FromString((tmp_path / "again.pb").read_bytes()).node) == 3


def test_a_folder_whose_name_ends_as_a_graph_files(command: Command, model: Path) -> None:
    model.rename(model.parent / "model.pb")
    assert command("inspect", "model.pb").out.startswith("model.pb (SavedModel)")
    assert command("optimize", "model.pb", "small.pb").code == 0
    assert command("inspect", "small.pb").code == 0
    assert "go with graph files" in command.refusal("inspect", "model.pb", "--outputs", "")


@pytest.mark.parametrize("arguments", [("inspect", "model"), ("optimize", "model", "--dry-run")])
def test_what_writes_nothing(command: Command, model: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    before = tree(tmp_path)
    done = command(*arguments)
    assert (done.code, done.err) == (0, "")
    assert "merged" in done.out and "written" not in done.out
    assert tree(tmp_path) == before


def test_a_dry_run_does_not_ask_whether_the_target_exists(command: Command, model: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    assert command("optimize", "model", "model", "--dry-run").code == 0
    assert tree(tmp_path) == before


@pytest.mark.parametrize("arguments", [("inspect", "model"), ("optimize", "model", "small")])
def test_json_alone_is_on_standard_output(command: Command, model: Path, arguments: tuple[str, ...]) -> None:
    done = command(*arguments, "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["totals"]["merged"] > 0


def test_json_from_a_process_of_its_own(graph: Path, tmp_path: Path) -> None:
    """What TensorFlow's libraries print goes elsewhere."""
    done = spawn("inspect", graph, "--outputs", "y", "--json", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["totals"]["merged_ops"] == {"Sin": 1}


def test_pipelines_and_presets(command: Command, model: Path) -> None:
    assert "pipeline cse{ops=MatMul},dce" in command("inspect", "model", "--pipeline", "cse{ops=MatMul},dce").out
    assert "cse{ops=conv}" in command("inspect", "model", "--preset", "conv").out


def test_tags(command: Command, model: Path) -> None:
    assert command("inspect", "model", "--tags", " serve ,").code == 0


def test_overwrite(command: Command, model: Path, graph: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert command("optimize", "model", "small", "--overwrite").code == 0
        assert command("optimize", "graph.pb", "small.pb", "--outputs", "y", "--overwrite").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graph.pb", "model", "small", "small.pb"]


HIDDEN = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('tensorflow', 'keras'):
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, Hide())
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["optimize", "--help"], ["inspect", "--help"]])
def test_help_and_version_need_no_tensorflow(arguments: list[str], tmp_path: Path) -> None:
    done = spawn(*arguments, cwd=tmp_path, code=HIDDEN)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("tfreuse ") if arguments == ["--version"] else "Usage: " in done.out
    assert "Exit codes: 0 " in done.out or arguments != ["--help"]


def test_without_tensorflow(graph: Path, tmp_path: Path) -> None:
    line = spawn("inspect", graph, "--outputs", "y", cwd=tmp_path, code=HIDDEN).error
    assert line.startswith("TensorFlow cannot be imported")
    assert "pip install" in line


@pytest.mark.parametrize(("version", "good"), [("head", True), ("2", True), ("2.99rc1", True), ("2.10.1", False)])
def test_versions_of_tensorflow(version: str, good: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from tfreuse.bridge.load import tensorflow
    from tfreuse.errors import TensorFlowMissingError

    monkeypatch.setattr(sys.modules["tensorflow"], "__version__", version)
    if good:
        assert tensorflow.__wrapped__() is tf
    else:
        with pytest.raises(TensorFlowMissingError, match="too old"):
            tensorflow.__wrapped__()
