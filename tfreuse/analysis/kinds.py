"""The classes of the nodes of one graph (`effects` names and finds them), told by their ops wherever those decide."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Set

from tfreuse.ir.graph import Graph


class Kinds(Mapping[str, str]):
    """The class of every node of `graph` by name: its own in `own`, else that of its op in `plain`."""

    def __init__(self, graph: Graph, plain: Mapping[str, str], own: Mapping[str, str]) -> None:
        self._graph = graph
        self._plain = plain
        self._own = own

    def __getitem__(self, name: str) -> str:
        found = self._own.get(name)
        return self._plain[self._graph.nodes[name].op] if found is None else found

    def __iter__(self) -> Iterator[str]:
        return iter(self._graph.nodes)

    def __len__(self) -> int:
        return len(self._graph.nodes)

    def names(self, *wanted: str) -> list[str]:
        """The nodes of these classes, without a look at each node."""
        own, by_op = self._own, self._graph.by_op
        plain = [name for op, kind in self._plain.items() if kind in wanted for name in by_op[op] if name not in own]
        return plain + [name for name, kind in own.items() if kind in wanted]

    def whole_ops(self, *wanted: str) -> tuple[Set[str], list[str]]:
        """The ops of which every node is of these classes, and the nodes of other ops that are."""
        own, nodes, by_op = self._own, self._graph.nodes, self._graph.by_op
        ops = {op for op, kind in self._plain.items() if kind in wanted}
        mixed = ops & {nodes[name].op for name, kind in own.items() if kind not in wanted}
        names = [name for op in mixed for name in by_op[op] if name not in own]
        return ops - mixed, names + [name for name, kind in own.items() if kind in wanted]

    def but(self, names: Collection[str], kind: str) -> Kinds:
        """The same, but for these nodes, which are of `kind`."""
        return Kinds(self._graph, self._plain, {**self._own, **dict.fromkeys(names, kind)})
