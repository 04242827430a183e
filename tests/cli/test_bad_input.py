"""Whatever cannot be used is refused in one line that says what is wrong, and nothing changes on the disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.command import Command
from tests.cli.graphs import repeated


@pytest.mark.parametrize("path", ["nothing", "nothing.pb", "no/thing.pbtxt"])
def test_missing_source(command: Command, path: str) -> None:
    assert command.refusal("inspect", path, *(["--outputs", "y"] if "." in path else [])) == f"{path} does not exist"


def test_empty_folder(command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty is no SavedModel: it holds no saved_model.pb" in command.refusal("inspect", "empty")


def test_a_file_of_another_kind(command: Command, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    assert "it is a file; the command knows graph files by their end, .pb" in command.refusal("inspect", "notes.txt")


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.999])
def test_truncated_model(command: Command, model: Path, part: float) -> None:
    data = (model / "saved_model.pb").read_bytes()
    (model / "saved_model.pb").write_bytes(data[: int(len(data) * part)])
    assert command.refusal("optimize", "model", "small").startswith("model is no SavedModel: ")


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes(command: Command, model: Path, seed: int) -> None:
    (model / "saved_model.pb").write_bytes(np.random.default_rng(seed).bytes(500))
    assert command.refusal("optimize", "model", "small").startswith("model is no SavedModel: ")
    (model.parent / "graph.pb").write_bytes(np.random.default_rng(seed).bytes(500))
    refused = command.refusal("optimize", "graph.pb", "small.pb", "--outputs", "y")
    assert refused.startswith("graph.pb is no graph: ")


def test_wrong_tag(command: Command, model: Path) -> None:
    assert command.refusal("inspect", "model", "--tags", "train") == "model has no graph tagged train; it has: serve"


@pytest.mark.parametrize("tags", ["", ",", " , "])
def test_no_tag(command: Command, model: Path, tags: str) -> None:
    assert command.refusal("inspect", "model", "--tags", tags) == "model has no graph without tags; it has: serve"


def test_options_of_the_other_kind(command: Command, model: Path, graph: Path) -> None:
    assert "--tags goes with SavedModels" in command.refusal("inspect", "graph.pb", "--tags", "serve")
    for option in ("--outputs", "--inputs"):
        assert "go with graph files" in command.refusal("inspect", "model", option, "y")


@pytest.mark.parametrize("outputs", [None, "", ","])
def test_no_outputs(command: Command, graph: Path, outputs: str | None) -> None:
    given = [] if outputs is None else ["--outputs", outputs]
    assert "no outputs; name the nodes that are fetched" in command.refusal("inspect", "graph.pb", *given)


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("--outputs", "nothing", "graph.pb has no node 'nothing'"),
        ("--inputs", "nothing", "graph.pb has no node 'nothing'"),
        ("--outputs", "y:1", "graph.pb has no tensor 'y:1': node 'y' has 1 outputs"),
        ("--outputs", "y:7", "graph.pb has no tensor 'y:7': node 'y' has 1 outputs"),
        ("--inputs", "x:1", "graph.pb has no tensor 'x:1': node 'x' has 1 outputs"),
        ("--outputs", "^y", "'^y' names no tensor; write NODE or NODE:PORT, for example y or y:0"),
        ("--outputs", "y:", "'y:' names no tensor; write NODE or NODE:PORT, for example y or y:0"),
        ("--outputs", "y:z", "'y:z' names no tensor; write NODE or NODE:PORT, for example y or y:0"),
        ("--outputs", "y:0:0", "'y:0:0' names no tensor; write NODE or NODE:PORT, for example y or y:0"),
        ("--outputs", ":0", "':0' names no tensor; write NODE or NODE:PORT, for example y or y:0"),
        ("--inputs", "^x", "'^x' names no tensor; write NODE or NODE:PORT, for example y or y:0"),
    ],
)
def test_names_of_tensors(command: Command, graph: Path, option: str, name: str, message: str) -> None:
    given = [option, name] if option == "--outputs" else ["--outputs", "y", option, name]
    assert command.refusal("optimize", "graph.pb", "small.pb", *given) == message


def test_a_name_that_is_nearly_right(command: Command, tmp_path: Path) -> None:
    (tmp_path / "graph.pb").write_bytes(repeated("layer/").SerializeToString())
    assert "; did you mean layer/" in command.refusal("inspect", "graph.pb", "--outputs", "layers/a")


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("nothing", "unknown pass 'nothing'; there are"),
        ("cse{speed=3}", "pass 'cse' has no option 'speed'; it has ops,"),
        ("dce{ops=Conv2D}", "pass 'dce' has no option 'ops'; it has none"),
        ("cse{ops}", "option 'ops' of pass 'cse' has no value; write cse{ops=VALUE}"),
        ("cse{ops=}", "option 'ops' of pass 'cse' has no value; write cse{ops=VALUE}"),
        ("cse{quantization=maybe}", "cse{quantization} takes true or false, not 'maybe'"),
        ("cse{", "cannot read the pipeline at 'cse{'"),
        ("cse,,dce", "cannot read the pipeline at ',dce'"),
        ("", "the pipeline is empty; name at least one pass"),
    ],
)
def test_pipelines(command: Command, model: Path, pipeline: str, message: str) -> None:
    assert command.refusal("inspect", "model", "--pipeline", pipeline).startswith(message)


def test_presets(command: Command, model: Path) -> None:
    assert "unknown preset 'none'; there are exact, hoist, conv" in command.refusal(
        "inspect", "model", "--preset", "none"
    )
    both = ["--preset", "exact", "--pipeline", "cse"]
    assert "give one of them" in command.refusal("inspect", "model", *both)


def test_a_file_of_a_saved_model(command: Command, model: Path) -> None:
    for arguments in (["--outputs", "y"], []):
        line = command.refusal("inspect", "model/saved_model.pb", *arguments)
        assert "is part of a SavedModel" in line and line.endswith("name its folder: model")


def test_a_graph_file_may_be_called_as_a_saved_models(command: Command, graph: Path) -> None:
    graph.rename(graph.parent / "saved_model.pb")
    assert command("inspect", "saved_model.pb", "--outputs", "y").code == 0


@pytest.mark.parametrize(
    "arguments",
    [["inspect"], ["inspect", "model", "--nothing"], ["nothing"], ["inspect", "model", "more"], ["optimize", "--tags"]],
)
def test_usage(command: Command, model: Path, arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.code == 2 and done.out == ""
    assert done.err.splitlines()[-1].startswith("Error: ") and "Traceback" not in done.err
