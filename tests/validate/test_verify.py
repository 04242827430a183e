"""Good rewrites pass, wrong ones are caught before anything is written, and what cannot be judged is named."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema
import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.offline import models, models_v1  # noqa: F401  # the second adds to the first
from tests.validate.programs import KEYS, MergeAlike, Reassociate, normal, saved
from tfreuse.cli import main as cli
from tfreuse.errors import InputError, VerificationError
from tfreuse.passes.cse import Cse
from tfreuse.passes.dce import Dce
from tfreuse.passes.dedupe_reads import DedupeReads
from tfreuse.validate import numeric
from tfreuse.validate.numeric_programs import LoadedModel

SCHEMA = json.loads((resources.files("tfreuse.report") / "schema.json").read_text("utf-8"))
GOOD = ("convs", "subtract", "bump", "find", "learn", "checked")


def verified(path: str, target: Path, **options: Any) -> dict[str, dict[str, Any]]:
    """The report's entries by signature."""
    report = tfreuse.optimize_saved_model(path, target / "result", **{"verify": 5, **options})
    jsonschema.Draft202012Validator(SCHEMA).validate(report.to_dict())
    assert str(report).count("verified on ") == 1
    return {entry["signature"]: entry for entry in report.to_dict()["verification"]["signatures"]}


def refusal(path: str, target: Path, *pipeline: Any, **options: Any) -> str:
    """What numbers alone say of a wrong pass; the proof would have rolled it back."""
    with pytest.raises(VerificationError) as caught:
        tfreuse.optimize_saved_model(
            path, target / "made" / "result", pipeline=pipeline, **{"verify": 3, "proof": False, **options}
        )
    assert list(target.iterdir()) == []
    return str(caught.value)


def test_good_rewrites_pass(tmp_path: Path) -> None:
    entries = verified(saved(*GOOD), tmp_path)
    assert (tmp_path / "result" / "saved_model.pb").exists()
    for name, outputs in (("convs", ["sum"]), ("subtract", ["product"]), ("find", ["numbers", "rows"])):
        assert entries[name]["judged"] == outputs
        assert (entries[name]["feeds"], entries[name]["raised"], entries[name]["ulps"]) == (5, 0, 0)
        assert entries[name]["not_judged"] == []
    assert entries["bump"]["judged"] == ["before", "between"] and entries["bump"]["state"] >= 5
    # A NaN makes both raise, which counts as equal.
    assert entries["checked"]["judged"] == ["sure"] and 1 <= entries["checked"]["raised"] < 5


def test_nothing_runs_unless_it_is_asked_for(tmp_path: Path) -> None:
    with mock.patch.object(numeric, "_Judge", side_effect=AssertionError):
        report = tfreuse.optimize_saved_model(saved(*GOOD), tmp_path / "result")
    assert "verification" not in report.to_dict()


@pytest.mark.parametrize(
    ("key", "wrong", "text"),
    [
        ("convs", MergeAlike("Conv2D", "first"), "output sum differs"),
        ("subtract", MergeAlike("Sub", "set"), "output product differs"),
        ("bump", MergeAlike("ReadVariableOp", "set"), "output between differs"),
        ("bump", MergeAlike("AssignAddVariableOp", "first"), "count differs after the call"),
        ("learn", MergeAlike("LookupTableInsertV2", "first"), "words keys differs after the call"),
    ],
)
def test_wrong_passes_are_caught(tmp_path: Path, key: str, wrong: Any, text: str) -> None:
    message = refusal(saved(*GOOD), tmp_path, DedupeReads(), wrong, Dce())
    assert f"signature {key}, feed" in message and text in message
    assert " ulp" in message or key == "learn"
    assert "element [0" in message or "the value" in message or "shape [" in message


def test_the_command_exits_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tfreuse.pipeline import text

    find = text.find_pass
    monkeypatch.setattr(text, "find_pass", lambda name: MergeAlike if name == "merge-alike" else find(name))
    command = ["tfreuse", "optimize", saved(*GOOD), str(tmp_path / "result"), "--verify", "2"]
    monkeypatch.setattr("sys.argv", [*command, "--pipeline", "merge-alike", "--no-proof"])
    with pytest.raises(SystemExit) as left:
        cli.run()
    assert left.value.code == 3
    assert "signature subtract" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as left:
        cli.run()
    assert left.value.code == 0
    assert "verified on 12 generated feeds" in capsys.readouterr().out


def test_random_outputs_are_named_and_not_judged(tmp_path: Path) -> None:
    entry = verified(saved("drawn"), tmp_path)["drawn"]
    assert entry["judged"] == ["even", "plain"]
    reasons = {missed["name"]: missed["reason"] for missed in entry["not_judged"]}
    assert reasons == {"noisy": "depends on RandomUniform", "noise": "depends on RandomStandardNormal"}


