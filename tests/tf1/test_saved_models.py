"""Models of TF1 programs, optimised: whatever a program finds in their collections works on, and training goes on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.offline import checks
from tests.tf1.models import KINDS, MOBILE, SERVE, TRAIN, WORDS, Keys, opened, optimized, saved
from tests.tf1.programs import normal

pytestmark = pytest.mark.tensorflow

v1 = tf.compat.v1
PIXELS = {"image:0": normal(2, 6, 6, 2, seed=9)}


def both(kind: str) -> tuple[str, str]:
    return saved(kind), optimized(kind)[0]


def meta_graph(path: str, tags: tuple[str, ...]) -> Any:
    (found,) = [graph for graph in checks.graphs(path) if set(graph.meta_info_def.tags) == set(tags)]
    return found


def counts(path: str, tags: tuple[str, ...]) -> Counter[str]:
    return Counter(node.op for node in meta_graph(path, tags).graph_def.node)


@pytest.mark.parametrize("tags", [TRAIN, SERVE, MOBILE])
@pytest.mark.parametrize("kind", KINDS)
def test_counts(kind: str, tags: tuple[str, ...]) -> None:
    """Three layers outside, two in the loop, two in the branch: one in each frame and branch is left."""
    before, after = (counts(path, tags) for path in both(kind))
    assert (before["Conv2D"], after["Conv2D"]) == (7, 3)
    assert (before["LookupTableFindV2"], after["LookupTableFindV2"]) == (2, 1)
    assert (before["Exp"], after["Exp"]) == (2, 1)
    for op in ("QueueEnqueueV2", "QueueDequeueV2", "Switch", "Merge", "Enter", "Exit", "RestoreV2", "SaveV2"):
        assert before[op] == after[op] > 0, op


@pytest.mark.parametrize("kind", KINDS)
def test_carried_and_verified(kind: str) -> None:
    path, report = optimized(kind)
    checks.assert_carried(saved(kind), path)
    assert report.failures == []
    entries = report.to_dict()["verification"]["signatures"]
    judged = {(entry["signature"], entry["tags"]): (entry["judged"], entry["raised"]) for entry in entries}
    numbers, words = (["features", "loss"], 0), (["ids"], 0)
    assert judged == {
        ("serving_default", "train"): numbers,
        ("serving_default", "serve"): numbers,
        **{("lookup", tags): words for tags in ("train", "serve", "serve,mobile")},
    }


def described(item: Any) -> Any:
    """What a collection holds, by names."""
    if hasattr(item, "to_proto"):
        proto = item.to_proto()
        return proto.SerializeToString(deterministic=True) if proto is not None else item.name
    return getattr(item, "name", item)


@pytest.mark.parametrize("tags", [TRAIN, SERVE])
@pytest.mark.parametrize("kind", KINDS)
def test_collections_hold_what_they_held(kind: str, tags: tuple[str, ...]) -> None:
    found = []
    for path in both(kind):
        with opened(path, tags) as session:
            graph = session.graph
            found.append({key: [described(item) for item in graph.get_collection(key)] for key in graph.collections})
    assert found[0] == found[1]
    expected = {Keys.GLOBAL_VARIABLES, Keys.TRAINABLE_VARIABLES, Keys.TRAIN_OP, Keys.SUMMARIES, Keys.SUMMARY_OP}
    assert expected | {Keys.QUEUE_RUNNERS, Keys.COND_CONTEXT, Keys.WHILE_CONTEXT, Keys.UPDATE_OPS} <= set(found[0])
    assert len(found[0][Keys.GLOBAL_VARIABLES]) == 8


def train(session: Any, rounds: int) -> list[Any]:
    """Loss, summary and all variables after each step, all found by collections."""
    graph, found = session.graph, []
    step, summary, loss = (graph.get_collection(key)[0] for key in (Keys.TRAIN_OP, Keys.SUMMARY_OP, Keys.LOSSES))
    variables = {v.op.name: v.op.outputs[0] for v in graph.get_collection(Keys.GLOBAL_VARIABLES)}
    with graph.as_default():
        values = {name: v1.convert_to_tensor(_value(tensor)) for name, tensor in variables.items()}
    for _ in range(rounds):
        session.run(step, PIXELS)
        found.append((*session.run([loss, summary], PIXELS), session.run(values)))
    return found


def _value(tensor: Any) -> Any:
    if tensor.dtype != tf.resource:
        return tensor
    return tf.raw_ops.ReadVariableOp(resource=tensor, dtype=tensor.op.get_attr("dtype"))


@pytest.mark.parametrize("kind", KINDS)
def test_training_goes_on_from_either(kind: str, tmp_path: Path) -> None:
    """Two steps, saved by the model's own saver, restored into the other model, two steps more."""
    found = []
    for first, second in [both(kind), both(kind)[::-1]]:
        with opened(first) as session:
            steps = train(session, 2)
            saver = v1.train.Saver(saver_def=meta_graph(first, TRAIN).saver_def)
            state = saver.save(session, str(tmp_path / Path(first).name))
        with tf.Graph().as_default(), v1.Session() as session:
            v1.train.import_meta_graph(meta_graph(second, TRAIN)).restore(session, state)
            found.append(steps + train(session, 2))
    checks.assert_same(*found)
    losses = [step[0] for step in found[0]]
    assert len(set(map(float, losses))) == 4, "training changes nothing"


@pytest.mark.parametrize("kind", KINDS)
def test_queue_runners_run(kind: str) -> None:
    found = []
    for path in both(kind):
        with opened(path) as session, session.graph.as_default():
            coordinator = v1.train.Coordinator()
            threads = v1.train.start_queue_runners(session, coordinator)
            assert len(threads) >= 2
            found.append([session.run("taken:0") for _ in range(3)])
            coordinator.request_stop()

            coordinator.join(threads, stop_grace_period_secs=10)
    checks.assert_same(*found)
    assert found[0][0] == found[0][2] != 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_assets_and_initialisers(kind: str) -> None:
    """The table is filled by `legacy_init_op` in the one model and by `main_op` in the other, from the copied file."""
    for tags in (TRAIN, SERVE, MOBILE):
        with opened(optimized(kind)[0], tags) as session:
            text = np.array([WORDS[1], "none"], dtype=object)
            assert session.run("ids:0", {"text:0": text}).tolist() == [1, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_loaded_by_tensorflow_2(kind: str) -> None:
    found = []
    for path in both(kind):
        signatures = tf.saved_model.load(path, tags=list(SERVE)).signatures
        with checks.as_written():
            found.append(signatures["serving_default"](image=tf.constant(PIXELS["image:0"])))
    checks.assert_same(*[{name: value.numpy() for name, value in one.items()} for one in found])


def test_one_set_of_tags(tmp_path: Path) -> None:
    target = str(tmp_path / "one")
    tfreuse.optimize_saved_model(saved("resource"), target, tags=MOBILE)
    for tags in (TRAIN, SERVE, MOBILE):
        before, after = (meta_graph(path, tags) for path in (saved("resource"), target))
        assert (before == after) == (tags != MOBILE)
