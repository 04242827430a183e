"""Traps of graph files: GraphDefs as TensorFlow and others write them, rewritten, imported and run."""

from __future__ import annotations

import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import graph_pb2, op_def_pb2
from tensorflow.python.client import pywrap_tf_session

import tfreuse
import tfreuse.ops
from tests.offline.models_v1 import branched, looped, switch_and_merge
from tfreuse.ops.families import FAMILIES

pytestmark = pytest.mark.tensorflow

v1 = tf.compat.v1
LATER = {"CalibrationStatisticsSaver", "DecodeJxl", "DecodeWebP"}
"""Ops that came after the oldest TensorFlow that is supported."""
TABLES = Path(tfreuse.ops.__file__).parent
FLOAT = 'attr { key: "T" value { type: DT_FLOAT } }'
FED = 'attr { key: "dtype" value { type: DT_FLOAT } }'


def graph(text: str) -> graph_pb2.GraphDef:
    return text_format.Parse(text, graph_pb2.GraphDef())


def node(name: str, op: str, *inputs: str, attrs: str = FLOAT, more: str = "") -> str:
    listed = " ".join(f'input: "{source}"' for source in inputs)
    return f'node {{ name: "{name}" op: "{op}" {listed} {attrs} {more} }}\n'


def optimized(proto: graph_pb2.GraphDef, *outputs: str, **options: Any) -> graph_pb2.GraphDef:
    result = tfreuse.optimize_graph_def(proto, outputs=outputs, **options)
    return result[0] if isinstance(result, tuple) else result


def names(proto: graph_pb2.GraphDef) -> list[str]:
    return [found.name for found in proto.node]


def run(proto: graph_pb2.GraphDef, fetches: Any, feed: dict[str, Any]) -> Any:
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(proto, name="")
        return session.run(fetches, feed)


def constant(name: str, value: str) -> str:
    return node(name, "Const", attrs=f'{FED} attr {{ key: "value" value {{ tensor {{ dtype: DT_FLOAT {value} }} }} }}')


def total(*inputs: str) -> str:
    return node("y", "AddN", *inputs, attrs=f'{FLOAT} attr {{ key: "N" value {{ i: {len(inputs)} }} }}')


X = node("x", "Placeholder", attrs=FED)


def registered() -> set[str]:
    buffer = pywrap_tf_session.TF_GetAllOpList()
    ops = op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(buffer))
    return {op.name for op in ops.op}


def test_trap_016_names_in_tables() -> None:
    """Every op that a table names is registered: a lost comma or a misspelling would give one that is not."""
    known = registered()
    assert known >= LATER or not known & LATER
    known |= LATER
    for table in ("facts.txt", "commutative.txt"):
        lines = (TABLES / table).read_text("utf-8").splitlines()
        listed = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
        assert len(listed) > 10 and set(listed) - known == set(), table
        assert len(listed) == len(set(listed)), table
    for family, ops in FAMILIES.items():
        assert ops - known == set(), family


def test_trap_039_one_tensor_in_several_encodings() -> None:
    content = "".join(f"\\{byte:03o}" for byte in np.full(4, 2.5, np.float32).tobytes())
    shape = "tensor_shape { dim { size: 4 } }"
    text = constant("splat", f"{shape} float_val: 2.5")
    text += constant("listed", f"{shape} " + "float_val: 2.5 " * 4)
    text += constant("tail", f"{shape} float_val: 2.5 float_val: 2.5")
    text += constant("content", f'{shape} tensor_content: "{content}"')
    text += constant("other", f"{shape} float_val: 2.5 float_val: 2.75")
    text += node(
        "y",
        "AddN",
        "splat",
        "listed",
        "tail",
        "content",
        "other",
        attrs=f'{FLOAT} attr {{ key: "N" value {{ i: 5 }} }}',
    )
    result = optimized(graph(text), "y")
    assert names(result) == ["splat", "other", "y"]
    np.testing.assert_array_equal(run(result, "y:0", {}), [12.5, 12.75, 12.75, 12.75])


def test_trap_040_small_encodings_of_huge_tensors() -> None:
    huge = "tensor_shape { dim { size: 1000000 } dim { size: 1000 } } float_val: 1"
    text = constant("a", huge) + constant("b", huge) + constant("c", huge + " float_val: 2")
    text += total("a", "b", "c")
    proto = graph(text)
    tracemalloc.start()
    began = time.process_time()
    result = optimized(proto, "y")
    seconds, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert names(result) == ["a", "c", "y"]
    assert seconds < 5 and peak < 50_000_000


