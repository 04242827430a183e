"""Orders between a read and a later write that merging would lose, found by comparing before and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tfreuse.analysis.alias import may_alias
from tfreuse.analysis.effects import EFFECT, READ, Access, Effects
from tfreuse.ir.graph import Graph, Node


def loses_inputs(nodes: Mapping[str, Node], forward: Mapping[str, str], duplicates: Iterable[str]) -> bool:
    """Whether some of these waits for a node that its survivor does not wait for (after the merges of `forward`)."""
    for duplicate in duplicates:
        gone = {forward.get(source, source) for source in _sources(nodes[duplicate])}
        gone.difference_update(forward.get(source, source) for source in _sources(nodes[forward[duplicate]]))
        if any(nodes[source].op != "Const" or nodes[source].controls for source in gone):  # a constant orders nothing
            return True
    return False


def lost_orders(
    graph: Graph, effects: Effects, order: list[str], forward: Mapping[str, str], loose: Iterable[str]
) -> list[tuple[str, str]]:
    """Pairs (read, write) of one resource, ordered before the merges of `forward` and no longer ordered after.

    `loose` are the duplicates, of those that were not there when this was last asked, that may have waited for what
    their survivors do not wait for (`Rewriter.loose`): more merges never part what others kept together. A control
    edge from the read to the write restores each; it cannot close a cycle, because the read stands before the write in
    `order` and every merge keeps that order.
    """
    if not loses_inputs(graph.nodes, forward, loose):
        return []
    accesses = {name: effects.of(node) for name in order if effects.kind(node := graph.nodes[name]) in (READ, EFFECT)}
    writes = {name: found for name, found in accesses.items() if _modes(found) & {"write"}}
    bits: dict[str, int] = {}
    readers: list[str] = []
    for name, found in accesses.items():
        if "read" in _modes(found):
            keeper = forward.get(name, name)
            if keeper not in bits:
                bits[keeper] = 1 << len(readers)
                readers.append(keeper)
            bits[name] = bits[keeper]
    before = _ancestors(graph.nodes, order, bits, {})
    after = _ancestors(graph.nodes, [name for name in order if name not in forward], bits, forward)
    lost: list[tuple[str, str]] = []
    for write, write_accesses in writes.items():
        missing = before.get(write, 0) & ~after.get(write, 0) & ~bits.get(write, 0)
        for index, reader in enumerate(readers):
            if missing >> index & 1 and _conflict(accesses[reader], write_accesses):
                lost.append((reader, write))
    return lost


def _ancestors(
    nodes: Mapping[str, Node], order: list[str], bits: Mapping[str, int], forward: Mapping[str, str]
) -> dict[str, int]:
    above: dict[str, int] = {}
    for name in order:
        mask = bits.get(name, 0)
        for source in _sources(nodes[name]):
            mask |= above.get(forward.get(source, source), 0)
        if mask:
            above[name] = mask
    return above


def _sources(node: Node) -> set[str]:
    return {value.node for value in node.inputs} | node.controls


def _modes(accesses: frozenset[Access]) -> set[str]:
    return {access.mode for access in accesses}


def _conflict(reads: frozenset[Access], writes: frozenset[Access]) -> bool:
    return any(
        may_alias(read.resource, write.resource)
        for read in reads
        if read.mode == "read"
        for write in writes
        if write.mode == "write"
    )
