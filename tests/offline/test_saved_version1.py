"""TF1 models, loaded into sessions: values, writes, gradients through loops, training, saving, both graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.offline import checks
from tests.offline.models import WORDS, normal, optimized, saved
from tests.offline.models_v1 import SERVE, TRAIN
from tests.seeds.executed import assert_close

v1 = tf.compat.v1
MODELS = ["v1-reference", "v1-resource", "v1-text"]
BINARY = MODELS[:2]
PIXELS = normal(2, 8, 8, 2, seed=9)


def open_model(path: str, tag: str = SERVE) -> Any:
    """A session with the model loaded; a context manager."""
    session = v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        v1.saved_model.load(session, [tag], path)
    return session


@pytest.mark.parametrize("tags", [(SERVE,), (TRAIN,)])
@pytest.mark.parametrize("name", MODELS)
def test_signatures(name: str, tags: tuple[str, ...]) -> None:
    before, failed = checks.split(checks.run_session(saved(name), tags))
    after, failed_after = checks.split(checks.run_session(optimized(name), tags))
    # The graph to train was saved before the one to serve, and its initial signature alone is the loader's own.
    assert failed == failed_after == {}
    assert len(before) == (4 if SERVE in tags else 1)
    checks.assert_same(before, after)


@pytest.mark.parametrize("name", MODELS)
def test_values(name: str) -> None:
    with open_model(optimized(name)) as session:
        text = np.array([WORDS[2], "none"], dtype=object)
        assert session.run("ids:0", {"text:0": text}).tolist() == [4, -2]
        left, right = session.run(["left:0", "right:0"], {"image:0": PIXELS})
        checks.assert_same(left, right)
        for sign in (1.0, -1.0):
            found = session.run("cond/Merge:0", {"image:0": sign * PIXELS})
            assert found.shape == PIXELS.shape


@pytest.mark.parametrize("name", MODELS)
def test_both_of_two_equal_writes_happen(name: str) -> None:
    for path in (saved(name), optimized(name)):
        with open_model(path) as session:
            assert [int(session.run("stepped:0")) for _ in range(3)] == [2, 4, 6]


@pytest.mark.parametrize("name", BINARY)
def test_training_goes_on(name: str, tmp_path: Path) -> None:
    """Collections lead to variables, train op and saver; what a saver writes, both models restore."""
    for path in (saved(name), optimized(name)):
        with open_model(path, TRAIN) as session, session.graph.as_default():
            (train,) = v1.get_collection(v1.GraphKeys.TRAIN_OP)
            session.run(train)
            assert [variable.op.name for variable in v1.global_variables()] == ["kernel", "steps"]
            assert [variable.op.name for variable in v1.trainable_variables()] == ["kernel"]
            saver = v1.train.Saver()
            checkpoint = saver.save(session, str(tmp_path / "model.ckpt"))
            session.run(v1.global_variables_initializer())
            (_, steps) = v1.global_variables()
            assert session.run(steps) == 0
            saver.restore(session, checkpoint)
            assert session.run(steps) == 2


@pytest.mark.parametrize("target", ["features:0", "while/Exit_1:0", "cond/Merge:0"])
@pytest.mark.parametrize("name", BINARY)
def test_gradients(name: str, target: str) -> None:
    """The loader makes loops and branches anew from the names in the collections; gradients need them."""
    found = []
    for path in (saved(name), optimized(name)):
        with open_model(path) as session, session.graph.as_default():
            image = session.graph.get_tensor_by_name("image:0")
            (kernel,) = v1.trainable_variables()
            sources = [image] if target.startswith("cond") else [image, kernel]
            gradients = v1.gradients(session.graph.get_tensor_by_name(target), sources)
            found.append([value for sign in (1, -1) for value in session.run(gradients, {image: sign * PIXELS})])
    assert_close(*found)


@pytest.mark.parametrize("name", BINARY)
def test_loaded_by_tensorflow_2(name: str) -> None:
    before, after = checks.run_loaded(saved(name)), checks.run_loaded(optimized(name))
    assert checks.split(before)[1] == {}
    checks.assert_same(before, after)


@pytest.mark.parametrize("name", BINARY)
def test_names_in_collections_exist(name: str) -> None:
    for graph in checks.graphs(optimized(name)):
        names = {node.name for node in graph.graph_def.node}
        for key, collection in graph.collection_def.items():
            for value in collection.bytes_list.value:
                message = _message(key).FromString(value)
                for text in _names(message):
                    assert text.split(":")[0].removeprefix("^") in names, (key, text)
            assert {value.split(":")[0] for value in collection.node_list.value} <= names


def _message(key: str) -> Any:
    from tensorflow.python.framework import ops

    return ops.get_collection_proto_type(key)


def _names(message: Any) -> list[str]:
    """Every string in a message that names a node or tensor."""
    found = []
    for field, value in message.ListFields():
        if field.name in ("context_name", "external_values"):
            continue
        if field.cpp_type == field.CPPTYPE_MESSAGE:
            parts = [value] if hasattr(value, "ListFields") else value
            found += [name for part in parts for name in _names(part)]
        elif field.cpp_type == field.CPPTYPE_STRING:
            found += [value] if isinstance(value, str) else list(value)
    return found


@pytest.mark.parametrize("tag", [SERVE, TRAIN])
def test_one_graph_of_two(tag: str, tmp_path: Path) -> None:
    target = str(tmp_path / "one")
    tfreuse.optimize_saved_model(saved("v1-resource"), target, tags=[tag])
    checks.assert_carried(saved("v1-resource"), target)
    for before, after in zip(checks.graphs(saved("v1-resource")), checks.graphs(target), strict=True):
        assert (before == after) == (tag not in before.meta_info_def.tags)
