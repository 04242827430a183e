"""Terms: what selections are selections of. A value of the graph, or an op applied to a term as if to the whole of it.

Every window of one value that flows through equal ops is a selection of one and the same term, so equal subgraphs on
overlapping windows are found as congruent ones are: a term is known by its op, attributes and operands. A term is
never computed as a whole; a part of it is, the smallest that has all windows in it (`tfreuse.analysis.families`).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

from tfreuse.analysis.receptive import Crop, Window
from tfreuse.ir.graph import Node, Value


class Link(NamedTuple):
    """How an axis of a term goes back to an axis of its operand: row by row, `offset` further on, or by windows."""

    axis: int
    offset: int = 0
    window: Window | None = None
    phase: int = 0

    def operand_crop(self, crop: Crop) -> Crop:
        """The crop of the operand's axis that a crop of the term's axis depends on."""
        if self.window is not None:
            return self.window.operand_crop(crop, self.phase)
        return crop[0] + self.offset, crop[1]


class Use(NamedTuple):
    """An operand that is a term; `links` are by the axes of the term that uses it (None: a new axis)."""

    term: int
    links: tuple[Link | None, ...]


Operand = Use | Value
"""A term, or a value that every row gets as it is (weights, say)."""


@dataclass(frozen=True)
class Term:
    """One term.

    `sizes` has the length of each axis, -1 where that is not known or the axis is `indexed`, that is, selected from.
    `node` is a node that computes a selection of it; without one it is the value `base`, or, with `build`, a reshape of
    its operand to `sizes`.
    """

    number: int
    sizes: tuple[int, ...]
    indexed: frozenset[int] = frozenset()
    base: Value | None = None
    node: Node | None = None
    operands: tuple[Operand, ...] = ()

    @property
    def uses(self) -> list[Use]:
        """The operands that are terms."""
        return [operand for operand in self.operands if isinstance(operand, Use)]


class Terms:
    """All terms of one graph, each once."""

    def __init__(self) -> None:
        self.all: list[Term] = []
        self._known: dict[Hashable, int] = {}

    def base(self, value: Value, key: int, sizes: tuple[int, ...]) -> Term:
        """The term that is a value of the graph; equal values have one `key`."""
        return self._add(("base", key), sizes, frozenset(), value, None, ())

    def applied(
        self,
        node: Node,
        key: Hashable,
        operands: tuple[Operand, ...],
        keys: tuple[Hashable, ...],
        sizes: tuple[int, ...],
        indexed: frozenset[int],
    ) -> Term:
        """The term of `node`'s op on `operands`; `key` tells ops and attributes apart, `keys` the operands."""
        sizes = tuple(-1 if axis in indexed else size for axis, size in enumerate(sizes))
        return self._add(("op", key, keys, indexed), sizes, indexed, None, node, operands)

    def reshaped(self, use: Use, sizes: tuple[int, ...], indexed: frozenset[int]) -> Term:
        """A term with other axes in place of some that are whole, in the same order of elements."""
        sizes = tuple(-1 if axis in indexed else size for axis, size in enumerate(sizes))
        return self._add(("reshape", use, sizes, indexed), sizes, indexed, None, None, (use,))

    def _add(
        self,
        key: Hashable,
        sizes: tuple[int, ...],
        indexed: frozenset[int],
        base: Value | None,
        node: Node | None,
        operands: tuple[Operand, ...],
    ) -> Term:
        number = self._known.setdefault(key, len(self.all))
        if number == len(self.all):
            self.all.append(Term(number, sizes, indexed, base, node, operands))
        return self.all[number]
