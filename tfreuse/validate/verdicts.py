"""Holds what one run of the result gave against what the original gave, and keeps count for each signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfreuse.errors import VerificationError
from tfreuse.validate.compare import Difference, compare
from tfreuse.validate.numeric_programs import Outcome
from tfreuse.validate.signatures import Signature
from tfreuse.validate.tolerance import Unbounded

REPEATS = 3
"""How often the original runs once more before a difference is held against the result."""
_CHANGES = "the original gives other bits when it runs again"


@dataclass
class Tally:
    """What is known of one signature so far; `unjudged` and `unjudged_state` have a reason for each name."""

    signature: Signature
    unjudged: dict[str, str] = field(default_factory=dict)
    unjudged_state: dict[str, str] = field(default_factory=dict)
    compared: set[str] = field(default_factory=set)
    state: set[str] = field(default_factory=set)
    feeds: int = 0
    raised: int = 0
    payloads: int = 0
    unbounded: int = 0
    ulps: int = 0
    random_state: str = ""

    def outputs(self) -> list[str]:
        """The names of the outputs."""
        return [name for name, _ in self.signature.outputs]

    def leave_out(self, reason: str) -> None:
        """Give all outputs that are still judged a reason not to be."""
        for name in self.outputs():
            self.unjudged.setdefault(name, reason)

    def to_dict(self, tags: str) -> dict[str, Any]:
        """The report's entry."""
        for name in self.outputs():
            if name not in self.compared:
                self.unjudged.setdefault(name, "the original raised on every feed" if self.feeds else "nothing was run")
        return {
            "signature": self.signature.name,
            "tags": tags,
            "feeds": self.feeds,
            "raised": self.raised,
            "judged": sorted(self.compared - self.unjudged.keys()),
            "not_judged": [
                {"kind": kind, "name": name, "reason": reason}
                for kind, found in (("output", self.unjudged), ("state", self.unjudged_state))
                for name, reason in sorted(found.items())
            ],
            "state": len(self.state),
            "nan_payloads": self.payloads,
            "unbounded": self.unbounded,
            "ulps": self.ulps,
        }


@dataclass
class Runs:
    """The runs on one feed: the original's two, the result's, and the original's again on demand."""

    where: str
    first: Outcome
    again: Outcome
    other: Outcome
    repeat: Callable[[], Outcome]


@dataclass
class Verdict:
    """How strictly runs are compared.

    `swaps`: operands of a commutative op changed places, so that a NaN may keep another payload. `allowed`: for a
    pipeline that reassociates, gives the bound for an output and a feed, or raises `Unbounded`.
    """

    tally: Tally
    start: Mapping[str, Any]
    swaps: bool
    allowed: Callable[[str, Mapping[str, Any]], NDArray[Any]] | None

    def judge(self, runs: Runs, feed: Mapping[str, Any]) -> None:
        """Compare the runs on one feed.

        Raises:
            VerificationError: naming the first difference.
        """
        self.tally.feeds += 1
        if runs.first.raised or runs.again.raised or runs.other.raised:
            self._raised(runs)
        else:
            for name in self.tally.outputs():
                if name not in self.tally.unjudged:
                    self._output(name, runs, feed)
            for name in runs.first.state:
                if name not in self.tally.unjudged_state:
                    self._state(name, runs)

    def _raised(self, runs: Runs) -> None:
        first, other = runs.first, runs.other
        if first.raised == other.raised:
            self.tally.raised += 1
        elif any(once.raised != first.raised for once in [runs.again, *(runs.repeat() for _ in range(REPEATS))]):
            self.tally.leave_out("the original raises on a feed at one time and not at another")
        else:
            was, became = (f"raises {r.raised}: {r.message}" if r.raised else "gives values" for r in (first, other))
            raise VerificationError(f"{runs.where}: the original {was[:300]}; the result {became[:300]}")

    def _output(self, name: str, runs: Runs, feed: Mapping[str, Any]) -> None:
        tally, expected, actual = self.tally, runs.first.outputs[name], runs.other.outputs[name]
        if compare(expected, runs.again.outputs[name]) is not None:
            tally.unjudged[name] = _CHANGES
            return
        tally.compared.add(name)
        found = compare(expected, actual)
        if found is None or self._excused(found):
            return
        if any(compare(expected, runs.repeat().outputs.get(name)) is not None for _ in range(REPEATS)):
            tally.unjudged[name] = _CHANGES
        elif self.allowed is not None:
            self._within(name, runs, feed, found)
        else:
            raise VerificationError(f"{runs.where}: output {name} differs: {found}")

    def _within(self, name: str, runs: Runs, feed: Mapping[str, Any], found: Difference) -> None:
        """Hold a difference against the derived bound; without one the output is not judged."""
        assert self.allowed is not None
        try:
            allowed = self.allowed(name, feed)
        except Unbounded as reason:
            self.tally.unjudged[name] = f"{reason}; the result differs: {found}"
            return
        if not np.isfinite(allowed).all():  # sums that overflow, or take in NaNs, may do so in one order only
            self.tally.unbounded += 1
            return
        actual, expected = (np.asarray(run.outputs[name]) for run in (runs.other, runs.first))
        if found.ulps is None or allowed.shape != actual.shape:
            raise VerificationError(f"{runs.where}: output {name} differs: {found}")
        apart = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
        if (apart > allowed).any():
            worst = np.unravel_index(int(np.argmax(apart - allowed)), apart.shape)
            raise VerificationError(
                f"{runs.where}: output {name} differs: {found}; element {[int(place) for place in worst]} by "
                f"{apart[worst]:.3g}, where rounding explains {allowed[worst]:.3g}"
            )
        self.tally.ulps = max(self.tally.ulps, found.ulps)

    def _state(self, name: str, runs: Runs) -> None:
        tally, expected = self.tally, runs.first.state[name]
        written = compare(self.start.get(name), expected) is not None
        if name not in runs.other.state:  # a bare graph may lose a variable that nothing uses
            if written:
                raise VerificationError(f"{runs.where}: the result does not write {name}, which the original does")
            return
        reason = ""
        if written and tally.random_state:
            reason = f"depends on {tally.random_state}"
        elif compare(expected, runs.again.state.get(name)) is not None:
            reason = _CHANGES
        else:
            found = compare(expected, runs.other.state[name])
            if found is not None and not self._excused(found):
                if any(compare(expected, runs.repeat().state.get(name)) is not None for _ in range(REPEATS)):
                    reason = _CHANGES
                elif self.allowed is not None and written:
                    reason = f"no bound is known for state; the result differs: {found}"
                else:
                    raise VerificationError(f"{runs.where}: {name} differs after the call: {found}")
        if reason:
            tally.unjudged_state[name] = reason
            tally.state.discard(name)
        else:
            tally.state.add(name)

    def _excused(self, found: Difference) -> bool:
        """Of two NaNs a commutative op hands on the one or the other, by position (commutative.txt)."""
        if found.payloads_only and self.swaps:
            self.tally.payloads += 1
            return True
        return False
