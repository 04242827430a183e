"""Classes of the values of a proof: two values of one class are equal.

A function of its operands is known by op, device, attributes and the classes of its operands; a read of state also by
the node that stands for it afterwards; all else by its own name.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from tfreuse.ir.attrs import Attr
from tfreuse.ir.graph import Graph, Node
from tfreuse.ir.order import topological
from tfreuse.ops.registry import Ops
from tfreuse.validate.bodies import Bodies
from tfreuse.validate.selections import Selections
from tfreuse.validate.sums import Sums
from tfreuse.validate.touches import PURE, READ, UNIQUE
from tfreuse.validate.witness import Witness

_SILENT = frozenset({"_output_shapes", "_class", "_has_manual_control_dependencies"})
"""Attributes that say nothing about values (static shapes, where a node is placed, how it was traced)."""

_PORT_BITS = 20


class Classes:
    """The class of every node of `before`, in `of`; value number p of a node is in class `of[node] + p`.

    `forward` leads from a node to what stands for it in the end, `equal` from a read that stays to the one it equals.
    """

    def __init__(
        self,
        before: Graph,
        order: list[str],
        kinds: Mapping[str, str],
        forward: Mapping[str, str],
        equal: Mapping[str, str],
        witness: Witness,
        ops: Ops,
        bodies: Bodies | None,
        has_frames: bool,
    ) -> None:
        self.of: dict[str, int] = {}
        self._before, self._order, self._kinds = before, order, kinds
        self._forward, self._equal, self._witness = forward, equal, witness
        self._ops, self._bodies, self._has_frames = ops, bodies, has_frames
        self._known: dict[Hashable, int] = {}
        self._by_meaning: dict[Hashable, int] = {}
        self._number()

    def _number(self) -> None:
        classes, kinds, nodes = self.of, self._kinds, self._before.nodes
        known, by_meaning, lemmas = self._known, self._by_meaning, self._witness.lemmas
        meanings: dict[tuple[str, str, int], int] = {}
        for name in self._order:
            node = nodes[name]
            own = len(classes) << _PORT_BITS
            kind = kinds[name]
            if kind == UNIQUE:
                classes[name] = own
                continue
            if name in lemmas:
                equal = lemmas[name](self._before, name)
                if equal is not None and equal.node in classes:
                    classes[name] = classes[equal.node] + equal.port
                    continue
            # Attribute sets are shared objects that live as long as the graph, so their ids are keys.
            shortcut = (node.op, node.device, id(node.attrs))
            meaning = meanings.get(shortcut)
            if meaning is None:
                meaning = meanings[shortcut] = by_meaning.setdefault(self._full_meaning(node), len(by_meaning))
            operands = [classes[source] + port for source, port in node.inputs]
            if len(operands) == 2 and operands[0] > operands[1] and self._ops.commutes(node.op, node.attrs):
                operands.reverse()
            key: tuple[Hashable, ...] = (meaning, *operands)
            if kind == READ:
                reader = self._forward.get(name, name)
                key = (*key, self._equal.get(reader, reader))
            if node.controls and self._has_frames:
                key = (*key, self.waits(node))
            classes[name] = known.setdefault(key, own)

    def waits(self, node: Node) -> frozenset[int | str]:
        """The classes of control inputs: among frames and branches they may say whether the node runs at all."""
        classes = self.of
        waits = {classes.get(control, control) for control in node.controls}
        return frozenset(waits - {classes.get(source, source) for source, _ in node.inputs})

    def spelled(self, node: Node) -> dict[str, Attr]:
        """What counts of the attributes, functions under their own names."""
        filled = {**self._ops.defaults(node.op), **node.attrs}
        return {name: attr for name, attr in filled.items() if name not in _SILENT}

    def number_new_nodes(self, after: Graph, new: Mapping[str, Node]) -> None:
        """A class for every new node: that of what it stands for, if they are proved to be equal, else as for nodes
        before."""
        claims = self._witness.sums
        if not new and not claims:
            return
        selections = Selections(
            self._before,
            after,
            self.of,
            lambda name: self._kinds[name] == PURE,
            self._full_meaning,
        )
        selected = [
            (name, self._forward[name])
            for name in self._order
            if name in self._witness.selections
            and self._forward.get(name) in after.nodes
            and selections.are_equal(name, self._forward[name])
        ]
        classes = self.of = dict(self.of)
        for name, stand_in in selected:
            _unite(classes, name, stand_in)
        sums = Sums(
            self._before,
            after,
            claims,
            classes,
            lambda name: self._kinds[name] == PURE,
            self._full_meaning,
            selections.shape,
        )
        stood_for: dict[str, list[str]] = {}
        for name in filter(self._forward.__contains__, self._order):
            stood_for.setdefault(self._forward[name], []).append(name)
        for name in topological(after):
            equal = [old for old in stood_for.get(name, ()) if sums.equals(old, name)] if sums.holds(name) else []
            if name not in classes and all(source in classes for source, _ in new[name].inputs):
                own = classes[equal[0]] if equal else len(classes) << _PORT_BITS
                classes[name] = self._number_of(new[name], own)
            for old in equal:
                _unite(classes, old, name)

    def _number_of(self, node: Node, otherwise: int) -> int:
        """The class of a new node: that of a node that computes the same, or one that is not that of any by itself."""
        meaning = self._by_meaning.setdefault(self._full_meaning(node), len(self._by_meaning))
        operands = [self.of[source] + port for source, port in node.inputs]
        if len(operands) == 2 and operands[0] > operands[1] and self._ops.commutes(node.op, node.attrs):
            operands.reverse()
        return self._known.setdefault((meaning, *operands), otherwise)

    def _full_meaning(self, node: Node) -> Hashable:
        """Op, device and what counts of the attributes, equal functions under one name."""
        if self._bodies is not None:
            node = node._replace(op=self._bodies.first(node.op), attrs=self._bodies.renamed(node.attrs))
        return node.op, node.device, frozenset(self.spelled(node).items())


def _unite(classes: dict[str, int], name: str, stand_in: str) -> None:
    """Note that a node's stand-in has its value."""
    if classes.setdefault(stand_in, classes[name]) != classes[name]:  # two classes that turn out to be one
        gone, kept = classes[name], classes[stand_in]
        classes.update({other: kept for other, number in classes.items() if number == gone})
