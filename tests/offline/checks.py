"""What the tests ask of a model on disk: its files, its protocol buffer, and what its signatures give."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.example import example_pb2
from tensorflow.core.protobuf import saved_model_pb2

from tests.offline.models import WORDS, normal

REWRITTEN = frozenset({"saved_model.pb", "saved_model.pbtxt", "fingerprint.pb"})
"""The only files that may differ between a model and the optimised one."""
BATCH = 1
"""One of the models adds what it is fed to an image, which allows no other number of rows."""


def tree(path: str) -> dict[str, bytes | None]:
    """Every file below `path` with its bytes, and every folder."""
    found: dict[str, bytes | None] = {}
    for entry in sorted(Path(path).rglob("*")):
        found[str(entry.relative_to(path))] = entry.read_bytes() if entry.is_file() else None
    return found


def content(path: str) -> bytes:
    """The file that holds the graph, in either form."""
    binary, text = Path(path, "saved_model.pb"), Path(path, "saved_model.pbtxt")
    return (binary if binary.exists() else text).read_bytes()


def read(path: str) -> Any:
    """The `SavedModel` proto of a folder."""
    proto = saved_model_pb2.SavedModel()
    if Path(path, "saved_model.pb").exists():
        proto.ParseFromString(content(path))
    else:
        text_format.Parse(content(path).decode(), proto)
    return proto


def graphs(path: str) -> Iterator[Any]:
    """The graphs of a SavedModel, one for each set of tags."""
    yield from read(path).meta_graphs


def serving(path: str) -> Any:
    """The graph tagged for serving."""
    return next(graph for graph in graphs(path) if list(graph.meta_info_def.tags) == ["serve"])


def ops(path: str) -> dict[str, Counter[str]]:
    """How many nodes of each op the main graph ("") and each function of the serving graph have."""
    graph_def = serving(path).graph_def
    bodies = {function.signature.name: function.node_def for function in graph_def.library.function}
    return {name: Counter(node.op for node in nodes) for name, nodes in {"": graph_def.node, **bodies}.items()}


def named(counts: dict[str, Counter[str]], part: str) -> Counter[str]:
    """The counts of all functions whose names contain `part`."""
    found = [counter for name, counter in counts.items() if part in name]
    assert found, f"no function is called {part}"
    return sum(found, Counter())


def shell(graph: Any, left: set[str]) -> Any:
    """A copy of a `MetaGraphDef` without nodes, what functions return, and functions that are not `left`.

    Nothing else may change. The object graph has in place of a function's name what it knows of it.
    """
    copy = type(graph)()
    copy.CopyFrom(graph)
    del copy.graph_def.node[:]
    known = {}
    for function in copy.graph_def.library.function:
        del function.node_def[:]
        del function.signature.control_output[:]
        function.ret.clear()
        function.control_ret.clear()
        known[function.signature.name] = declared(function)
    functions = [function for function in copy.graph_def.library.function if function.signature.name in left]
    del copy.graph_def.library.function[:]
    copy.graph_def.library.function.extend(functions)
    objects, aliases = copy.object_graph_def, copy.meta_info_def.function_aliases
    for name in list(objects.concrete_functions):
        saved = objects.concrete_functions[name].SerializeToString(deterministic=True)
        known[name] = f"{saved!r} {known[name]} {aliases.get(name, '')}"
    for entry in objects.nodes:
        if entry.WhichOneof("kind") == "function":
            names = sorted({known[name] for name in entry.function.concrete_functions})
            del entry.function.concrete_functions[:]
            entry.function.concrete_functions.extend(names)
        elif entry.WhichOneof("kind") == "bare_concrete_function":
            bare = entry.bare_concrete_function
            bare.concrete_function_name = known[bare.concrete_function_name]
    for name in set(known) - left:
        objects.concrete_functions.pop(name, None)
        aliases.pop(name, None)
    return copy


def declared(function: Any) -> str:
    """What a function says beside its name and its body; captures have numbers for names."""
    copy = type(function)()
    copy.CopyFrom(function)
    copy.signature.name = ""
    for attrs in copy.arg_attr.values():
        if attrs.attr["_user_specified_name"].s.isdigit():
            del attrs.attr["_user_specified_name"]
    return repr(copy.SerializeToString(deterministic=True))


def library(graph: Any) -> list[str]:
    """The names of a graph's functions."""
    return [function.signature.name for function in graph.graph_def.library.function]


def assert_carried(before: str, after: str) -> None:
    """Files, signatures, collections, savers, object graph, functions and their arguments are what they were.

    Of functions that are one to the outside, one may be left.
    """
    old, new = tree(before), tree(after)
    assert old.keys() == new.keys()
    assert [name for name in old if old[name] != new[name] and os.path.basename(name) not in REWRITTEN] == []
    pairs = list(zip(graphs(before), graphs(after), strict=True))
    for one, other in pairs:
        left = set(library(other))
        assert left <= set(library(one))
        assert shell(one, left) == shell(other, left)
        left = {node.name for node in other.graph_def.node}
        named_outside = [info.name for key in other.signature_def.values() for info in key.outputs.values()]
        assert {name.split(":")[0] for name in named_outside if name} <= left


def bits(value: Any) -> tuple[str, tuple[int, ...], Any]:
    """Type, shape and bits, so that 0.0 is not -0.0 and a NaN is itself."""
    array = np.asarray(value)
    if array.dtype.kind in "OSU":
        return "string", array.shape, [bytes(element) for element in array.astype(object).ravel()]
    return str(array.dtype), array.shape, array.tobytes()


