"""The names of a model that the outside can see, from hand-made `MetaGraphDef`s."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import any_pb2
from tensorflow.core.framework import function_pb2, variable_pb2
from tensorflow.core.protobuf import control_flow_pb2, meta_graph_pb2, saver_pb2

from tfreuse.bridge.public_names import node_of, public_names, tensor_names

FLOAT = 1


def graph(*edges: str) -> Any:
    """A graph of nodes given as `name: input input`, and `name=Op: ...` where the op matters."""
    meta = meta_graph_pb2.MetaGraphDef()
    for edge in edges:
        head, _, inputs = edge.partition(":")
        name, _, op = head.partition("=")
        meta.graph_def.node.add(name=name, op=op or "Op", input=inputs.split())
    return meta


def sign(meta: Any, key: str, inputs: dict[str, str], outputs: dict[str, str]) -> None:
    """Adds a signature."""
    for name, tensor in inputs.items():
        meta.signature_def[key].inputs[name].name = tensor
    for name, tensor in outputs.items():
        meta.signature_def[key].outputs[name].name = tensor


def function(meta: Any, name: str, *calls: str) -> None:
    """Adds a library function that calls others."""
    body = function_pb2.FunctionDef()
    body.signature.name = name
    for number, called in enumerate(calls):
        node = body.node_def.add(name=f"n{number}", op="PartitionedCall")
        node.attr["f"].func.name = called
    meta.graph_def.library.function.append(body)


def test_node_of() -> None:
    assert [node_of(text) for text in ("a", "a:0", "^a", "a/b:12", "a/b:out:1")] == ["a", "a", "a", "a/b", "a/b"]


def test_signatures() -> None:
    meta = graph("x", "y: x", "z: y:1 ^x", "loose: x")
    sign(meta, "serving_default", {"image": "x:0"}, {"features": "z:0", "more": "y:1"})
    sign(meta, "other", {"again": "x:0"}, {"features": "z:0"})
    names = public_names(meta)
    assert names.fed == ["x"]
    assert names.kept == {"": {"y", "z"}}
    assert names.frozen == set() and names.frozen_functions == set()


def test_a_fed_node_need_not_be_a_placeholder() -> None:
    meta = graph("parse", "x=Identity: parse", "y: x")
    sign(meta, "serving_default", {"x": "x:0"}, {"y": "y:0"})
    assert public_names(meta).fed == ["x"]


def test_composite_tensors() -> None:
    info = meta_graph_pb2.TensorInfo()
    info.coo_sparse.values_tensor_name = "v:0"
    info.coo_sparse.indices_tensor_name = "i:0"
    info.coo_sparse.dense_shape_tensor_name = "s:0"
    assert sorted(tensor_names(info)) == ["i:0", "s:0", "v:0"]
    ragged = meta_graph_pb2.TensorInfo()
    ragged.composite_tensor.components.add(name="values:0", dtype=FLOAT)
    ragged.composite_tensor.components.add().composite_tensor.components.add(name="splits:3")
    assert tensor_names(ragged) == ["values:0", "splits:3"]
    meta = graph("v", "i", "s", "values", "splits")
    meta.signature_def["f"].inputs["sparse"].CopyFrom(info)
    meta.signature_def["f"].outputs["ragged"].CopyFrom(ragged)
    names = public_names(meta)
    assert set(names.fed) == {"v", "i", "s"}
    assert names.kept[""] == {"values", "splits"}
    assert tensor_names(meta_graph_pb2.TensorInfo()) == []


def test_saver() -> None:
    meta = graph(
        "x", "y: x v", "v", "file", "save: file v", "all: save", "part: file", "assign: v part", "restore: ^assign"
    )
    sign(meta, "serving_default", {"x": "x:0"}, {"y": "y:0"})
    meta.saver_def.filename_tensor_name = "file:0"
    meta.saver_def.save_tensor_name = "all:0"
    meta.saver_def.restore_op_name = "restore"
    names = public_names(meta)
    assert names.kept[""] == {"y", "file", "all", "restore"}
    assert names.frozen == {"file", "save", "all", "part", "assign", "restore"}  # and not v, which serving needs


def test_assets() -> None:
    meta = graph("path", "table: path", "other")
    meta.asset_file_def.add(filename="words.txt").tensor_info.name = "path:0"
    assert public_names(meta).fed == ["path"]


def test_names_that_are_not_there_are_left_out() -> None:
    meta = graph("y")
    sign(meta, "f", {"x": "gone:0", "none": ""}, {"y": "y:0", "z": "gone:0"})
    meta.collection_def["train_op"].node_list.value.append("gone")
    names = public_names(meta)
    assert names.fed == [] and names.kept == {"": {"y"}}


@pytest.mark.parametrize("key", ["train_op", "losses", "my_own"])
def test_node_lists(key: str) -> None:
    meta = graph("a", "b", "c", "d")
    meta.collection_def[key].node_list.value.extend(["a", "b:0", "^c"])
    meta.collection_def["numbers"].int64_list.value.append(1)
    meta.collection_def["reals"].float_list.value.append(1.0)
    assert public_names(meta).kept[""] == {"a", "b", "c"}


@pytest.mark.parametrize("key", ["saved_model_main_op", "legacy_init_op"])
def test_init_ops_are_frozen(key: str) -> None:
    meta = graph("words", "fill: words", "init: ^fill", "x", "y: x")
    sign(meta, "serving_default", {"x": "x:0"}, {"y": "y:0"})
    meta.collection_def[key].node_list.value.append("init")
    assert public_names(meta).frozen == {"words", "fill", "init"}


@pytest.mark.parametrize("key", ["__saved_model_init_op", "__saved_model_train_op"])
def test_init_signatures_are_frozen(key: str) -> None:
    meta = graph("fill", "init: ^fill", "x", "y: x")
    sign(meta, "serving_default", {"x": "x:0"}, {"y": "y:0"})
    sign(meta, key, {}, {key: "init"})
    names = public_names(meta)
    assert names.frozen == {"fill", "init"} and names.kept[""] == {"y", "init"}


def collected(meta: Any, message: Any) -> set[str]:
    """What is kept of `meta` because a collection holds `message`."""
    meta.collection_def["things"].bytes_list.value.append(message.SerializeToString())
    return public_names(meta).kept.get("", set())


def test_variables_in_collections() -> None:
    meta = graph("v", "v/Assign", "v/read", "v/initial", "w")
    variable = variable_pb2.VariableDef(
        variable_name="v:0", initializer_name="v/Assign", snapshot_name="v/read:0", initial_value_name="v/initial:0"
    )
    assert collected(meta, variable) == {"v", "v/Assign", "v/read", "v/initial"}


def test_loops_in_collections() -> None:
    meta = graph(*(f"w/{letter}" for letter in "abcdefghijk"), "other")
    loop = control_flow_pb2.WhileContextDef(
        context_name="w/while_context",
        parallel_iterations=10,
        back_prop=True,
        pivot_name="w/a",
        pivot_for_pred_name="w/b:0",
        pivot_for_body_name="w/c:0",
        loop_exit_names=["w/d:0"],
        loop_enter_names=["w/e:0"],
        maximum_iterations_name="w/f:0",
    )
    loop.values_def.values.extend(["w/g:0"])
    loop.values_def.external_values["w/h:0"] = "w/i:0"
    branch = loop.nested_contexts.add().cond_ctxt
    branch.pred_name = "w/j:0"
    branch.pivot_name = "w/k:0"
    assert collected(meta, loop) == {f"w/{letter}" for letter in "abcdefghijk"}


def test_empty_fields_in_collections_hide_nothing() -> None:
    """A branch without values writes an empty message, and its nested contexts behind it."""
    meta = graph("c/pred", "c/pivot", "c/inner")
    branch = control_flow_pb2.CondContextDef(pred_name="c/pred:0", pivot_name="c/pivot:0")
    branch.values_def.SetInParent()
    branch.nested_contexts.add().cond_ctxt.pred_name = "c/inner:0"
    assert collected(meta, branch) == {"c/pred", "c/pivot", "c/inner"}


def test_packed_messages_in_collections() -> None:
    meta = graph("file", "save", "restore", "path")
    saver = saver_pb2.SaverDef(filename_tensor_name="file:0", save_tensor_name="save:0", restore_op_name="restore")
    packed = any_pb2.Any()
    packed.Pack(saver)
    asset = any_pb2.Any()
    asset_def = meta_graph_pb2.AssetFileDef(filename="words.txt")
    asset_def.tensor_info.name = "path:0"
    asset.Pack(asset_def)
    meta.collection_def["savers"].any_list.value.extend([packed, asset])
    assert public_names(meta).kept[""] == {"file", "save", "restore", "path"}


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 9, b"\x0a\xff\xff", b"\x0a\x05abc", b"a", bytes(range(256)), b"\x0a" * 500]
)
def test_bytes_that_are_no_message(data: bytes) -> None:
    meta = graph("a")
    meta.collection_def["things"].bytes_list.value.append(data)
    assert public_names(meta).kept.get("", set()) == ({"a"} if data == b"a" else set())


def objects(meta: Any) -> Any:
    """The object graph, with a root."""
    if not meta.object_graph_def.nodes:
        meta.object_graph_def.nodes.add().user_object.identifier = "root"
    return meta.object_graph_def.nodes


def child(meta: Any, parent: int, name: str) -> Any:
    """A new object below another."""
    nodes = objects(meta)
    nodes[parent].children.add(node_id=len(nodes), local_name=name)
    return nodes.add()


def test_captured_tensors_and_constants() -> None:
    meta = graph("Const", "other")
    function(meta, "f")
    held = child(meta, 0, "held")
    held.captured_tensor.name = "Exp_1:0"
    held.captured_tensor.concrete_function = "f"
    child(meta, 0, "large").constant.operation = "Const"
    names = public_names(meta)
    assert names.kept["f"] == {"Exp_1"}
    # TensorFlow reads the value from the node itself, so another op under its name will not do.
    assert names.frozen == {"Const"}


def test_functions_that_only_save_restore_or_initialise() -> None:
    meta = graph("x", "y: x", "file", "save: file")
    for name, calls in {
        "serve": ["shared"],
        "save": ["shared", "own"],
        "create": [],
        "fill": ["deep"],
        "deep": [],
        "shared": [],
        "own": [],
        "saver": [],
        "loose": [],
    }.items():
        function(meta, name, *calls)
    meta.graph_def.node[1].attr["f"].func.name = "serve"
    meta.graph_def.node[3].attr["f"].func.name = "save"
    sign(meta, "serving_default", {"x": "x:0"}, {"y": "y:0"})
    meta.saver_def.save_tensor_name = "save:0"
    child(meta, 0, "call").function.concrete_functions.extend(["serve"])
    table = child(meta, 0, "table")
    index = len(objects(meta)) - 1
    table.resource.SetInParent()
    child(meta, index, "_create_resource").function.concrete_functions.append("create")
    child(meta, index, "_initialize").bare_concrete_function.concrete_function_name = "fill"
    saver = child(meta, 0, "saver")
    saver.function.concrete_functions.append("saver")
    saveable = objects(meta)[0].saveable_objects["v"]
    saveable.save_function = saveable.restore_function = len(objects(meta)) - 1
    names = public_names(meta)
    assert names.frozen_functions == {"save", "own", "create", "fill", "deep", "saver"}
    assert names.labels["serve"] == "call"
    assert names.labels["fill"] == "table._initialize"


def test_labels_are_the_shortest_paths_and_cycles_end() -> None:
    meta = graph("x")
    encoder = child(meta, 0, "encoder")
    encoder.user_object.SetInParent()
    child(meta, 1, "call").function.concrete_functions.append("f")
    objects(meta)[1].children.add(node_id=0, local_name="parent")
    objects(meta)[0].children.add(node_id=2, local_name="again")
    objects(meta)[0].children.add(node_id=99, local_name="nowhere")
    assert public_names(meta).labels["f"] in ("again", "encoder.call")
    assert public_names(meta).labels == {"f": "again"}
