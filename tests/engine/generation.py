"""What both makers of random programs share: the hypothesis strategy of `programs` and the fuzzer, `tools.fuzz`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What programs to make.

    `ordered` adds the control edges that automatic control dependencies would add, so that nothing races;
    otherwise edges are as they come. `reads_order` says whether control inputs may name reads and calls.
    `fed` feeds one of the values, `handles` adds a variable handle and aliases of handles. `nodes` and `stateful` are
    the most nodes, and nodes with effects, of a program; `ops` are what to choose from, the likelier ones repeated.
    """

    ordered: bool = False
    reads_order: bool = True
    calls: bool = True
    kept: bool = True
    fed: bool = False
    handles: bool = False
    nodes: int
    stateful: int = 7
    ops: tuple[str, ...]


STATELESS = "@stateless"
"""The one resource of all effects that have no handle."""


@dataclass
class AutomaticControls:
    """The control inputs that automatic control dependencies add (`FuncGraph` under `tf.function`)."""

    last_write: dict[str, str] = field(default_factory=dict)
    reads: dict[str, list[str]] = field(default_factory=dict)

    def of(self, name: str, touched: Iterable[str], writing: bool) -> set[str]:
        """Those of the next node, which touches these resources, and is said to write those with a handle or not."""
        controls: set[str] = set()
        for resource in dict.fromkeys(touched):
            if resource in self.last_write:
                controls.add(self.last_write[resource])
            if writing or resource == STATELESS:
                controls.update(self.reads.pop(resource, []))
                self.last_write[resource] = name
            else:
                self.reads.setdefault(resource, []).append(name)
        return controls
