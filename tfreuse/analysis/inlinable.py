"""Which calls the bodies of their functions may stand in for, and why the others stay calls.

A body may take the place of a call if the graph then does what it did: each of its nodes means the same wherever it
stands, and what runs for its effect still runs. Not so for a body that makes something anew or draws random numbers
(the kernel of a node has its own state), for one that holds a custom gradient, TF1 control flow or a reference, and
for recursion. Nor where TensorFlow would differentiate otherwise: of a call whose outputs are used in part it gives
zeros for operands that only the other outputs come from, and without the call it gives none. `_XlaMustCompile` and
`_noinline` say that a call is to stay one; so does any attribute not known here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tfreuse.analysis.effects import EFFECT, PURE, Effects, Summaries
from tfreuse.analysis.kinds import Kinds
from tfreuse.ir.attrs import Attrs
from tfreuse.ir.dtypes import DIFFERENTIABLE, NUMBERS
from tfreuse.ir.graph import Graph, Node, Value
from tfreuse.ir.order import ancestors
from tfreuse.ops.registry import Ops

CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})

_OF_CALLS = frozenset(
    {
        *("Tin", "Tout", "f", "config", "config_proto", "executor_type"),
        *("_read_only_resource_inputs", "_output_shapes", "_has_manual_control_dependencies"),
        "_collective_manager_ids",
    }
)
"""Attributes of calls that say nothing about how the body is to run (function_ops.cc; the config is the session's)."""

STAYS = "_tfreuse_stays"
"""An attribute, of a call or a function, by which a reader of graphs says why it is to stay a call."""

_OF_FUNCTIONS = frozenset({"_construction_context", "_input_shapes", "_output_shapes"})
_PARTNERS = frozenset({"forward_function_name", "backward_function_name"})
"""A function's gradient, or what it is the gradient of; named for implementations to be chosen by, which is refused."""

_NOT_DIFFERENTIATED = frozenset(NUMBERS.values()) - DIFFERENTIABLE - {NUMBERS["resource"], NUMBERS["variant"]}

_ENDS = frozenset(
    {
        *("Ceil", "DrawBoundingBoxes", "EditDistance", "ExtractGlimpse", "Floor", "FloorDiv", "HSVToRGB", "LinSpace"),
        *("OneHot", "OnesLike", "RandomShuffle", "Range", "ResizeBilinearGrad", "Rint", "Round", "SparseConcat"),
        *("StopGradient", "TruncateDiv", "ZerosLike"),
    }
)
"""Ops of differentiable results whose gradient is none (TensorFlow's registry of gradients)."""


def needed_nodes(body: Graph) -> set[str]:
    """Nodes that run when a function is called: what its outputs and control outputs need, arguments aside."""
    roots = [value.node for _, value in body.outputs] + [name for _, name in body.control_outputs]
    return ancestors(body, roots).difference(body.arguments)


def behind_optional(graph: Graph, kinds: Kinds, order: Iterable[str]) -> set[str]:
    """Nodes with an effect, by `kinds`, that not every run of the graph has, and all nodes that come behind one.

    What its control outputs need runs whatever is asked of the graph; `order` is topological.
    """
    always = ancestors(graph, [name for _, name in graph.control_outputs])
    found = set(kinds.names(EFFECT)) - always
    if found:
        for name in order:
            node = graph.nodes[name]
            if any(source in found for source, _ in node.inputs) or not found.isdisjoint(node.controls):
                found.add(name)
    return found


def differentiated(graph: Graph, values: Iterable[Value], ops: Ops) -> set[Value]:
    """`values` and what they come from, as far as a gradient of them goes."""
    found: set[Value] = set()
    work = list(values)
    while work:
        value = work.pop()
        node = graph.nodes[value.node]
        types = ops.output_types(node.op, node.attrs)
        if value in found or (value.port < len(types) and types[value.port] in _NOT_DIFFERENTIATED):
            continue
        found.add(value)
        if node.op not in _ENDS and value.node not in graph.arguments:
            work += node.inputs
    return found


class Inlinable:
    """Answers for the calls of one module, each function looked at once."""

    def __init__(self, summaries: Summaries) -> None:
        self._summaries = summaries
        self._ops = summaries.ops
        self._refusals: dict[str, str] = {}
        self._needed: dict[str, set[str]] = {}
        self._sought: tuple[Graph | None, set[Value]] = (None, set())

    def body(self, call: Node) -> Graph | None:
        """The body of the function that a node calls, if it is such a call and the body is known."""
        function = call.attrs.value("f") if call.op in CALLS else None
        return None if function is None else self._summaries.module.graphs.get(function.name)

    def needed(self, body: Graph) -> set[str]:
        """`needed_nodes`, kept."""
        if body.name not in self._needed:
            self._needed[body.name] = needed_nodes(body)
        return self._needed[body.name]

    def refusal(self, graph: Graph, call: Node, optional: Collection[str]) -> str:
        """Why the call must stay, or nothing; `optional` is what `behind_optional` gives."""
        body = self.body(call)
        if body is None:
            return "the body of its function is not known"
        if call.name in graph.arguments:
            return "its value is fed"
        if call.name in graph.kept or call.name in graph.frozen:
            return "its name is public"
        if call.attrs.value("f").attrs or call.attrs.value("executor_type"):
            return "it asks for an executor of its own, or has an attribute of its function bound"
        said = _said(call.attrs, _OF_CALLS, "it")
        if said:
            return said
        if len(call.inputs) != len(body.arguments):
            return "it has more or fewer operands than its function"
        if call.name in optional:
            return "it has an effect or waits for one, and whether that runs depends on what is asked for"
        if body.name not in self._refusals:
            self._refusals[body.name] = self._of_body(body)
        return self._refusals[body.name] or self._here(graph, call, body)

    def _here(self, graph: Graph, call: Node, body: Graph) -> str:
        for name in self.needed(body):
            device = body.nodes[name].device
            if device and call.device and device != call.device:
                return f"{name} is placed on a device, and the call on another"
        if self._gives_zeros(graph, call, body):
            return "its gradient is zero for an operand that what is used of it does not come from"
        return ""

    def _gives_zeros(self, graph: Graph, call: Node, body: Graph) -> bool:
        """Whether TensorFlow gives zeros for an operand because of this call, and nothing without it."""
        if self._sought[0] is not graph:
            self._sought = graph, differentiated(graph, [value for _, value in graph.outputs], self._ops)
        sought: list[Value] = []
        unsought: list[Value] = []
        for port, (_, value) in enumerate(body.outputs):
            (sought if Value(call.name, port) in self._sought[1] else unsought).append(value)
        if not sought or not unsought:
            return False
        more = differentiated(body, unsought, self._ops) - differentiated(body, sought, self._ops)
        return any(value.node in body.arguments for value in more)

    def _of_body(self, body: Graph) -> str:
        summaries, needed = self._summaries, self.needed(body)
        said = _said(body.attrs, _OF_FUNCTIONS | _PARTNERS, "its function")
        if said:
            return said
        if body.name in summaries.recursive:
            return "its function calls itself"
        if body.name in summaries.customized:
            return "its function holds a custom gradient"
        if body.name in summaries.overwriting:
            return "its function updates a buffer in place"
        for access in summaries.of(body.name):
            if access.mode == "allocate":
                return "its function makes something that has an identity"
            if (access.resource.kind, access.resource.key) == ("ambient", "rng"):
                return "its function draws random numbers"
        effects = Effects(body, summaries)
        for name in sorted(needed):
            said = self._of_node(body, body.nodes[name])
            if said:
                return f"its function has {name}, {said}"
        dead = [node for name, node in body.nodes.items() if name not in needed and name not in body.arguments]
        if not body.control_outputs and any(effects.kind(node) != PURE for node in dead):
            return "its function does not say what runs for its effect"
        return ""

    def _of_node(self, body: Graph, node: Node) -> str:
        """What forbids a node to stand elsewhere, or nothing."""
        facts, schema = self._ops.facts(node.op), self._ops.schema(node.op)
        if facts.kind in ("allocates", "control", "opaque", "unknown") or schema is None:
            return f"of the op {node.op}"
        if any(arg.is_ref for arg in (*schema.inputs, *schema.outputs)):
            return "which takes or gives a reference"
        if any(attr.kind == "placeholder" for attr in node.attrs.values()):
            return "whose attributes depend on the call"
        if node.attrs.is_colocated and not self._groups_stay(body, node):
            return "which is colocated with what does not run"
        for function in node.attrs.functions:
            inner = self._summaries.module.graphs.get(function.name)
            if inner is None:
                return "which calls a function that is not known"
            # TensorFlow keeps the gradient of a call with the node, which a copy of the outer op does not lead to.
            if node.op not in CALLS and self._holds_calls(inner):
                return "a loop or branch with calls in it"
        return ""

    def _groups_stay(self, body: Graph, node: Node) -> bool:
        kind, groups = node.attrs.value("_class")
        known = self.needed(body).union(body.arguments)
        return kind == "s" and all(group.removeprefix(b"loc:@").decode(errors="replace") in known for group in groups)

    def _holds_calls(self, body: Graph, above: tuple[str, ...] = ()) -> bool:
        if body.name in above:
            return True
        graphs = self._summaries.module.graphs
        for node in body.nodes.values():
            if node.op in CALLS or node.op in graphs:
                return True
            for function in node.attrs.functions:
                inner = graphs.get(function.name)
                if inner is None or self._holds_calls(inner, (*above, body.name)):
                    return True
        return False


def _said(attrs: Attrs, known: frozenset[str], whose: str) -> str:
    """What the first attribute that is not `known` says; one that is false, or empty, says nothing."""
    if STAYS in attrs:
        return str(attrs.value(STAYS).decode())
    for name, (_, value) in attrs.items():
        if name not in known and value not in (False, b""):
            return f"{whose} has the attribute {name}"
    return ""