def assert_same(left: Any, right: Any) -> None:
    """Bit-equal structures."""
    tf.nest.assert_same_structure(left, right, expand_composites=True)
    for one, other in zip(tf.nest.flatten(left), tf.nest.flatten(right), strict=True):
        assert (one is None and other is None) or bits(one) == bits(other)


def feeds(graph: Any, key: str) -> dict[str, np.ndarray]:
    """A value for each input of a signature, as the fed node wants it (signatures of old models say otherwise)."""
    nodes = {node.name: node for node in graph.graph_def.node}
    found = {}
    for number, (name, info) in enumerate(sorted(graph.signature_def[key].inputs.items())):
        node = nodes[info.name.split(":")[0]]
        dtype = tf.as_dtype(node.attr["dtype"].type if node.op == "Placeholder" else info.dtype)
        stated = node.attr["_output_shapes"].list.shape
        stated = stated[0] if stated else info.tensor_shape
        sizes = [] if stated.unknown_rank else [dim.size for dim in stated.dim]
        if dtype == tf.string:
            found[name] = np.array(example_protos(graph) or WORDS, dtype=object)
        else:
            shape = [BATCH if size < 0 else size for size in sizes]
            found[name] = (normal(*shape, seed=number) * 10.0).astype(dtype.as_numpy_dtype)
    return found


def example_protos(graph: Any) -> list[bytes]:
    """Serialised `tf.train.Example`s with every feature that a parsing node of the graph asks for."""
    bodies = [graph.graph_def.node, *(function.node_def for function in graph.graph_def.library.function)]
    features: dict[str, tuple[int, int]] = {}
    for nodes in bodies:
        for node in nodes:
            if node.op in ("ParseExample", "ParseExampleV2"):
                features.update(_dense_features(node, {other.name: other for other in nodes}))
    if not features:
        return []
    examples = []
    for number in range(BATCH):
        example = example_pb2.Example()
        for key, (dtype, count) in features.items():
            values = normal(count, seed=number) * 10.0
            if dtype == tf.float32:
                example.features.feature[key].float_list.value.extend(values)
            else:
                example.features.feature[key].int64_list.value.extend(values.astype(int))
        examples.append(example.SerializeToString(deterministic=True))
    return examples


def _dense_features(node: Any, nodes: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Type and number of values of each dense feature (their keys are constants among the inputs)."""
    inputs = [nodes.get(text.split(":")[0]) for text in node.input]
    if node.op == "ParseExample":
        first = 2 + node.attr["Nsparse"].i
        keys = [tf.make_ndarray(key.attr["value"].tensor) for key in inputs[first : first + node.attr["Ndense"].i]]
    else:
        keys = list(tf.make_ndarray(inputs[3].attr["value"].tensor))
    shapes = [max(1, int(np.prod([dim.size for dim in s.dim]))) for s in node.attr["dense_shapes"].list.shape]
    types = node.attr["Tdense"].list.type
    names = [key if isinstance(key, bytes) else key.item() for key in keys]
    return {name.decode(): (t, n) for name, t, n in zip(names, types, shapes, strict=True)}


Outputs = dict[str, Any]


def run_loaded(path: str, like: str = "") -> dict[str, Outputs | Exception]:
    """`tf.saved_model.load`, then every signature twice, in order of their names, fed as the model `like` wants it."""
    graph = serving(like or path)
    signatures = tf.saved_model.load(path, tags=["serve"]).signatures

    def call(key: str) -> Any:
        fed = {name: tf.constant(value) for name, value in feeds(graph, key).items()}
        return {name: value.numpy() for name, value in signatures[key](**fed).items()}

    return _each(sorted(signatures), call)


def run_session(path: str, tags: tuple[str, ...] = ("serve",), like: str = "") -> dict[str, Outputs | Exception]:
    """The same with `tf.compat.v1.saved_model.load` in a session."""
    with tf.Graph().as_default(), tf.compat.v1.Session(config=soft_placement()) as session:
        graph = tf.compat.v1.saved_model.load(session, list(tags), path)
        shaped = serving(like) if like else graph

        def call(key: str) -> Any:
            signature = graph.signature_def[key]
            fed = {signature.inputs[name].name: value for name, value in feeds(shaped, key).items()}
            return session.run({name: info.name for name, info in signature.outputs.items()}, fed)

        return _each(sorted(graph.signature_def), call)


@contextmanager
def as_written() -> Iterator[None]:
    """Functions run as they are written: Grappler may regroup the sums of the one model and not of the other."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})


def soft_placement() -> Any:
    """Devices that this machine lacks are ignored."""
    return tf.compat.v1.ConfigProto(allow_soft_placement=True)


def split(results: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """What ran, and the type of the error of what did not."""
    failed = {key: type(value).__name__ for key, value in results.items() if isinstance(value, Exception)}
    return {key: value for key, value in results.items() if key not in failed}, failed


def _each(keys: list[str], call: Callable[[str], Any]) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for key in keys:
        try:
            results[key] = [call(key), call(key)]
        except Exception as error:  # which signatures run is what is being asked
            results[key] = error
    return results


@cache
def loads(path: str) -> bool:
    """Whether TF2 can load the model at all; some old ones it cannot."""
    try:
        tf.saved_model.load(path, tags=["serve"])
    except Exception:  # old models fail in many ways, down to AttributeError
        return False
    return True
