"""The one place where graphs are edited; every edit goes into the journal, and everything reported comes from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from tfreuse.errors import GraphError
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.graph import Graph, Node, Value, fresh_name


class Edit(NamedTuple):
    """One journal entry.

    `kind`: "merge" (every use of `node` now uses `other`; `node` is gone), "alias" (the same, but `node` stays
    under its name as an `Identity` of `other`), "remove" (nothing used `node`), "order" (`node` now waits for `other`),
    "add" (`node` is new), "inline" (the nodes of its function, added in the scope `other`, compute what the call
    `node` did; what waits for it waits for a `NoOp` of its name).
    `lemma` names what makes the two equal where they are not congruent (`Pass.lemmas`).
    """

    kind: str
    node: str
    other: str
    by: str
    lemma: str = ""


class Rewriter:
    """Collects edits of one graph and carries them out in one sweep, with those of an `earlier` one on that graph.

    `journal` holds its own edits only; `forward` leads from every duplicate merged so far to its survivor. `loose` are
    the duplicates of its own that used a node, or waited for one, that their survivor did not, when they were merged.
    `sums` has for new nodes that are sums of others what these are (see `add`).
    """

    def __init__(self, graph: Graph, by: str, earlier: Rewriter | None = None) -> None:
        self.graph = graph
        self._by = by
        self._fixed = graph.frozen.union(graph.arguments)
        self._earlier = earlier
        self.journal: list[Edit] = []
        self.loose: list[str] = []
        self.sums: dict[str, tuple[Value, ...]] = {}
        self.forward: dict[str, str] = dict(earlier.forward) if earlier else {}
        self._aliases: dict[str, Node] = dict(earlier._aliases) if earlier else {}
        self._removed: set[str] = set(earlier._removed) if earlier else set()
        self._waits: dict[str, frozenset[str]] = dict(earlier._waits) if earlier else {}
        self._added: dict[str, tuple[Node, str]] = dict(earlier._added) if earlier else {}
        self._values: dict[Value, Value] = dict(earlier._values) if earlier else {}
        self._ends: dict[str, Node] = dict(earlier._ends) if earlier else {}

        self._taken: set[str] | None = None

    @property
    def added(self) -> Mapping[str, Node]:
        """The new nodes by name, as they were handed over, and what stands in the place of calls that gave way."""
        return {name: node for name, (node, _) in self._added.items()} | self._ends

    def add(self, node: Node, before: str, sum_of: tuple[Value, ...] = ()) -> None:
        """Add a node of a new name. In the list of nodes it stands in front of `before`, behind those added there.

        It may use nodes of the graph and nodes added earlier; other nodes may be merged into it. `sum_of` says for the
        proof that output p of it is the sum of these values, each moved on by p outputs.

        Raises:
            GraphError: if the name is taken, or a node that it names does not exist.
        """
        if node.name in self.graph.nodes or node.name in self._added:
            raise GraphError(f"cannot add {node.name!r}: there is such a node already")
        if before not in self.graph.nodes:
            raise GraphError(f"cannot add {node.name!r} before {before!r}: there is no such node")
        self._require(*[source for source, _ in node.inputs], *sorted(node.controls))
        self._added[node.name] = (node, before)
        if sum_of:
            self.sums[node.name] = sum_of
        self.journal.append(Edit("add", node.name, "", self._by))

    def fresh_name(self, wanted: str) -> str:
        """`wanted`, or with a number behind it where that name is taken; upper and lower case count as one, as they
        do for TensorFlow's own names."""
        return fresh_name(wanted, self._taken_names())

    def _taken_names(self) -> set[str]:
        if self._taken is None:
            self._taken = {name.lower() for name in [*self.graph.nodes, *self._added]}
        return self._taken

    def merge(self, duplicate: str, survivor: str, alias_type: int | None = None, lemma: str = "") -> None:
        """Let every use of `duplicate` use `survivor`.

        `alias_type`, a `DataType`, keeps a one-output duplicate under its name as an `Identity` of that type. Nodes
        that are not congruent need a `lemma`, a key of the pass's `lemmas`.

        Raises:
            GraphError: if a frozen or public node would vanish, the survivor is itself merged away, or one of the
                two does not exist.
        """
        graph, forward = self.graph, self.forward
        node, kept = graph.nodes.get(duplicate), graph.nodes.get(survivor)
        if node is None or kept is None:
            self._require(duplicate, survivor)
            node, kept = self._node(duplicate), self._node(survivor)
        if survivor in forward or duplicate in forward or duplicate == survivor:
            raise GraphError(f"cannot merge {duplicate!r} into {survivor!r}: one of them is merged already")
        if duplicate in self._fixed:
            raise GraphError(f"cannot merge {duplicate!r}: it must stay as it is")
        forward[duplicate] = survivor
        if not self._is_covered(node, kept):
            self.loose.append(duplicate)
        if alias_type is None:
            if duplicate in graph.kept:
                raise GraphError(f"cannot merge {duplicate!r}: its name is public")
            self.journal.append(Edit("merge", duplicate, survivor, self._by, lemma))
            return
        attrs = {"T": Attr("type", alias_type)}
        if "_output_shapes" in node.attrs:
            attrs["_output_shapes"] = node.attrs["_output_shapes"]
        self._aliases[duplicate] = Node(
            duplicate, "Identity", (Value(survivor),), attrs=Attrs(attrs), device=node.device
        )
        self.journal.append(Edit("alias", duplicate, survivor, self._by, lemma))

    def _is_covered(self, node: Node, survivor: Node) -> bool:
        """Whether all that a duplicate uses and waits for has become what its survivor uses and waits for."""
        _, _, inputs, controls, _, _ = node
        _, _, twins, twin_controls, _, _ = survivor
        if controls != twin_controls or len(inputs) != len(twins):
            return False
        forward = self.forward
        for (source, _), (twin, _) in zip(inputs, twins):  # noqa: B905  # on the hot path, and as many
            used = forward.get(source, source)
            if used != twin and used != forward.get(twin, twin):
                break
        else:
            return True
        kept = {forward.get(twin, twin) for twin, _ in twins}
        return all(forward.get(source, source) in kept for source, _ in inputs)  # in another order: the op commutes

    def inline(
        self,
        call: str,
        nodes: Iterable[Node],
        outputs: Mapping[int, Value],
        waits: Iterable[str] | None,
        scopes: Mapping[str, str],
    ) -> None:
        """Put new `nodes` in the place of a call; what used its output number p uses `outputs[p]`.

        `waits` are nodes that must have run when the call is over; with None, nothing may wait for the call. `scopes`
        has for the call, and then for calls in its body that gave way as well, what the names of its nodes begin with.

        Raises:
            GraphError: if the call is public or frozen, or a new node does not fit (see `add`).
        """
        self._require(call)
        if call in self.graph.kept or call in self.graph.frozen:
            raise GraphError(f"cannot inline {call!r}: its name is public")
        self.journal += [Edit("inline", name, scope, self._by) for name, scope in scopes.items()]
        for node in nodes:
            self.add(node, call)
        self._values.update({Value(call, port): value for port, value in outputs.items()})
        if waits is None:
            self._removed.add(call)
        else:
            end = Node(call, "NoOp", controls=frozenset(waits), device=self.graph.nodes[call].device)
            self._aliases[call] = self._ends[call] = end

    def remove(self, name: str) -> None:
        """Remove a node that nothing uses.

        Raises:
            GraphError: if something outside refers to it, or it does not exist.
        """
        self._require(name)
        if name in self.graph.roots:
            raise GraphError(f"cannot remove {name!r}: something outside refers to it")
        self._removed.add(name)
        self.journal.append(Edit("remove", name, "", self._by))

    def wait(self, name: str, control: str) -> bool:
        """Let node `name` wait for node `control`; False if that was asked for before.

        Raises:
            GraphError: if one of the two does not exist.
        """
        self._require(name, control)
        waits = self._waits.get(name, frozenset())
        if control in waits:
            return False
        self._waits[name] = waits | {control}
        self.journal.append(Edit("order", name, control, self._by))
        return True

    def abandon(self) -> None:
        """Drop its own edits; those of earlier passes stay."""
        self.__init__(self.graph, self._by, self._earlier)  # type: ignore[misc]  # no subclass has another __init__

    def finish(self) -> Graph:
        """The graph with all edits carried out; the graph itself where there was none."""
        if not (self.forward or self._removed or self._waits or self._added or self._values):
            return self.graph
        forward, aliases, waits = self.forward, self._aliases, self._waits
        moved = forward.keys() | {node for node, _ in self._values} if self._values else forward.keys()
        gone = self._removed.union(forward).difference(aliases)
        widened = self._widened_shapes()
        special = widened.union(aliases, waits)
        nodes: dict[str, Node] = {}
        for name, node in self._listed() if self._added else self.graph.nodes.items():
            if name in gone:
                continue
            _, _, inputs, controls, attrs, _ = node
            for source, _ in inputs:
                if source in moved:
                    node = self._redirected(node)
                    break
            else:
                if controls and not forward.keys().isdisjoint(controls):
                    node = self._redirected(node)
            if name in special:
                node = aliases.get(name, node)
                if name in waits:
                    waiting = {forward.get(control, control) for control in waits[name]}
                    node = node._replace(controls=node.controls | waiting)
                if name in widened:
                    node = node._replace(attrs=node.attrs.updated({"_output_shapes": None}))
                attrs = node.attrs
            if attrs.is_colocated:
                node = self._recolocated(node)
            nodes[name] = node
        outputs = tuple((label, self._forwarded(value)) for label, value in self.graph.outputs)
        return self.graph.evolve(nodes, outputs, self._control_outputs())

    def _require(self, *names: str) -> None:
        for name in names:
            if name not in self.graph.nodes and name not in self._added:
                raise GraphError(f"cannot edit {name!r}: there is no such node")

    def _node(self, name: str) -> Node:
        return self._added[name][0] if name in self._added else self.graph.nodes[name]

    def _listed(self) -> Iterator[tuple[str, Node]]:
        """The graph's nodes and the new ones, each of these in front of the node that it was added before."""
        places: dict[str, list[Node]] = {}
        for node, before in self._added.values():
            places.setdefault(before, []).append(node)
        for name, node in self.graph.nodes.items():
            for new in places.get(name, ()):
                yield new.name, new
            yield name, node

    def _forwarded(self, value: Value) -> Value:
        while value in self._values:  # a call's output may be what the call was given
            value = self._values[value]
        survivor = self.forward.get(value.node)
        return value if survivor is None else Value(survivor, value.port)

    def _redirected(self, node: Node) -> Node:
        """The node on its survivors; an alias is bypassed.

        A control edge that comes to stand beside a data edge stays: for what waits for this node it may be an anchor.
        """
        forward = self.forward
        name, op, inputs, controls, attrs, device = node
        if self._values:
            inputs = tuple(map(self._forwarded, inputs))
        else:
            inputs = tuple([Value(forward[value[0]], value[1]) if value[0] in forward else value for value in inputs])
        if controls:
            controls = frozenset([forward.get(control, control) for control in controls])
        return Node(name, op, inputs, controls, attrs, device)

    def _recolocated(self, node: Node) -> Node:
        """Rewrites `loc:@duplicate` to the survivor, which stands on the same device."""
        kind, groups = node.attrs.value("_class")
        if kind != "s":
            return node
        prefix = b"loc:@"
        renamed = []
        for group in groups:
            name = group[len(prefix) :].decode() if group.startswith(prefix) else ""
            target = self.forward.get(name, name) if name not in self._aliases else name
            if name in self._removed:
                continue
            renamed.append(prefix + target.encode() if name else group)
        if tuple(renamed) == groups:
            return node
        attr = Attr("list", (kind, tuple(dict.fromkeys(renamed)))) if renamed else None
        return node._replace(attrs=node.attrs.updated({"_class": attr}))

    def _widened_shapes(self) -> set[str]:
        """Survivors whose recorded static shapes differ from a duplicate's: neither may claim to be the tighter one."""
        nodes = {**self.graph.nodes, **self.added} if self._added else self.graph.nodes
        return {
            survivor
            for duplicate, survivor in self.forward.items()
            if survivor in nodes
            and (attrs := nodes[survivor].attrs) is not nodes[duplicate].attrs
            and "_output_shapes" in attrs
            and attrs["_output_shapes"] != nodes[duplicate].attrs.get("_output_shapes")
        }

    def _control_outputs(self) -> tuple[tuple[str, str], ...]:
        """One entry a node: TensorFlow refuses two control outputs on one node."""
        by_node: dict[str, str] = {}
        for label, name in self.graph.control_outputs:
            by_node.setdefault(self.forward.get(name, name), label)
        return tuple((label, name) for name, label in by_node.items())
