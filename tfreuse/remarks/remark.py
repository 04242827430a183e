"""A remark: what happened or did not happen to which nodes, and the values that decided it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tfreuse.remarks.catalogue import CATALOGUE


class Windows(NamedTuple):
    """Windows of one value that overlap.

    `crops` has a (start, length) for each of `axes` of the node `source`, in elements, once for each different window;
    `total` is how many there are with repetitions. `lengths` are those of the axes, -1 where unknown. `overlap` says
    how often each element of the union was computed, on average; `multiply_adds` what the windows took together and
    what the union takes.
    """

    source: str
    axes: tuple[int, ...]
    lengths: tuple[int, ...]
    crops: tuple[tuple[tuple[int, int], ...], ...]
    total: int
    overlap: float
    multiply_adds: tuple[int, int] | None

    def to_dict(self) -> dict[str, Any]:
        """The windows as the report writes them."""
        before, after = self.multiply_adds or (None, None)
        return {
            "source": self.source,
            "axes": [
                {"axis": axis, "length": None if length < 0 else length}
                for axis, length in zip(self.axes, self.lengths, strict=True)
            ],
            "windows": [[list(crop) for crop in crops] for crops in self.crops],
            "count": self.total,
            "overlap": self.overlap,
            "multiply_adds": {"before": before, "after": after},
        }


@dataclass(frozen=True)
class Remark:
    """`id` is a key of the catalogue; `nodes` are the nodes concerned; `field` is what differed, if anything did;
    `windows` are those of a family that was shared."""

    id: str
    function: str
    nodes: tuple[str, ...]
    detail: str = ""
    field: str = ""
    by: str = ""
    windows: Windows | None = None

    def __post_init__(self) -> None:
        if self.id not in CATALOGUE:
            raise ValueError(f"no remark {self.id!r} in the catalogue")

    @property
    def kind(self) -> str:
        """passed, missed, failure or analysis."""
        return CATALOGUE[self.id].kind

    def to_dict(self) -> dict[str, Any]:
        """The remark as the report writes it, with the catalogue's advice."""
        return {
            "id": self.id,
            "kind": self.kind,
            "function": self.function,
            "nodes": list(self.nodes),
            "field": self.field,
            "detail": self.detail,
            "advice": CATALOGUE[self.id].advice,
            "pass": self.by,
        }


@dataclass
class Remarks:
    """The remarks of one run, in the order in which they were made, without repetitions."""

    items: dict[Remark, None] = field(default_factory=dict)

    def add(self, remark: Remark) -> None:
        """Record one remark.

        Raises:
            TypeError: if it is none, or its fields are not what they should be; a report could not be made of it.
        """
        texts = (remark.function, remark.detail, remark.field, remark.by, *remark.nodes)
        if not isinstance(remark, Remark) or not all(isinstance(text, str) for text in texts):
            raise TypeError(f"{remark!r} is no remark")
        self.items.setdefault(remark)
