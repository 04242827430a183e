"""Which state a node sees, from the partial order of data and control edges, never from list order.

Two nodes with the same operands see the same state when no effect is forced between them. Every effect that is
ordered before a node is one of its ancestors, so equal sets of effect ancestors are enough: an effect between
two such nodes would be an ancestor of the later one only. The set is kept as a bit mask. No alias analysis is
needed for this, and no trust in how the graph came by its control edges.

Control inputs that are no effects are kept as *anchors* and compared one by one: they may carry the liveness of
a branch (TF1 control flow) or hold a recomputation back (`tf.recompute_grad`). A control input that only reads
state is replaced by its own control inputs: automatic control dependencies chain table lookups, which order
nothing. (A call that may be the gradient of a recomputation stays an anchor.) So is a `NoOp`: to wait is all that it
does. What such a replacement may lose, a write that had to wait for a read, is put back by `tfreuse.analysis.ordering`.
"""

from __future__ import annotations

from typing import NamedTuple

from tfreuse.analysis.effects import EFFECT, READ
from tfreuse.analysis.kinds import Kinds
from tfreuse.ir.dtypes import DIFFERENTIABLE
from tfreuse.ir.graph import Graph, Node

MAX_EFFECTS = 16_384
"""Above this many effects in one graph the masks would cost too much; control inputs are then compared literally."""


class State(NamedTuple):
    """What a node's control inputs tell about the state it sees: anchors by name, effect ancestors as a mask."""

    anchors: frozenset[str]
    effects: int


NO_STATE = State(frozenset(), 0)


class Memory:
    """The state that each node of one graph sees; `effects_of` turns a mask back into names.

    `states` has the nodes with control inputs; the others see what their operands see.
    """

    def __init__(self, graph: Graph, kinds: Kinds, order: list[str], has_frames: bool, has_races: bool) -> None:
        self._nodes = nodes = graph.nodes
        self.kinds = kinds
        self._looks_through = not has_races
        effects = set(kinds.names(EFFECT)).difference(graph.arguments)
        self._effect_names = [name for name in order if name in effects] if effects else []
        self.states: dict[str, State] = {}
        controlled = graph.controlled if graph.known_ordered else [name for name in order if nodes[name].controls]
        if has_frames or len(self._effect_names) > MAX_EFFECTS:
            self.states = {name: State(nodes[name].controls, 0) for name in controlled}
            return
        self._bits = {name: 1 << index for index, name in enumerate(self._effect_names)}
        self._above: dict[str, int] = {}
        for name in controlled:
            self.states[name] = self._state(name)

    def of(self, name: str) -> State:
        """The state that node `name` sees, as far as control inputs tell; operands carry the rest."""
        return self.states.get(name, NO_STATE)

    def effects_of(self, mask: int) -> list[str]:
        """Names of the effects in a mask."""
        return [name for index, name in enumerate(self._effect_names) if mask >> index & 1]

    def _effect_ancestors(self, name: str) -> int:
        """The mask of the effects before a node, itself included where it is one; followed no further than is asked."""
        above, nodes, bits = self._above, self._nodes, self._bits
        work = [name] if bits else []
        while work:
            name = work[-1]
            if name in above:
                work.pop()
                continue
            node = nodes[name]
            sources = [source for source, _ in node.inputs if source not in above]
            sources += [control for control in node.controls if control not in above]
            if sources:
                work += sources
                continue
            mask = bits.get(name, 0)
            for source, _ in node.inputs:
                mask |= above[source]
            for control in node.controls:
                mask |= above[control]
            above[name] = mask
            work.pop()
        return above.get(name, 0)

    def _state(self, name: str) -> State:
        anchors: set[str] = set()
        mask = 0
        node = self._nodes[name]
        for control in node.controls:
            kind = self.kinds[control]
            if kind == EFFECT:
                mask |= self._effect_ancestors(control)
            elif kind == READ and self._looks_through and self._orders_nothing(node, control):
                mask |= self._effect_ancestors(control)
                operands = [source for source, _ in self._nodes[control].inputs]
                anchors |= self.of(control).anchors.difference(operands)  # it would wait for these without the edge
            elif self._nodes[control].op == "NoOp":
                anchors |= self.of(control).anchors
                mask |= self.of(control).effects
            else:
                anchors.add(control)
        return State(frozenset(anchors), mask)

    def _orders_nothing(self, node: Node, control: str) -> bool:
        """Whether node `control`, a read, says nothing about the state that `node` sees.

        A call, branch or loop of differentiable operands may be the gradient that a recomputation waits for. It is not
        if it shares an operand with a read: then automatic control dependencies may have made the edge.
        """
        call = self._nodes[control]
        if not call.attrs.functions or not _takes_gradients(call):
            return True
        handles = {source for source, _ in call.inputs}
        return self.kinds[node.name] == READ and not handles.isdisjoint([source for source, _ in node.inputs])


def _takes_gradients(call: Node) -> bool:
    kind, types = call.attrs.value("Tin") or call.attrs.value("T") or ("", ())
    return kind == "type" and not DIFFERENTIABLE.isdisjoint(types)
