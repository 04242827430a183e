"""Library functions: how inputs are spelled, what a body returns, what may contradict what."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import function_pb2, graph_pb2

from tfreuse.bridge.functiondef import read_function, write_function
from tfreuse.bridge.module import ops_of, read_module, write_module
from tfreuse.errors import GraphError
from tfreuse.ir.graph import ARGUMENT_OP, Graph, Value
from tfreuse.pipeline.run import run_pipeline
from tfreuse.pipeline.text import PRESETS, parse_pipeline

FLOAT = 'attr { key: "T" value { type: DT_FLOAT } }'


def function(signature: str, nodes: str, ret: dict[str, str], control: dict[str, str] | None = None) -> Any:
    """A `FunctionDef` from the text of its signature and nodes."""
    proto = text_format.Parse(f'signature {{ name: "f" {signature} }} {nodes}', function_pb2.FunctionDef())
    proto.ret.update(ret)
    proto.control_ret.update(control or {})
    return proto


def args(*names: str, kind: str = "type: DT_FLOAT") -> str:
    """Input arguments."""
    return " ".join(f'input_arg {{ name: "{name}" {kind} }}' for name in names)


def result(*names: str) -> str:
    """Output arguments."""
    return " ".join(f'output_arg {{ name: "{name}" type: DT_FLOAT }}' for name in names)


def node(name: str, op: str, *inputs: str, attrs: str = FLOAT) -> str:
    """A node in text form."""
    listed = " ".join(f'input: "{text}"' for text in inputs)
    return f'node_def {{ name: "{name}" op: "{op}" {listed} {attrs} }}'


def library(*functions: Any) -> Any:
    """A graph with nothing but functions."""
    return graph_pb2.GraphDef(library=function_pb2.FunctionDefLibrary(function=functions))


def optimized(proto: Any) -> Any:
    """What the default pipeline makes of the function."""
    graph_def = library(proto)
    ops = ops_of(graph_def)
    module = read_module(graph_def, ops, strict=True)
    write_module(module, run_pipeline(module, ops, parse_pipeline(PRESETS["exact"])).after, graph_def, ops)
    return graph_def.library.function[0]


def run(proto: Any, *inputs: Any) -> list[Any]:
    """The function, run by TensorFlow."""
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        given = [tf.constant(value) for value in inputs]
        graph_def = library(proto)
        call = graph_def.node.add(name="call", op="PartitionedCall", input=[f"a{i}" for i in range(len(given))])
        call.attr["Tin"].list.type.extend(tensor.dtype.as_datatype_enum for tensor in given)
        call.attr["Tout"].list.type.extend(arg.type for arg in proto.signature.output_arg)
        call.attr["f"].func.name = proto.signature.name
        for i, tensor in enumerate(given):
            hole = graph_def.node.add(name=f"a{i}", op="Placeholder")
            hole.attr["dtype"].type = tensor.dtype.as_datatype_enum
        found = tf.graph_util.import_graph_def(
            graph_def,
            {f"a{i}:0": tensor for i, tensor in enumerate(given)},
            [f"call:{i}" for i in range(len(proto.signature.output_arg))],
        )
        assert graph is not None
        return [value.tolist() for value in session.run(found)]


SPLIT = node("s", "Split", "axis:output:0", "x", attrs=f'{FLOAT} attr {{ key: "num_split" value {{ i: 2 }} }}')
AXIS = (
    'node_def { name: "axis" op: "Const" attr { key: "dtype" value { type: DT_INT32 } }'
    ' attr { key: "value" value { tensor { dtype: DT_INT32 tensor_shape {} int_val: 0 } } } }'
)
PACK = f'{FLOAT} attr {{ key: "N" value {{ i: 2 }} }}'
TWICE = [node("one", "Sin", "x"), node("two", "Sin", "x")]


def read(proto: Any) -> Graph:
    """The function as a graph."""
    return read_function(proto, ops_of(library(proto)))


def test_ports_of_several_outputs() -> None:
    """`SoftmaxCrossEntropyWithLogits` has two outputs of one tensor each, `Split` one output of several."""
    loss = node("l", "SoftmaxCrossEntropyWithLogits", "x", "x")
    sums = node("sum", "AddV2", "l:backprop:0", "s:output:1")
    graph = read(function(args("x") + result("y"), AXIS + SPLIT + loss + sums, {"y": "sum:z:0"}))
    assert graph.nodes["sum"].inputs == (Value("l", 1), Value("s", 1))
    assert graph.nodes["x"].op == ARGUMENT_OP
    assert graph.outputs == (("y", Value("sum", 0)),)


def test_an_argument_may_be_returned() -> None:
    proto = function(args("x") + result("y"), "", {"y": "x"})
    before = read(proto)
    assert before.outputs == (("y", Value("x")),)
    copy = function_pb2.FunctionDef.FromString(proto.SerializeToString())
    write_function(before, before, copy, ops_of(library(proto)), everything=True)
    assert copy == proto


def test_ports_without_an_index() -> None:
    """Hand-written functions say `sin:y` for `sin:y:0`."""
    graph = read(
        function(args("x") + result("y"), "".join(TWICE) + node("sum", "AddV2", "one:y", "two:y"), {"y": "sum:z"})
    )
    assert graph.nodes["sum"].inputs == (Value("one"), Value("two"))


def test_an_output_of_several_tensors_without_an_index() -> None:
    """`split:output` is all its tensors at once: two operands."""
    proto = function(
        'input_arg { name: "x" type: DT_FLOAT } output_arg { name: "y" type: DT_FLOAT }',
        AXIS + SPLIT + SPLIT.replace('"s"', '"t"') + node("p", "Pack", "t:output", attrs=PACK),
        {"y": "p:output:0"},
    )
    expected = run(proto, [1.0, 2.0])
    after = optimized(proto)
    assert run(after, [1.0, 2.0]) == expected == [[[1.0], [2.0]]]


def test_arguments_that_are_lists() -> None:
    """`x:1` is the second tensor of an argument that is a list."""
    kind = 'type: DT_FLOAT number_attr: "N"'
    attrs = 'attr { name: "N" type: "int" }'
    nodes = node("a", "Sin", "x:0") + node("b", "Sin", "x:0") + node("c", "Mul", "b:y:0", "x:1")
    nodes += node("d", "AddV2", "a:y:0", "c:z:0")
    proto = function(args("x", kind=kind) + result("y") + attrs, nodes, {"y": "d:z:0"})
    after = {left.name: list(left.input) for left in optimized(proto).node_def}
    assert after["c"] in (["a:y:0", "x:1"], ["b:y:0", "x:1"])
    assert after["a"] == ["x:0"]


def test_output_names_stay_when_a_returned_node_is_merged() -> None:
    proto = function(args("x") + result("a", "b"), "".join(TWICE), {"a": "one:y:0", "b": "two:y:0"})
    after = optimized(proto)
    assert dict(after.ret) == {"a": "one:y:0", "b": "one:y:0"}
    assert after.signature == proto.signature
    assert run(after, [1.0]) == run(proto, [1.0])


READS = "".join(
    node(name, "ReadVariableOp", "v", attrs='attr { key: "dtype" value { type: DT_FLOAT } }') for name in ("one", "two")
) + node("product", "Mul", "one:value:0", "two:value:0")
HANDLE = args("v", kind="type: DT_RESOURCE")


def test_control_outputs_of_merged_nodes_become_one() -> None:
    """TensorFlow refuses two control outputs on one node."""
    signature = HANDLE + result("y") + ' control_output: "one" control_output: "two" is_stateful: true'
    after = optimized(function(signature, READS, {"y": "product:z:0"}, {"one": "one", "two": "two"}))
    assert dict(after.control_ret) == {"one": "one"}
    assert list(after.signature.control_output) == ["one"]


def test_control_outputs_without_a_place_in_the_signature() -> None:
    """Older TensorFlow wrote `control_ret` alone, and TensorFlow still runs what it names."""
    after = optimized(function(HANDLE + result("y"), READS, {"y": "product:z:0"}, {"one": "one", "two": "two"}))
    names = {left.name for left in after.node_def}
    assert set(after.control_ret.values()) <= names
    assert "one" in after.control_ret.values()


def test_attributes_and_arguments_stay() -> None:
    proto = function(
        args("x") + result("y"), "".join(TWICE) + node("product", "Mul", "one:y:0", "two:y:0"), {"y": "product:z:0"}
    )
    proto.attr["_noinline"].b = True
    proto.arg_attr[0].attr["_user_specified_name"].s = b"image"
    proto.resource_arg_unique_id[0] = 7
    after = optimized(proto)
    assert [left.name for left in after.node_def] == ["one", "product"]
    for field in ("signature", "attr", "arg_attr", "resource_arg_unique_id", "ret", "control_ret"):
        assert getattr(after, field) == getattr(proto, field)


@pytest.mark.parametrize(
    ("nodes", "ret", "message"),
    [
        (node("a", "Sin", "b:y:0"), {"y": "a:y:0"}, "'b'"),
        (node("a", "Sin", "x:y:0:^"), {"y": "b:y:0"}, "'b'"),
        (node("a", "Sin", "x"), {"y": "a:z:0"}, "no output"),
        (node("a", "Sin", "x"), {"y": "a:y:1"}, "beyond"),
        (node("a", "Sin", "x"), {}, "no value"),
        (node("a", "Sin", "x") * 2, {"y": "a:y:0"}, "two nodes"),
        (node("x", "Sin", "x"), {"y": "x"}, "both an argument and a node"),
        (node("a", "Sin", "b:y:0") + node("b", "Sin", "a:y:0"), {"y": "a:y:0"}, "cycle"),
        (node("a", "Sin", "x", "^b"), {"y": "a:y:0"}, "'b'"),
        (node("a", "Pack", "x", attrs=FLOAT) + node("b", "Sin", "a:output:0"), {"y": "b:y:0"}, "'N' is missing|^$"),
    ],
)
def test_contradictions(nodes: str, ret: dict[str, str], message: str) -> None:
    proto = function(args("x") + result("y"), nodes, ret)
    graph_def = library(proto)
    if message.endswith("^$"):
        read_module(graph_def, ops_of(graph_def), strict=True)  # what an op takes is not what this looks at
        return
    with pytest.raises(GraphError, match=message):
        read_module(graph_def, ops_of(graph_def), strict=True)
    module = read_module(graph_def, ops_of(graph_def))
    assert list(module.opaque) == ["f"] and "f" not in module.graphs
    copy = graph_pb2.GraphDef.FromString(graph_def.SerializeToString())
    write_module(module, module, copy, ops_of(graph_def), everything=True)
    assert copy == graph_def


def test_functions_used_as_ops() -> None:
    """Graphs of TensorFlow 1 call a function by using its name as an op."""
    inner = function(args("x") + result("p", "q"), "".join(TWICE), {"p": "one:y:0", "q": "two:y:0"})
    inner.signature.name = "Inner"
    outer = function(
        args("x") + result("y"), node("c", "Inner", "x", attrs="") + node("n", "Neg", "c:q:0"), {"y": "n:y:0"}
    )
    graph_def = library(inner, outer)
    module = read_module(graph_def, ops_of(graph_def), strict=True)
    assert module.graphs["f"].nodes["n"].inputs == (Value("c", 1),)
    copy = graph_pb2.GraphDef.FromString(graph_def.SerializeToString())
    write_module(module, module, copy, ops_of(graph_def), everything=True)
    assert copy == graph_def