def test_what_changes_from_run_to_run_is_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the analysis sees no reason, such as in a kernel that sums in no fixed order."""
    call, runs = LoadedModel.call, iter(range(1000))

    def shaken(self: Any, signature: str, feed: Any) -> Any:
        return {name: value + tf.cast(next(runs), value.dtype) for name, value in call(self, signature, feed).items()}

    monkeypatch.setattr(LoadedModel, "call", shaken)
    entry = verified(saved("subtract"), tmp_path, verify=1)["subtract"]
    assert entry["judged"] == [] and "when it runs again" in entry["not_judged"][0]["reason"]


def test_users_feeds(tmp_path: Path) -> None:
    target = tmp_path / "empty"
    target.mkdir()
    file = tmp_path / "feeds.npz"
    equal = {"subtract/x": np.ones([2, 3]), "subtract/y": np.ones([2, 3])}
    np.savez(file, **equal, **{"find/ids": np.array([4, 0]), "find/words": np.array(KEYS[:2])})
    entries = verified(saved(*GOOD), tmp_path, verify=1, feeds=file)
    assert {name: entry["feeds"] for name, entry in entries.items() if entry["feeds"]} == {"subtract": 1, "find": 1}
    assert entries["convs"]["not_judged"][0]["reason"] == "no feed was given for the signature"
    # A wrong pass passes on feeds that do not tell; generated ones would.
    other = {"subtract/x": np.zeros([2, 3]), "subtract/y": np.ones([2, 3])}
    tfreuse.optimize_saved_model(saved(*GOOD), None, dry_run=True)
    assert "(given)" in refusal(saved(*GOOD), target, MergeAlike(), verify=1, feeds=[equal, other])
    alone = {"x": np.float32([[1, 2, 3]]), "y": np.float32([[1, 2, 3]])}
    assert verified(saved("subtract"), tmp_path / "alone", verify=1, feeds=alone)["subtract"]["feeds"] == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"verify": -1}, "0 or more"),
        ({"feeds": {}}, "ask for it"),
        ({"verify": 1, "dry_run": True}, "dry run"),
        ({"verify": 1, "feeds": {}}, "name no input"),
        ({"verify": 1, "feeds": {"subtract/x": np.ones(3)}}, "have no 'y'"),
        ({"verify": 1, "feeds": {"bump/step": np.array(0.5)}}, "int32 is taken"),
        ({"verify": 1, "feeds": "/nowhere.npz"}, "cannot read"),
        ({"verify": 1, "feeds": __file__}, "no .npz"),
    ],
)
def test_bad_options(tmp_path: Path, options: Any, text: str) -> None:
    with pytest.raises(InputError, match=text):
        tfreuse.optimize_saved_model(saved(*GOOD), tmp_path / "result", **options)
    assert list(tmp_path.iterdir()) == []


def test_other_roundings_are_held_to_a_bound(tmp_path: Path) -> None:
    entry = verified(saved("sums"), tmp_path, pipeline=(Reassociate(), Dce()), proof=False)["sums"]
    assert entry["judged"] == ["alone", "sum"]
    assert entry["ulps"] > 0 and entry["unbounded"] > 0  # the sums do differ, and some overflow
    assert "no bound is known for Exp" in entry["not_judged"][0]["reason"]


def test_more_than_rounding_is_caught(tmp_path: Path) -> None:
    message = refusal(saved("sums"), tmp_path, Reassociate(wrongly=True), Dce())
    assert "output sum differs" in message and "where rounding explains" in message


def graph_of(function: Any, *specs: Any) -> tuple[Any, list[str]]:
    with tf.Graph().as_default() as graph:
        inputs = [tf.compat.v1.placeholder(spec.dtype, spec.shape, spec.name) for spec in specs]
        outputs = function(*inputs)
    return graph.as_graph_def(), [output.op.name for output in outputs]


def test_graphs(tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        scale = tf.compat.v1.get_variable("scale", [4], use_resource=False)
        return [tf.sin(x) * tf.sin(x), (x - scale) * (scale - x), x + tf.random.uniform([4])]

    graph_def, outputs = graph_of(build, tf.TensorSpec([None, 4], tf.float32, "x"))
    _, report = tfreuse.optimize_graph_def(graph_def, outputs=outputs, verify=5)
    (entry,) = report.to_dict()["verification"]["signatures"]
    assert entry["judged"] == outputs[:2] and entry["not_judged"][0]["name"] == outputs[2]
    with pytest.raises(VerificationError, match=f"output {outputs[1]} differs"):
        tfreuse.optimize_graph_def(graph_def, outputs=outputs, pipeline=(MergeAlike(),), verify=1, proof=False)
    source, target = tmp_path / "graph.pb", tmp_path / "result.pb"
    source.write_bytes(graph_def.SerializeToString())
    from tfreuse.offline.graphs import optimize_graph_file

    with pytest.raises(VerificationError):
        optimize_graph_file(source, target, outputs=outputs, pipeline=(MergeAlike(),), verify=1, proof=False)
    assert list(tmp_path.iterdir()) == [source]
    optimize_graph_file(source, target, outputs=outputs, verify=1, feeds={"x": normal(2, 4)})
    assert target.exists()


def test_concrete_functions() -> None:
    count = tf.Variable(3)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.float32)])
    def function(x: Any, y: Any) -> Any:
        count.assign_add(2)
        return (tf.sin(x) + tf.sin(x), {"product": (x - y) * (y - x)}, tf.random.uniform([2]))

    concrete = function.get_concrete_function()
    optimized, report = tfreuse.optimize(concrete, verify=5)
    (entry,) = report.to_dict()["verification"]["signatures"]
    assert entry["judged"] == ["0", "1"] and entry["state"] == 1
    assert [missed["name"] for missed in entry["not_judged"]] == ["2"]
    assert int(count) == 3
    with pytest.raises(VerificationError, match="output 1 differs"):
        tfreuse.optimize(concrete, pipeline=(MergeAlike(),), verify=1, proof=False)
    assert int(count) == 3
    optimized(tf.ones(2), tf.ones(2))
    assert int(count) == 5


def test_swapped_operands_may_keep_another_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    """The op commutes but for payloads of NaNs, as commutative.txt says; without such a merge they must be equal."""
    graph_def, outputs = graph_of(
        lambda x, y: [tf.identity(x + y), tf.identity(y + x)],
        *(tf.TensorSpec([500], tf.float32, name) for name in "xy"),
    )
    _, report = tfreuse.optimize_graph_def(graph_def, outputs=outputs, pipeline=(Cse(), Dce()), verify=5)
    (entry,) = report.to_dict()["verification"]["signatures"]
    assert report.merged and entry["judged"] == outputs
    assert entry["nan_payloads"] > 0
    monkeypatch.setattr(numeric, "swaps_operands", lambda result: False)
    with pytest.raises(VerificationError, match=r"0x[7f]f"):
        tfreuse.optimize_graph_def(graph_def, outputs=outputs, pipeline=(Cse(),), verify=2)


def test_a_program_that_acts_on_the_world_is_not_run(tmp_path: Path) -> None:
    file = tmp_path / "written"
    graph_def, outputs = graph_of(
        lambda x: [with_write(x, str(file))],
        tf.TensorSpec([2], tf.float32, "x"),
    )
    _, report = tfreuse.optimize_graph_def(graph_def, outputs=outputs, verify=1)
    (entry,) = report.to_dict()["verification"]["signatures"]
    assert "WriteFile acts on the world" in entry["not_judged"][0]["reason"]
    assert not file.exists()


def with_write(x: Any, path: str) -> Any:
    with tf.control_dependencies([tf.raw_ops.WriteFile(filename=path, contents="text")]):
        return tf.identity(x)


@pytest.mark.parametrize("name", ["v1-reference", "v1-resource"])
def test_models_of_version_1_run_in_sessions(tmp_path: Path, name: str) -> None:
    model = models.saved(name)
    entries = verified(model, tmp_path, tags="serve")
    assert entries["control"]["judged"] == ["branched", "looped"]
    assert entries["step"]["judged"] == ["steps"] and entries["step"]["state"] == 4
    assert all(not entry["raised"] and not entry["not_judged"] for entry in entries.values())
    op = "AssignAdd" if name == "v1-reference" else "AssignAddVariableOp"
    target = tmp_path / "empty"
    target.mkdir()
    assert "output steps differs" in refusal(model, target, MergeAlike(op, "first"))


def test_a_queue_is_not_waited_for() -> None:
    def waiting(x: Any) -> Any:
        return [tf.queue.FIFOQueue(1, [tf.float32], [[2]]).dequeue() + x]

    graph_def, outputs = graph_of(waiting, tf.TensorSpec([2], tf.float32, "x"))
    _, report = tfreuse.optimize_graph_def(graph_def, outputs=outputs, verify=1)
    (entry,) = report.to_dict()["verification"]["signatures"]
    assert "may wait for ever" in entry["not_judged"][0]["reason"]


def test_variables_drawn_at_the_start_are_made_equal(tmp_path: Path) -> None:
    path = str(tmp_path / "drawn")
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [3], "x")
        weight = v1.get_variable("weight", initializer=v1.random_normal([3]), collections=["other"])
        output = tf.sin(x * weight) + tf.sin(x * weight)
        info = v1.saved_model.build_tensor_info
        signature = v1.saved_model.build_signature_def({"x": info(x)}, {"y": info(output)})
        builder = v1.saved_model.Builder(path)
        session.run(weight.initializer)
        builder.add_meta_graph_and_variables(session, ["serve"], {"s": signature}, main_op=weight.initializer.op
                                             if hasattr(weight.initializer, "op") else weight.initializer)  # fmt: skip
        builder.save()
    assert verified(path, tmp_path)["s"]["judged"] == ["y"]
