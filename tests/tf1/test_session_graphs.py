"""Graphs as sessions run them: equal work once, the same bits before, while and after they are trained."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.offline import checks
from tests.tf1.programs import PROGRAMS
from tests.tf1.sessions import ops, steps, traced
from tfreuse.cli.main import run as command

pytestmark = pytest.mark.tensorflow

CONTROL_FLOW = ("Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond")


def optimized(name: str, **options: Any) -> tuple[Any, Any]:
    program = traced(name)
    fed = [tensor.split(":")[0] for tensor in program.fed]
    return tfreuse.optimize_graph_def(program.graph_def, outputs=program.roots, inputs=fed, **options)


@pytest.mark.parametrize("name", PROGRAMS)
def test_counts(name: str) -> None:
    program = traced(name)
    after, report = optimized(name)
    assert report.failures == []
    counts = ops(program.graph_def), ops(after)
    assert {op: (counts[0][op], counts[1][op]) for op in program.built.counts} == program.built.counts
    for op in CONTROL_FLOW:
        assert counts[0][op] == counts[1][op], op


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_bits_while_training(name: str) -> None:
    program = traced(name)
    before = steps(program, program.graph_def)
    checks.assert_same(before, steps(program, optimized(name)[0]))
    if program.train:
        assert checks.bits(before[0][0]) != checks.bits(before[2][0]), "training changes nothing"


@pytest.mark.parametrize("name", PROGRAMS)
def test_verified(name: str) -> None:
    """Each op that gives no tensor is an entry of its own: a step of training is judged by the variables after it."""
    program = traced(name)
    found = optimized(name, verify=3)[1].to_dict()["verification"]["signatures"]
    entries = {entry["signature"]: entry for entry in found}
    assert set(entries) == {"graph", program.init} | ({program.train} if program.train else set())
    for called, entry in entries.items():
        if name == "queues" and called == "graph":
            assert {left["reason"] for left in entry["not_judged"]} == {"not run: QueueDequeueV2 may wait for ever"}
            continue
        assert entry["judged"] == (sorted(program.outputs) if called == "graph" else [called])
        assert (entry["raised"], entry["not_judged"]) == (0, [])
        assert entry["state"] >= (1 if program.train else 0)


@pytest.mark.parametrize("name", ["reference_tower", "nested_loops"])
def test_graph_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's door for files, verified; a second run changes nothing."""
    program = traced(name)
    files = [tmp_path / f"{number}.pb" for number in range(3)]
    files[0].write_bytes(program.graph_def.SerializeToString())
    fed = ",".join(tensor.split(":")[0] for tensor in program.fed)
    for source, target in pairwise(files):
        line = ["tfreuse", "optimize", source, target, "--outputs", ",".join(program.roots), "--inputs", fed]
        monkeypatch.setattr("sys.argv", [*map(str, line), "--verify", "3"])
        with pytest.raises(SystemExit) as done:
            command()
        assert not done.value.code
    once, twice = (tf.compat.v1.GraphDef.FromString(file.read_bytes()) for file in files[1:])
    assert once == twice
    assert ops(once)["Conv2D"] == program.built.counts["Conv2D"][1]
    checks.assert_same(steps(program, program.graph_def), steps(program, once))


def test_frozen_graph() -> None:
    """Variables made constants: one convolution for three, the same bits."""
    program = traced("resource_tower")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(program.graph_def, name="")
        session.run(program.init)
        frozen = tf.compat.v1.graph_util.convert_variables_to_constants(session, program.graph_def, ["loss"])
    after, report = tfreuse.optimize_graph_def(frozen, outputs=["loss"], verify=3)
    (entry,) = report.to_dict()["verification"]["signatures"]
    assert entry["judged"] == ["loss"]
    assert (ops(frozen)["Conv2D"], ops(after)["Conv2D"]) == (3, 1)
    found = []
    for graph_def in (frozen, after):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            tf.graph_util.import_graph_def(graph_def, name="")
            found.append(session.run("loss:0", program.fed))
    assert ops(after)["VarHandleOp"] == 0
    checks.assert_same(*found)


def missed(name: str) -> Counter[str]:
    return Counter(
        entry["id"] for function in optimized(name)[1].to_dict()["functions"] for entry in function["missed"]
    )


@pytest.mark.parametrize(
    ("name", "remark"),
    [
        ("queues", "unknown-effects"),
        ("normalization_and_updates", "racing-reads"),
        ("reads_of_a_reference", "reference-read"),
    ],
)
def test_refusals_say_why(name: str, remark: str) -> None:
    assert missed(name)[remark]
