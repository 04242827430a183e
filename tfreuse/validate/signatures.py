"""What a program takes and gives, entry by entry, in terms of its main graph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tfreuse.analysis.shapes import Shape, stated_shapes
from tfreuse.ir.graph import Graph, Value
from tfreuse.ir.order import ancestors
from tfreuse.ops.registry import Ops

_INIT_SIGNATURES = ("__saved_model_init_op", "__saved_model_train_op")
_SCALARS_TOLD = 24
"""The graph version from which on a placeholder of no dimensions is a scalar."""
_PLACEHOLDERS = ("Placeholder", "PlaceholderV2")


@dataclass(frozen=True)
class Input:
    """Something that is fed: its name for callers, the value in the main graph, `DataType` and static shape."""

    name: str
    value: Value
    dtype: int
    shape: Shape | None


@dataclass(frozen=True)
class Signature:
    """One way to call a program. `refusal` says why it cannot be run, if it cannot."""

    name: str
    inputs: tuple[Input, ...]
    outputs: tuple[tuple[str, Value], ...]
    refusal: str = ""


def value_of(tensor: str) -> Value:
    """`a:1` as a value; `a` is `a:0`."""
    node, _, port = tensor.partition(":")
    return Value(node, int(port or 0))


def saved_signatures(meta_graph: Any, graph: Graph) -> list[Signature]:
    """The signatures of a `MetaGraphDef` that serve; those that only initialise are left out."""
    shape_of = stated_shapes(graph)
    # In old graphs a shape that is not known looks like that of a scalar (Placeholder in array_ops.cc).
    vague = 0 < meta_graph.graph_def.versions.producer < _SCALARS_TOLD
    found = []
    for key in sorted(meta_graph.signature_def):
        if key in _INIT_SIGNATURES:
            continue
        entry = meta_graph.signature_def[key]
        refusal = ""
        for name, info in [*sorted(entry.inputs.items()), *sorted(entry.outputs.items())]:
            if info.WhichOneof("encoding") != "name":
                refusal = f"{name} is a sparse or composite tensor"
            elif value_of(info.name).node not in graph.nodes:
                refusal = f"{name} is no tensor of the graph"
        if refusal:
            found.append(Signature(key, (), (), refusal))
            continue
        inputs = []
        for name, info in sorted(entry.inputs.items()):
            value = value_of(info.name)
            node = graph.nodes[value.node]
            # Signatures of old models say something else than the node that is fed, which decides.
            dtype = node.attrs.value("dtype", info.dtype) if node.op in _PLACEHOLDERS else info.dtype
            told = None if info.tensor_shape.unknown_rank else tuple(dim.size for dim in info.tensor_shape.dim)
            stated = shape_of(value)
            if vague:
                stated = stated or told or None
            elif stated is None:
                stated = told
            inputs.append(Input(name, value, dtype, stated))
        outputs = tuple((name, value_of(info.name)) for name, info in sorted(entry.outputs.items()))
        found.append(Signature(key, tuple(inputs), outputs))
    return found


def graph_signatures(graph: Graph, outputs: Iterable[str], inputs: Iterable[str], ops: Ops) -> list[Signature]:
    """The entries of a bare graph: one of all tensors among `outputs`, and one of each op that gives none.

    Such an op (a step of training, an initialiser) is run for what it does, which could race with the others, and so
    is one that gives a reference.
    Placeholders and `inputs` that an entry depends on are fed, by their names.
    """
    names = list(dict.fromkeys(outputs))
    nodes = {name: graph.nodes[value_of(name).node] for name in names}
    targets = [
        name
        for name, node in nodes.items()
        if not ops.output_types(node.op, node.attrs) or (ops.gives_ref(node.op) and ":" not in name)
    ]
    tensors = [name for name in names if name not in targets]
    entries = [("graph", tensors)] if tensors or not targets else []
    wanted = {value_of(name) for name in inputs}
    return [
        _graph_signature(graph, name, found, wanted, ops)
        for name, found in [*entries, *((name, [name]) for name in targets)]
    ]


def _graph_signature(graph: Graph, called: str, outputs: list[str], wanted: set[Value], ops: Ops) -> Signature:
    fetched = tuple((name, value_of(name)) for name in outputs)
    shape_of = stated_shapes(graph)
    found: dict[Value, Input] = {}
    for name in sorted(ancestors(graph, [value.node for _, value in fetched])):
        node = graph.nodes[name]
        for value in [Value(name)] if node.op in _PLACEHOLDERS else [value for value in wanted if value.node == name]:
            dtype = node.attrs.value("dtype") or ops.output_types(node.op, node.attrs)[value.port]
            spelled = value.node if value.port == 0 else f"{value.node}:{value.port}"
            found[value] = Input(spelled, value, dtype, shape_of(value))
    return Signature(called, tuple(sorted(found.values(), key=lambda entry: entry.name)), fetched)
