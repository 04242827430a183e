"""What a rewrite claims for the proof, and what the proof says where it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from tfreuse.ir.graph import Graph, Value


class Witness(NamedTuple):
    """What a rewrite claims: `stands_for` leads from a node that was merged away to the one that now stands for it,
    `equal` from a read that stays to another that sees the same state. `lemmas` has, for nodes that are equal to
    their stand-in by another law than congruence, that law: it says of a node which value is equal to its one.
    `inlined` has for each call that gave way to the body of its function the body's scope; outer ones come first."""

    stands_for: Mapping[str, str]
    equal: Mapping[str, str]
    lemmas: Mapping[str, Callable[[Graph, str], Value | None]] = {}
    inlined: Mapping[str, str] = {}
    selections: frozenset[str] = frozenset()
    """Nodes whose stand-in is new, and said to be the same by the lemma that `tfreuse.validate.selections` checks."""
    sums: Mapping[str, tuple[Value, ...]] = {}
    """Of which values before nodes afterwards are the sums; `tfreuse.validate.sums` checks it."""


class Refusal(NamedTuple):
    """The first node, inputs before users, for which the proof fails, and why."""

    node: str
    reason: str
