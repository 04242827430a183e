"""An untouched graph, read and with every input spelled anew, comes back equal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tensorflow.core.framework import attr_value_pb2, graph_pb2

from tests.offline import checks, corpus, models_v1  # noqa: F401  (models_v1 adds its builders)
from tests.offline.models import BUILDERS, optimized, saved
from tfreuse.bridge.attrs import read_attr, write_attr
from tfreuse.bridge.module import MAIN, ops_of, read_module, write_module
from tfreuse.bridge.public_names import public_names

FOREIGN = corpus.saved_models()
FROZEN = corpus.frozen_graphs()
FRESH = sorted(BUILDERS)


def copied(proto: Any) -> Any:
    """A copy of a proto."""
    copy = type(proto)()
    copy.CopyFrom(proto)
    return copy


def frozen_graph(name: str) -> Any:
    """A file of the corpus that holds a `GraphDef`."""
    return graph_pb2.GraphDef.FromString((corpus.ROOT / name).read_bytes())


def foreign_graph_defs(model: str) -> Iterator[Any]:
    """The graphs of a SavedModel of the corpus."""
    for graph in checks.graphs(str(corpus.ROOT / model)):
        yield graph.graph_def


def assert_comes_back(graph_def: Any) -> None:
    """Through the IR and back, each input spelled from the node and the flat port that were read."""
    ops = ops_of(graph_def)
    module = read_module(graph_def, ops, strict=True)
    assert module.opaque == {}
    assert module.graphs.keys() == {MAIN, *(function.signature.name for function in graph_def.library.function)}
    written = copied(graph_def)
    write_module(module, module, written, ops, everything=True)
    for before, after in zip(graph_def.library.function, written.library.function, strict=True):
        assert before == after, before.signature.name
    for before, after in zip(graph_def.node, written.node, strict=True):
        assert before == after
    assert written == graph_def
    assert written.SerializeToString(deterministic=True) == graph_def.SerializeToString(deterministic=True)


def assert_attrs_come_back(graph_def: Any) -> None:
    """Each attribute that is no tensor, through `Attr` and back; what differs reads as different."""
    bodies = [graph_def.node, *(function.node_def for function in graph_def.library.function)]
    attrs = [attr for nodes in bodies for node in nodes for attr in node.attr.values()]
    attrs += [attr for function in graph_def.library.function for attr in function.attr.values()]
    spelled: dict[Any, bytes] = {}
    for before in attrs:
        if before.WhichOneof("value") == "tensor":
            continue
        read = read_attr(before)
        after = attr_value_pb2.AttrValue()
        write_attr(read, after)
        assert after == before
        wire = before.SerializeToString(deterministic=True)
        assert spelled.setdefault(read, wire) == wire
    assert spelled


@corpus.NEEDED
@pytest.mark.parametrize("model", FOREIGN)
def test_foreign_model(model: str) -> None:
    for graph_def in foreign_graph_defs(model):
        assert_comes_back(graph_def)
        assert_attrs_come_back(graph_def)


@corpus.NEEDED
@pytest.mark.parametrize("name", FROZEN)
def test_frozen_graph(name: str) -> None:
    graph_def = frozen_graph(name)
    assert_comes_back(graph_def)
    assert_attrs_come_back(graph_def)


@pytest.mark.parametrize("path", [saved, optimized])
@pytest.mark.parametrize("name", FRESH)
def test_fresh_model(name: str, path: Any) -> None:
    for graph in checks.graphs(path(name)):
        assert_comes_back(graph.graph_def)
        assert_attrs_come_back(graph.graph_def)


@pytest.mark.parametrize("name", FRESH)
def test_public_names_and_frozen_nodes_change_no_spelling(name: str) -> None:
    for graph in checks.graphs(saved(name)):
        names = public_names(graph)
        ops = ops_of(graph.graph_def)
        module = read_module(
            graph.graph_def, ops, arguments=names.fed, kept=names.kept, frozen={MAIN: names.frozen}, strict=True
        )
        written = copied(graph.graph_def)
        write_module(module, module, written, ops, everything=True)
        assert written == graph.graph_def


@pytest.mark.parametrize("name", FRESH)
def test_without_everything_nothing_is_touched(name: str) -> None:
    for graph in checks.graphs(saved(name)):
        ops = ops_of(graph.graph_def)
        module = read_module(graph.graph_def, ops)
        written = copied(graph.graph_def)
        write_module(module, module, written, ops)
        assert written == graph.graph_def
