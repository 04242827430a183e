"""Which names of a SavedModel the outside can see, and which parts only save, restore or initialise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

_INIT_SIGNATURES = ("__saved_model_init_op", "__saved_model_train_op")
_INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")
_RESOURCE_FUNCTIONS = ("_create_resource", "_initialize", "_destroy_resource")


@dataclass
class PublicNames:
    """What must survive of one `MetaGraphDef`.

    `fed`: main-graph nodes whose value callers replace. `kept`: by function (the main graph is ""), nodes that
    are referred to by name. `frozen`: main-graph nodes that only save, restore or initialise.
    `frozen_functions`: functions that only such nodes call. `labels`: names that users know functions by.
    """

    fed: list[str] = field(default_factory=list)
    kept: dict[str, set[str]] = field(default_factory=dict)
    frozen: set[str] = field(default_factory=set)
    frozen_functions: set[str] = field(default_factory=set)
    labels: dict[str, str] = field(default_factory=dict)

    def keep(self, function: str, tensor: str) -> None:
        """Keep the node that a tensor or control name (`a:0`, `^a`) refers to."""
        self.kept.setdefault(function, set()).add(node_of(tensor))


def public_names(meta_graph: Any) -> PublicNames:
    """Collects them from signatures, savers, collections, assets and the object graph."""
    names = PublicNames()
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    served: set[str] = set()
    starts: set[str] = set()
    for key, signature in meta_graph.signature_def.items():
        for info in signature.inputs.values():
            names.fed += [node_of(name) for name in tensor_names(info)]
        for info in signature.outputs.values():
            for name in tensor_names(info):
                names.keep("", name)
                (starts if key in _INIT_SIGNATURES else served).add(node_of(name))
    saver = meta_graph.saver_def
    for name in (saver.filename_tensor_name, saver.save_tensor_name, saver.restore_op_name):
        if name:
            names.keep("", name)
            starts.add(node_of(name))
    for asset in meta_graph.asset_file_def:
        names.fed.append(node_of(asset.tensor_info.name))
    for key, collection in meta_graph.collection_def.items():
        for name in collection_names(collection, nodes.keys()):
            names.keep("", name)
            if key in _INIT_COLLECTIONS:
                starts.add(node_of(name))
    for entry in meta_graph.object_graph_def.nodes:
        if entry.WhichOneof("kind") == "captured_tensor":
            names.keep(entry.captured_tensor.concrete_function, entry.captured_tensor.name)
        elif entry.WhichOneof("kind") == "constant":
            names.keep("", entry.constant.operation)
    names.fed = [name for name in dict.fromkeys(names.fed) if name in nodes]
    names.kept.get("", set()).intersection_update(nodes.keys())
    serving = _ancestors(nodes, served)
    names.frozen = _ancestors(nodes, starts) - serving
    # The loader reads the value of a captured constant from its node: it may not even become an alias.
    constants = {entry.constant.operation for entry in meta_graph.object_graph_def.nodes if entry.HasField("constant")}
    names.frozen |= constants & nodes.keys()
    _functions(meta_graph, nodes, serving, names)
    return names


def node_of(tensor: str) -> str:
    """The node of `a:0`, `^a` or `a`."""
    return tensor.removeprefix("^").split(":")[0]


def tensor_names(info: Any) -> list[str]:
    """All tensor names in a `TensorInfo`, the parts of sparse and composite tensors too."""
    kind = info.WhichOneof("encoding")
    if kind == "name":
        return [info.name]
    if kind == "coo_sparse":
        sparse = info.coo_sparse
        return [sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name]
    return [name for part in info.composite_tensor.components for name in tensor_names(part)]


def called_functions(node: Any, library: Iterable[str]) -> Iterator[str]:
    """Functions that a `NodeDef` names in its attributes or, in old graphs, as its op."""
    if node.op in library:
        yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        elif value.HasField("list"):
            yield from (func.name for func in value.list.func)


def collection_names(collection: Any, nodes: Iterable[str]) -> Iterator[str]:
    """Names of `nodes` in a collection; serialised protos are searched field by field, whatever their type."""
    kind = collection.WhichOneof("kind")
    if kind == "node_list":
        texts = list(collection.node_list.value)
    elif kind == "bytes_list":
        texts = [text for value in collection.bytes_list.value for text in _strings(value)]
    elif kind == "any_list":
        texts = [text for value in collection.any_list.value for text in _strings(value.value)]
    else:
        return
    yield from (text for text in texts if node_of(text) in nodes)


def _strings(data: bytes, depth: int = 0) -> Iterator[str]:
    """Every byte string in the protocol-buffer wire form `data`, and `data` itself, as far as it is text."""
    with suppress(UnicodeDecodeError):
        yield data.decode()
    position = 0
    while position < len(data) and depth < 8:
        tag, position = _varint(data, position)
        wire = tag & 7
        if wire == 0:
            _, position = _varint(data, position)
        elif wire in (1, 5):
            position += 8 if wire == 1 else 4
        elif wire == 2:
            size, position = _varint(data, position)
            if position + size > len(data):
                return
            yield from _strings(data[position : position + size], depth + 1)
            position += size
        else:
            return


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data):
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    return value, position


def _ancestors(nodes: dict[str, Any], starts: Iterable[str]) -> set[str]:
    found: set[str] = set()
    work = [name for name in starts if name in nodes]
    while work:
        name = work.pop()
        if name not in found:
            found.add(name)
            work.extend(source for text in nodes[name].input if (source := node_of(text)) in nodes)
    return found


def _functions(meta_graph: Any, nodes: dict[str, Any], serving: set[str], names: PublicNames) -> None:
    library = {function.signature.name: function for function in meta_graph.graph_def.library.function}
    objects = meta_graph.object_graph_def
    ordinary: set[str] = set()
    special: set[str] = set()
    for name in serving:
        ordinary.update(called_functions(nodes[name], library))
    for name in names.frozen:
        special.update(called_functions(nodes[name], library))
    paths = _object_paths(objects)
    saveables = {
        index
        for entry in objects.nodes
        for saveable in entry.saveable_objects.values()
        for index in (saveable.save_function, saveable.restore_function)
    }
    for index, entry in enumerate(objects.nodes):
        kind = entry.WhichOneof("kind")
        if kind == "function":
            found = list(entry.function.concrete_functions)
        elif kind == "bare_concrete_function":
            found = [entry.bare_concrete_function.concrete_function_name]
        else:
            continue
        path = paths.get(index, "")
        names.labels.update((name, path) for name in found if path)
        own = index in saveables or path.rpartition(".")[2] in _RESOURCE_FUNCTIONS
        (special if own else ordinary).update(found)
    names.frozen_functions = reachable(special, library) - reachable(ordinary, library)


def _object_paths(objects: Any) -> dict[int, str]:
    """For each object the shortest attribute path to it, such as `encoder.call`."""
    paths = {0: ""}
    work = [0] if len(objects.nodes) else []
    for index in work:
        for child in objects.nodes[index].children:
            if child.node_id not in paths and 0 <= child.node_id < len(objects.nodes):
                paths[child.node_id] = f"{paths[index]}.{child.local_name}".lstrip(".")
                work.append(child.node_id)
    return paths


def reachable(starts: Iterable[str], library: Mapping[str, Any]) -> set[str]:
    """The functions of the library, by name, that these run, themselves included."""
    found: set[str] = set()
    work = [name for name in starts if name in library]
    while work:
        name = work.pop()
        if name not in found:
            found.add(name)
            for node in library[name].node_def:
                work.extend(called for called in called_functions(node, library) if called in library)
    return found
