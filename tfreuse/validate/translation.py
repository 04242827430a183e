"""The proof: a rewritten graph gives the values and has the effects of the graph that it was made from.

*Values.* Every node of the graph before gets a class: a function of its operands is known by op, device, attributes
and the classes of its operands; a read of state also by the node that stands for it afterwards; all else by its own
name. Each node left in the graph after must be the node of that name before, with operands of the same classes, and
so must the outputs.

*Calls.* Where calls gave way to the bodies of their functions, the graph before is taken with these calls unfolded in
the plainest way (`tfreuse.validate.unfolding`), and all that follows is about that graph.

*State.* A rewrite keeps the meaning if each edge before, u to v, is an edge after between the nodes that stand for
u and v. Any schedule of the graph after is then one of the graph before, in which a merged read runs beside its
survivor with nothing between, so that both see one state; no alias analysis is needed and no trust in how the reads
were found equal. Two reads that no schedule could bring together would close a cycle. Where edges were lost or won,
`tfreuse.validate.orders` compares the orders of what touches the same state.

Which node stands for which is a witness that the rewrite hands over (credible compilation; Rinard and Marinov,
"Credible Compilation with Pointers", 1999); nothing of it is believed. The graphs are compared over one and the
same function names, so recursion is covered: each body is proved by itself. A body that loses an edge between
two variables that it names itself is proved for callers in which nothing races with both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tfreuse.errors import GraphError
from tfreuse.ir.graph import Graph, Node, Value
from tfreuse.ir.order import check_graph, topological
from tfreuse.ir.text import print_node
from tfreuse.ops.registry import Ops
from tfreuse.validate.additions import disagreements
from tfreuse.validate.bodies import Bodies
from tfreuse.validate.classes import Classes
from tfreuse.validate.orders import Orders
from tfreuse.validate.touches import READ, UNIQUE, Touches
from tfreuse.validate.unfolding import unfold
from tfreuse.validate.witness import Refusal, Witness


def prove(
    before: Graph, after: Graph, witness: Witness, touches: Touches, ops: Ops, bodies: Bodies | None = None
) -> Refusal | None:
    """None if `after` is proved to do what `before` does, else the smallest disagreement.

    `bodies` knows which functions are equal; without it, those of one name are. Linear in the size of the graph where
    no edge is lost; see `orders` for the rest.
    """
    if after is before:
        return None
    try:
        check_graph(after)
        before = unfold(before, witness.inlined, touches, ops) if witness.inlined else before
    except GraphError as error:
        return Refusal("", str(error))
    return next(_Proof(before, after, witness, touches, ops, bodies).refusals(), None)


class _Proof:
    def __init__(
        self, before: Graph, after: Graph, witness: Witness, touches: Touches, ops: Ops, bodies: Bodies | None
    ) -> None:
        self._before, self._after = before, after
        self._touches, self._ops = touches, ops
        self._order = topological(before)
        self._kinds = {name: touches.kind(before, before.nodes[name]) for name in self._order}
        self._kinds.update(dict.fromkeys(before.arguments, UNIQUE))
        self._new = {name: node for name, node in after.nodes.items() if name not in before.nodes}
        forward = dict(witness.stands_for)
        self._equal: dict[str, str] = {}
        for claim in witness.equal.items():
            read, first = (_end(forward, name) for name in claim)  # what is left of those that are equal
            if read == first or not self._kinds.get(read) == self._kinds.get(first) == READ:
                continue  # of nothing else is it asked
            if read in after.nodes and first in after.nodes:
                self._equal[read] = first
            elif read in after.nodes:
                forward[first] = read
            else:
                forward[read] = first
        self._forward = {name: _end(forward, name) for name in forward}
        present = {node.op for node in before.nodes.values()}
        self._has_frames = any(ops.facts(op).kind == "control" for op in present)
        self._classes = Classes(
            before, self._order, self._kinds, self._forward, self._equal, witness, ops, bodies, self._has_frames
        )

    def refusals(self) -> Iterator[Refusal]:
        """What is wrong; the proof stands if nothing is."""
        yield from self._interface()
        for found in disagreements(self._after, self._new, self._touches, self._ops, self._has_frames):
            yield Refusal(*found)
        self._classes.number_new_nodes(self._after, self._new)
        yield from self._nodes_that_went()
        yield from self._nodes_that_stayed()
        yield from self._outputs()
        yield from self._buffers()
        orders = Orders(self._before, self._after, self._forward, self._touches, self._order)
        yield from (Refusal(*found) for found in orders.disagreements(self._equal))

    def _interface(self) -> Iterator[Refusal]:
        before, after = self._before, self._after
        if (before.name, before.arguments) != (after.name, after.arguments):
            yield Refusal("", "the arguments changed")
        for name in sorted((before.kept | before.frozen) - after.nodes.keys()):
            yield Refusal(name, "a node that the outside knows by name is gone")
        if (before.kept, before.frozen) != (after.kept, after.frozen):
            yield Refusal("", "what the outside knows by name changed")
        here = {self._forward.get(name, name) for _, name in before.control_outputs}
        if here != {name for _, name in after.control_outputs}:
            yield Refusal("", "the control outputs changed")

    def _nodes_that_went(self) -> Iterator[Refusal]:
        before, after = self._before, self._after
        for name in self._order:
            if name in after.nodes and name not in self._forward:
                continue
            if self._kinds[name] == UNIQUE:
                yield Refusal(name, f"{before.nodes[name].op} has an effect or an identity of its own, and is gone")
            if name in self._forward and self._classes.of.get(self._forward[name]) != self._classes.of[name]:
                yield self._differs(name, self._forward[name])

    def _differs(self, name: str, other: str) -> Refusal:
        one, two = self._before.nodes[name], self._before.nodes.get(other)
        found = "nothing" if two is None else print_node(two)
        return Refusal(name, f"{print_node(one)} is not equal to {found}")

    def _nodes_that_stayed(self) -> Iterator[Refusal]:
        nodes, classes = self._before.nodes, self._classes.of
        for name, node in self._after.nodes.items():
            old = nodes.get(name)
            if old is node and name not in self._forward:
                continue
            if old is None:
                continue  # what uses it asks whether it is equal to anything
            if node.op != old.op or name in self._forward:
                yield from self._alias(node, old)
            elif node.device != old.device or self._classes.spelled(node) != self._classes.spelled(old):
                yield Refusal(name, f"{print_node(old)} became {print_node(node)}")
            elif len(node.inputs) != len(old.inputs):
                yield Refusal(name, f"it had {len(old.inputs)} operands and has {len(node.inputs)}")
            else:
                for index, (now, was) in enumerate(zip(node.inputs, old.inputs, strict=True)):
                    if now.port != was.port or classes.get(now.node, -1) != classes[was.node]:
                        yield Refusal(name, f"operand {index}: {self._differs(was.node, now.node).reason}")
                if self._has_frames and self._classes.waits(node) != self._classes.waits(old):
                    yield Refusal(name, "among frames and branches, its control inputs say when it runs, and changed")
            yield from self._names_and_shapes(node, old)

    def _names_and_shapes(self, node: Node, old: Node) -> Iterator[Refusal]:
        """What says nothing about values, and still has to be true for the graph to be read again."""
        shapes = node.attrs.get("_output_shapes")
        if shapes is not None and shapes != old.attrs.get("_output_shapes"):
            yield Refusal(node.name, "it claims other static shapes than it did")
        if node.attrs.is_colocated:
            for group in node.attrs.value("_class")[1]:
                name = group.removeprefix(b"loc:@").decode(errors="replace") if isinstance(group, bytes) else ""
                if name in self._before.nodes and name not in self._after.nodes:
                    yield Refusal(node.name, f"it stands where {name} does, which is gone")

    def _alias(self, node: Node, old: Node) -> Iterator[Refusal]:
        """An `Identity` under the name of a node that was merged away."""
        types = self._ops.output_types(old.op, old.attrs)
        is_alias = (node.op, len(node.inputs), (node.attrs.value("T"),)) == ("Identity", 1, types)
        says_more = self._classes.spelled(node).keys() - {"T"} or node.controls or node.device != old.device
        if not is_alias or says_more or old.name in self._before.frozen:
            yield Refusal(node.name, f"{print_node(old)} became {print_node(node)}")
        elif node.inputs[0].port or self._classes.of.get(node.inputs[0].node, -1) != self._classes.of[old.name]:
            yield self._differs(old.name, node.inputs[0].node)
        elif self._forward.get(node.inputs[0].node, node.inputs[0].node) != self._forward.get(old.name, old.name):
            yield Refusal(node.name, f"it is said to be another node than {node.inputs[0].node}")

    def _outputs(self) -> Iterator[Refusal]:
        if len(self._before.outputs) != len(self._after.outputs):
            yield Refusal("", "the number of outputs changed")
            return
        for (label, was), (same, now) in zip(self._before.outputs, self._after.outputs, strict=True):
            if label != same or self._value(was) != self._value(now):
                yield Refusal(was.node, f"output {label}: {self._differs(was.node, now.node).reason}")

    def _value(self, value: Value) -> int:
        return self._classes.of.get(value.node, -1) + value.port

    def _buffers(self) -> Iterator[Refusal]:
        """No merged value may reach an op that overwrites its operand's buffer."""
        nodes = self._after.nodes
        work = [
            (source, name)
            for name, node in nodes.items()
            if node.op != "_Arg" and self._kinds.get(name) == UNIQUE and self._touches.overwrites(node)
            for source, _ in node.inputs
        ]
        shared = self._shared() if work else set()
        seen: set[str] = set()
        while work:
            name, by = work.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in shared:
                yield Refusal(name, f"its buffer is shared now, and {by} overwrites it")
            work += [(source, by) for source, _ in nodes[name].inputs]

    def _shared(self) -> set[str]:
        """Nodes that stand for others, by the witness or by what uses them."""
        found = set(self._forward.values()).union(self._new)
        found.update(value.node for node in self._new.values() for value in node.inputs)
        nodes = self._before.nodes
        pairs = [(nodes[name].inputs, node.inputs) for name, node in self._after.nodes.items() if name in nodes]
        pairs.append((tuple(v for _, v in self._before.outputs), tuple(v for _, v in self._after.outputs)))
        found.update(n.node for was, now in pairs if was != now for w, n in zip(was, now, strict=False) if w != n)
        return found


def _end(forward: Mapping[str, str], name: str) -> str:
    """The node at the end of the way that `forward` leads."""
    for _ in range(len(forward)):
        if name not in forward:
            break
        name = forward[name]
    return name