ODD_ATTRIBUTES = (
    'attr { key: "_odd" value { } }',
    'attr { key: "_odd" value { list { } } }',
    'attr { key: "_odd" value { placeholder: "T" } }',
    'attr { key: "_odd" value { tensor { } } }',
    'attr { key: "_odd" value { tensor { dtype: DT_FLOAT tensor_shape { unknown_rank: true } } } }',
    'attr { key: "_odd" value { list { tensor { dtype: DT_RESOURCE } tensor { dtype: DT_VARIANT } } } }',
    'attr { key: "_odd" value { list { func { name: "f" attr { key: "a" value { f: nan } } } } } }',
    'attr { key: "_odd" value { list { shape { unknown_rank: true } shape { dim { size: -1 name: "n" } } } } }',
    'attr { key: "_odd" value { s: "\\000\\377" } }',
    'attr { key: "_odd" value { tensor { dtype: DT_STRING tensor_shape { dim { size: 2 } } string_val: "" } } }',
)


def test_trap_045_attributes_that_cannot_be_hashed() -> None:
    """Whatever an attribute holds, equal ones merge, others do not, and nothing fails."""
    text, ends = X, []
    for number, attr in enumerate(ODD_ATTRIBUTES):
        for copy in "ab":
            text += node(f"{copy}{number}", "Neg", "x", attrs=f"{FLOAT} {attr}")
            ends.append(f"{copy}{number}")
    text += total(*ends)
    left = names(optimized(graph(text), "y"))
    assert [name for name in left if name.startswith("a")] == [f"a{number}" for number in range(len(ODD_ATTRIBUTES))]
    assert len(left) <= 2 + 2 * len(ODD_ATTRIBUTES)


def test_trap_050_origins_are_no_difference() -> None:
    """Where a node came from says nothing of what it computes."""
    debug = 'experimental_debug_info { original_node_names: "%s" original_func_names: "f" }'
    text = X + node("a", "Exp", "x", more=debug % "first") + node("b", "Exp", "x", more=debug % "second")
    text += node("y", "Sub", "a", "b")
    assert names(optimized(graph(text), "y")) == ["x", "a", "y"]


def test_trap_054_spellings_of_ports() -> None:
    split = 'attr { key: "num_split" value { i: 2 } }'
    text = X + node("d", "Placeholder", attrs='attr { key: "dtype" value { type: DT_INT32 } }')
    text += node("s", "Split", "d", "x", attrs=f"{FLOAT} {split}")
    text += node("a", "Exp", "s") + node("b", "Exp", "s:0") + node("c", "Exp", "s:1")
    text += total("a", "b", "c:0")
    result = optimized(graph(text), "y")
    assert names(result) == ["x", "d", "s", "a", "c", "y"]
    value = run(result, "y:0", {"x:0": [0.0, 1.0], "d:0": 0})
    np.testing.assert_array_equal(value, run(graph(text), "y:0", {"x:0": [0.0, 1.0], "d:0": 0}))


def test_trap_064_names_that_are_fetched() -> None:
    text = X + node("a", "Exp", "x") + node("b", "Exp", "x") + node("c", "Neg", "b")
    result = optimized(graph(text), "a", "b", "c")
    one, other, third = run(result, ["a:0", "b:0", "c:0"], {"x:0": 1.0})
    assert one == other == -third
    assert Counter(found.op for found in result.node)["Exp"] == 1


def test_trap_070_fed_in_between() -> None:
    """A node that is fed stands for what is fed to it."""
    text = X + node("a", "Exp", "x") + node("mid", "Exp", "x") + node("b", "Exp", "x")
    text += node("m", "Sub", "a", "mid") + node("y", "Sub", "m", "b")
    result = optimized(graph(text), "y", inputs=["x", "mid"])
    feed = {"x:0": 0.0, "mid:0": 5.0}
    assert run(result, "y:0", feed) == run(graph(text), "y:0", feed) == -5.0
    assert "b" not in names(result)


def test_trap_073_control_inputs_on_a_removed_node() -> None:
    text = X + node("a", "Exp", "x") + node("b", "Exp", "x") + node("n", "Neg", "a", "^a", "^b")
    text += node("g", "NoOp", "^a", "^b", attrs="") + node("y", "Sub", "n", "b", "^g")
    result = optimized(graph(text), "y")
    assert {found.name: list(found.input) for found in result.node}["g"] == ["^a"]
    for found in result.node:
        sources = [source.lstrip("^").split(":")[0] for source in found.input]
        controls = [source for source in found.input if source.startswith("^")]
        assert len(set(controls)) == len(controls)
        assert set(sources) <= set(names(result))
    assert run(result, "y:0", {"x:0": 0.0}) == -2.0


