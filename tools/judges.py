"""Judges the judges: which of the seeded bugs does the proof refuse, and which do numbers show?

    python -m tools.judges [WORD ...]

Only bugs whose name has one of the words, if any are given. A bug that is no graph that TensorFlow runs as it stands
(an op that nobody knows, a part of an attribute list, a device that is not there) is left out of the second rate.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tests.validate.seeded import Case, read_cases
from tfreuse.errors import TfreuseError, VerificationError
from tfreuse.ir.attrs import Attrs, Tensor
from tfreuse.ir.graph import Graph, Node
from tfreuse.ir.parse import parse_graph
from tfreuse.ir.text import print_value

FEEDS = 5
_IN_PLACE_OF_ARGUMENTS = """
x = Placeholder() {dtype: float, shape: <2>}
z = Placeholder() {dtype: float, shape: <2>}
v = VarHandleOp() {dtype: float, shape: <2>, shared_name: "v"}
u = VarHandleOp() {dtype: float, shape: <2>, shared_name: "u"}
"""
_DONE = "done"
_DONE_TEXT = "done = Const() {dtype: float, value: tensor(float, [], 0.0)}"


class Row(NamedTuple):
    """What the two judges say of a bug; `shown` is None where the numbers could not be asked, and `why`."""

    name: str
    is_refused: bool
    shown: bool | None
    why: str = ""


def judge(case: Case) -> Row:
    """Ask both judges."""
    is_refused = case.refusal() is not None
    try:
        compared = numbers(case)
    except VerificationError as error:
        return Row(case.name, is_refused, True, str(error))
    except Exception as error:  # whatever TensorFlow says of a graph that it cannot run
        return Row(case.name, is_refused, None, f"{type(error).__name__}: {' '.join(str(error).split())}")
    return Row(case.name, is_refused, None if compared else False, compared)


def numbers(case: Case) -> str:
    """Run the case's graph before and after; "" if they were compared and no difference was seen, else why not.

    Raises:
        VerificationError: for a difference.
    """
    from tfreuse.bridge.module import ops_of, read_module
    from tfreuse.pipeline.run import Result
    from tfreuse.validate.numeric_doors import verify_graph_def

    module, (rewritten, _) = case.module(), case.rewritten()
    if len(module.graphs) > 1:
        return "it calls functions"
    if rewritten.arguments != module.graphs[""].arguments:
        return "its arguments changed"
    before, outputs = graph_def(module.graphs[""])
    try:
        after, fetched = graph_def(rewritten)
    except ValueError as error:
        raise VerificationError(f"the result cannot be loaded: {error}") from error
    if [name for name, _ in outputs] != [name for name, _ in fetched]:
        raise VerificationError("an output is gone")
    ops = ops_of(before)
    result = Result(read_module(before, ops), read_module(after, ops), ops, ())
    found = verify_graph_def(before, after, result, [name for name, _ in outputs], [], FEEDS)
    (entry,) = found["signatures"]
    if entry["raised"] == entry["feeds"] or not entry["judged"]:
        reasons = [missed["reason"] for missed in entry["not_judged"]]
        return reasons[0] if reasons else "it raises on every feed"
    return ""


def graph_def(graph: Graph) -> tuple[Any, list[tuple[str, str]]]:
    """The graph with its outputs under names of their own, and one that waits for all that has to run."""
    from tensorflow.core.framework import graph_pb2

    from tfreuse.bridge.nodes import write_inputs, write_meaning

    nodes = {**graph.nodes, **parse_graph(_IN_PLACE_OF_ARGUMENTS).nodes}
    outputs = [(f"output_{label}", print_value(value)) for label, value in graph.outputs]
    done = parse_graph(_DONE_TEXT).nodes[_DONE]
    nodes[_DONE] = done._replace(controls=graph.kept.union(name for _, name in graph.control_outputs) & nodes.keys())
    proto = graph_pb2.GraphDef()
    for node in nodes.values():
        entry = proto.node.add(name=node.name)
        write_inputs(node, None, entry, print_value)
        tensors = {name: attr.value for name, attr in node.attrs.items() if attr.kind == "tensor"}
        plain = node._replace(attrs=node.attrs.updated(dict.fromkeys(tensors)))
        write_meaning(plain, Node(node.name, "", attrs=Attrs()), entry)
        for name, tensor in tensors.items():
            _write_tensor(tensor, entry.attr[name].tensor)
    kinds = _types(proto)
    outputs += [(f"public_{name}", name) for name in sorted(graph.kept) if name in kinds]
    for name, value in outputs:
        proto.node.add(name=name, op="Identity", input=[value]).attr["T"].type = kinds[value.removesuffix(":0")]
    return proto, [*outputs, (_DONE, _DONE)]


def _write_tensor(tensor: Tensor, proto: Any) -> None:
    proto.dtype = tensor.dtype
    for size in tensor.shape:
        proto.tensor_shape.dim.add(size=size)
    if isinstance(tensor.elements, bytes):
        proto.tensor_content = tensor.elements
    else:
        proto.string_val.extend(tensor.elements)


def _types(proto: Any) -> dict[str, int]:
    """The types of all tensors, as TensorFlow finds them."""
    import tensorflow as tf

    with tf.Graph().as_default() as found:
        tf.graph_util.import_graph_def(proto, name="")
        tensors = [tensor for op in found.get_operations() for tensor in op.outputs]
        return {tensor.name.removesuffix(":0"): tensor.dtype.as_datatype_enum for tensor in tensors}


def table(rows: Iterable[Row]) -> str:
    """The rows, and how many of the bugs each judge found."""
    rows = list(rows)
    words = {True: "yes", False: "no", None: "-"}
    width = max([len(row.name) for row in rows] + [3])
    lines = [f"{'bug':{width}}  proof  numbers"]
    lines += [f"{row.name:{width}}  {words[row.is_refused]:5}  {words[row.shown]:3}  {row.why[:90]}" for row in rows]
    run = [row for row in rows if row.shown is not None]
    lines.append(f"the proof refuses {sum(row.is_refused for row in rows)} of {len(rows)}")
    lines.append(f"numbers show {sum(bool(row.shown) for row in run)} of {len(run)} that run")
    return "\n".join(line.rstrip() for line in lines)


def main(words: list[str]) -> None:
    """Print the table."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    wrong = [case for case in read_cases().values() if not case.is_right]
    chosen = [case for case in wrong if not words or any(word in case.name for word in words)]
    print(table(judge(case) for case in chosen))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except TfreuseError as error:
        sys.exit(str(error))
