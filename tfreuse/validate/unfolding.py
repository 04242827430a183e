"""Calls replaced by the bodies of their functions, in the plainest way: what the proof holds inlining against.

Every node of the body waits for all that the call waited for; whatever used the call waits for the whole body. That is
what a call is: it starts when all its inputs are there, and gives nothing before its body is done. A rewrite that keeps
less of this order is judged as any other is (`tfreuse.validate.orders`). The rewrite says which calls it inlined, and
nothing else of what it did is believed.
"""

from __future__ import annotations

from collections.abc import Mapping

from tfreuse.errors import GraphError
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.graph import Graph, Node, Value
from tfreuse.ir.order import ancestors
from tfreuse.ops.registry import Ops
from tfreuse.validate.touches import Touches

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_FORBIDDEN = ("_XlaMustCompile", "_noinline", "_tfreuse_stays", "api_implements", "implements")
"""Attributes of calls and functions that say that the call is to run as one, or as something else."""
_OWN_STATE = "ambient rng"


def unfold(graph: Graph, calls: Mapping[str, str], touches: Touches, ops: Ops) -> Graph:
    """`graph` with bodies in the place of `calls`, which have for each the scope of its body; outer calls come first.

    Raises:
        GraphError: if a call may not be replaced, naming it and saying why.
    """
    nodes = dict(graph.nodes)
    values: dict[Value, Value] = {}
    for name, scope in calls.items():
        here = graph.evolve(nodes)
        body = _checked(here, name, touches, ops)
        call = nodes[name]
        arguments = dict(zip(body.arguments, call.inputs, strict=True))
        entry = call.controls.union(source for source, _ in call.inputs).difference(graph.arguments)
        new = _bound(body, call, scope, arguments, entry, ops)
        for node in new:
            if node.name in nodes:
                raise GraphError(f"{node.name} is there already")
            nodes[node.name] = node
        nodes[name] = Node(name, "NoOp", controls=entry.union(node.name for node in new), device=call.device)
        for port, (_, value) in enumerate(body.outputs):
            values[Value(name, port)] = arguments.get(value.node) or Value(f"{scope}/{value.node}", value.port)
    replaced = {value.node for value in values}
    for name, node in nodes.items():
        sources = replaced.intersection(source for source, _ in node.inputs)
        if sources:
            inputs = tuple(_end(values, value) for value in node.inputs)
            nodes[name] = node._replace(inputs=inputs, controls=node.controls | sources)
    return graph.evolve(nodes, tuple((label, _end(values, value)) for label, value in graph.outputs))


def _checked(graph: Graph, name: str, touches: Touches, ops: Ops) -> Graph:
    """The body that may stand in for the call."""
    call = graph.nodes.get(name)
    if call is None or call.op not in _CALLS:
        raise GraphError(f"{name} is no call")
    body = touches.body(call)
    if body is None:
        raise GraphError(f"nothing is known of what {name} calls")
    if name in graph.kept or name in graph.frozen or name in graph.arguments:
        raise GraphError(f"the outside knows {name} by name")
    if len(call.inputs) != len(body.arguments):
        raise GraphError(f"{name} has {len(call.inputs)} operands, and its function {len(body.arguments)}")
    for attrs in (call.attrs, body.attrs):
        if any(attrs.value(key) for key in _FORBIDDEN):
            raise GraphError(f"{name} is to stay a call")
    if touches.has_identity(call) or touches.overwrites(call):
        raise GraphError(f"what {name} calls makes something anew, works in place, or has a gradient of its own")
    touched = touches.of(graph, call)
    if any(touch.resource == _OWN_STATE for touch in touched):
        raise GraphError(f"what {name} calls draws random numbers")
    if any(touch.writes for touch in touched) and name not in ancestors(graph, [c for _, c in graph.control_outputs]):
        raise GraphError(f"{name} writes, and need not always run")
    for node in body.nodes.values():
        if node.name in body.arguments:
            continue
        if ops.facts(node.op).kind in ("control", "opaque", "unknown") or ops.gives_ref(node.op):
            raise GraphError(f"what {name} calls has {node.name}, which means something only where it stands")
        if node.device and call.device not in ("", node.device):
            raise GraphError(f"{name} and {node.name} are placed on two devices")
    return body


def _bound(
    body: Graph, call: Node, scope: str, arguments: dict[str, Value], entry: frozenset[str], ops: Ops
) -> list[Node]:
    roots = [value.node for _, value in body.outputs] + [name for _, name in body.control_outputs]
    new = []
    for name in ancestors(body, roots).difference(body.arguments):
        node = body.nodes[name]
        inputs = [arguments.get(v.node) or Value(f"{scope}/{v.node}", v.port) for v in node.inputs]
        controls = {f"{scope}/{control}" for control in node.controls.difference(arguments)}
        attrs = node.attrs
        if attrs.is_colocated:
            attrs = attrs.updated({"_class": None})  # says nothing about values
        if body.shapes is not None and "_output_shapes" not in attrs:
            attrs = _shaped(
                attrs, [body.shapes(Value(name, port)) for port in range(len(ops.output_types(node.op, attrs)))]
            )
        device = node.device or call.device
        new.append(Node(f"{scope}/{name}", node.op, tuple(inputs), entry | controls, attrs, device))
    return new


def _shaped(attrs: Attrs, shapes: list[tuple[int, ...] | None]) -> Attrs:
    return attrs.updated({"_output_shapes": Attr("list", ("shape", tuple(shapes)) if shapes else ("", ()))})


def _end(values: dict[Value, Value], value: Value) -> Value:
    while value in values:
        value = values[value]
    return value