def test_trap_074_control_inputs_come_last() -> None:
    text = X + node("c", "Neg", "x") + node("a", "Exp", "x", "^c") + node("b", "Exp", "x", "^c")
    text += node("w", "Neg", "b", "^a", "^c") + node("y", "Sub", "a", "w", "^b", "^c")
    for found in optimized(graph(text), "y").node:
        kinds = [source.startswith("^") for source in found.input]
        assert kinds == sorted(kinds)


def backward(proto: graph_pb2.GraphDef) -> set[tuple[str, str]]:
    """The edges whose source is listed behind its user."""
    place = {name: number for number, name in enumerate(names(proto))}
    edges = {(source.lstrip("^").split(":")[0], found.name) for found in proto.node for source in found.input}
    return {(source, user) for source, user in edges if place[source] > place[user]}


def test_trap_075_nodes_stay_in_order() -> None:
    """Where sources stood before their users they still do, so that whoever imports in order can; loops aside."""
    with switch_and_merge(), tf.Graph().as_default() as built:
        image = v1.placeholder(tf.float32, [1, 4, 4, 2], "image")
        tf.identity(looped(image, tf.ones([3, 3, 2, 4])) + branched(image)[..., :1], "end")
    proto = built.as_graph_def()
    result = optimized(proto, "end", inputs=["image"])
    assert len(result.node) < len(proto.node)
    assert backward(result) <= backward(proto)

    body = tf.function(lambda x: tf.sin(x) * tf.sin(x) + tf.cos(tf.sin(x)), autograph=False)
    concrete = body.get_concrete_function(tf.TensorSpec([], tf.float32))
    proto = concrete.graph.as_graph_def()
    result = optimized(proto, concrete.outputs[0].op.name)
    assert len(result.node) < len(proto.node)
    assert backward(result) == backward(proto) == set()


def test_trap_077_colocation_with_a_removed_node() -> None:
    beside = 'attr { key: "_class" value { list { s: "loc:@b" } } }'
    text = X + node("a", "Exp", "x") + node("b", "Exp", "x") + node("c", "Neg", "x", attrs=f"{FLOAT} {beside}")
    text += node("m", "Sub", "a", "b") + node("y", "Sub", "m", "c")
    result = optimized(graph(text), "y")
    assert "b" not in names(result)
    assert {found.name: found for found in result.node}["c"].attr["_class"].list.s == [b"loc:@a"]
    assert run(result, "y:0", {"x:0": 1.0}) == 1.0


@pytest.mark.parametrize("kind", ["branch", "loop"])
def test_trap_079_frames_and_dead_branches(kind: str) -> None:
    with switch_and_merge(), tf.Graph().as_default() as built:
        image = v1.placeholder(tf.float32, [1, 4, 4, 2], "image")
        tf.identity(branched(image) if kind == "branch" else looped(image, tf.ones([3, 3, 2, 4])), "end")
    proto = built.as_graph_def()
    result = optimized(proto, "end", inputs=["image"])
    before, after = (Counter(found.op for found in each.node) for each in (proto, result))
    for op in ("Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond"):
        assert after[op] == before[op]
    assert sum(after.values()) < sum(before.values())
    for sign in (1.0, -1.0):
        feed = {"image:0": sign * np.arange(32, dtype=np.float32).reshape(1, 4, 4, 2) / 8.0}
        np.testing.assert_array_equal(run(result, "end:0", feed), run(proto, "end:0", feed))


def test_trap_089_origins_are_kept() -> None:
    """The survivor says which nodes it stands for."""
    debug = 'experimental_debug_info { original_node_names: "%s" original_func_names: "f" }'
    text = X + node("a", "Exp", "x", more=debug % "first") + node("b", "Exp", "x", more=debug % "second")
    text += node("y", "Sub", "a", "b")
    survivor = {found.name: found for found in optimized(graph(text), "y").node}["a"]
    assert list(survivor.experimental_debug_info.original_node_names) == ["first", "second"]
    assert list(survivor.experimental_debug_info.original_func_names) == ["f", "f"]


def test_trap_113_ops_without_a_library() -> None:
    """Nothing is imported: a graph with an op that nobody registered is read, rewritten around it, and written."""
    text = X + node("a", "Exp", "x") + node("b", "Exp", "x")
    text += node("c", "OpOfSomebodyElse", "a", attrs="") + node("d", "OpOfSomebodyElse", "b", attrs="")
    text += node("y", "Sub", "c", "d")
    proto = graph(text)
    result = optimized(proto, "y")
    assert [found.op for found in result.node].count("OpOfSomebodyElse") == 2
