"""The judge that runs both programs: from the same state and feeds the result gives what the original gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfreuse.bridge.load import tensorflow
from tfreuse.errors import InputError, VerificationError
from tfreuse.pipeline.passes import REASSOCIATES
from tfreuse.pipeline.run import Result
from tfreuse.validate.compare import compare
from tfreuse.validate.domains import Domains
from tfreuse.validate.draws import Draws, reached
from tfreuse.validate.feeds import FLAVOURS, Feed, Wanted, can_make, given_feeds, make_feed
from tfreuse.validate.numeric_makers import TensorFlowMakers
from tfreuse.validate.numeric_programs import Program
from tfreuse.validate.outside import deed
from tfreuse.validate.payloads import swaps_operands
from tfreuse.validate.roundings import roundings, untouched
from tfreuse.validate.signatures import Signature
from tfreuse.validate.steering import steering_loop
from tfreuse.validate.tolerance import Unbounded, bound
from tfreuse.validate.verdicts import Runs, Tally, Verdict

MORE_FEEDS = 10
"""How many more feeds are made for a signature that raises on all, whose sizes may not fit together."""
Feeds = Mapping[str, Any] | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Trial:
    """Two programs and how to open them; `magnitudes` computes bounds (see `tolerance`), where that is possible."""

    result: Result
    signatures: Sequence[Signature]
    original: Callable[[], Program]
    rewritten: Callable[[], Program]
    magnitudes: Callable[[], Program] | None = None
    tags: str = ""


def verify(trials: Sequence[Trial], count: int, feeds: Feeds | None = None) -> dict[str, Any]:
    """Run every signature of every trial; the report's section `verification`.

    Args:
        trials: pairs of programs.
        count: how many feeds to generate for each signature.
        feeds: the user's, in place of generated ones: arrays by `SIGNATURE/INPUT`, or `INPUT` where there is one
            signature only; several such mappings are several feeds.

    Raises:
        VerificationError: for the first output or variable in which the result differs.
        InputError: if the user's feeds do not fit the signatures.
    """
    started = time.perf_counter()
    given = None if feeds is None else [feeds] if isinstance(feeds, Mapping) else list(feeds)
    entries: list[dict[str, Any]] = []
    unreached: list[str] = []
    exactness = "bitwise"
    for trial in trials:
        judge = _Judge(trial, count, given)
        entries += judge.run()
        unreached += judge.unreached()
        exactness = REASSOCIATES if judge.reassociates else exactness
    if given is not None and not any(entry["feeds"] for entry in entries):
        names = ", ".join(f"{entry['signature']}" for entry in entries) or "none"
        raise InputError(f"the feeds name no input of any signature; there are the signatures {names}")
    return {
        "feeds": "given" if given is not None else "generated",
        "exactness": exactness,
        "signatures": entries,
        "not_run": sorted(set(unreached)),
        "seconds": time.perf_counter() - started,
    }


class _Judge:
    def __init__(self, trial: Trial, count: int, given: list[Mapping[str, Any]] | None) -> None:
        self._trial = trial
        self._count = count
        self._given = given
        before = trial.result.before
        self.reassociates = any(step.exactness == REASSOCIATES for step in trial.result.pipeline)
        self._readable = "" in before.graphs
        if self._readable:
            self._draws = Draws(before, trial.result.ops)
            self._domains = Domains(before, trial.result.ops)
        self._swaps = swaps_operands(trial.result)
        self._magnitudes: Program | None = None

    def run(self) -> list[dict[str, Any]]:
        """The report's entry of every signature."""
        tallies = [self._begin(signature) for signature in self._trial.signatures]
        if all(tally.signature.refusal for tally in tallies):
            return [tally.to_dict(self._trial.tags) for tally in tallies]
        original = self._trial.original()
        try:
            try:
                rewritten = self._trial.rewritten()
            except Exception as error:  # whatever TensorFlow dislikes: the original it could load
                raise VerificationError(f"the result cannot be loaded: {type(error).__name__}: {error}") from error
            try:
                self._start(original, rewritten)
                for tally in tallies:
                    if not tally.signature.refusal:
                        self._signature(tally, original, rewritten)
            finally:
                rewritten.close()
                if self._magnitudes is not None:
                    self._magnitudes.close()
        finally:
            original.close()
        return [tally.to_dict(self._trial.tags) for tally in tallies]

    def _start(self, original: Program, rewritten: Program) -> None:
        """Let both begin with the same state; where it is drawn or read anew at each start, with the original's."""
        names = [name for name, value in original.start.items() if name in rewritten.start]
        differs = [name for name in names if compare(original.start[name], rewritten.start[name]) is not None]
        if differs:
            other = self._trial.original()
            try:
                for name in differs:
                    if compare(original.start[name], other.start.get(name)) is None:
                        found = compare(original.start[name], rewritten.start[name])
                        raise VerificationError(f"{name} differs when the result is loaded: {found}")
            finally:
                other.close()
        rewritten.start.update({name: original.start[name] for name in names})

    def unreached(self) -> list[str]:
        """Functions that were changed and that no signature which runs reaches."""
        result = self._trial.result
        if not self._readable:
            return []
        roots = [v.node for entry in self._trial.signatures if not entry.refusal for _, v in entry.outputs]
        seen = reached(result.before, roots)
        changed = [name for name, found in result.graphs.items() if found.journal and name]
        return [result.labels.get(name, name) for name in changed if name not in seen]

    def _begin(self, signature: Signature) -> Tally:
        refusal = signature.refusal
        if not refusal and not self._readable:
            refusal = "the main graph cannot be analysed"
        if not refusal:
            refusal = deed(self._trial.result.before, self._trial.result.ops, signature)
        for entry in [] if refusal else signature.inputs:
            dtype = tensorflow().as_dtype(entry.dtype)
            if dtype.name in ("resource", "variant") or not can_make(np.dtype(dtype.as_numpy_dtype)):
                refusal = f"no values can be made for input {entry.name} of type {dtype.name}"
        tally = Tally(Signature(signature.name, signature.inputs, signature.outputs, refusal))
        for name, value in signature.outputs:
            if refusal:
                tally.unjudged[name] = f"not run: {refusal}"
                continue
            drawn = self._draws.of(value)
            if drawn:
                tally.unjudged[name] = f"depends on {', '.join(drawn)}"
        if refusal and not signature.outputs:
            tally.unjudged[""] = f"not run: {refusal}"
        if not refusal:
            tally.random_state = ", ".join(self._draws.in_state([value for _, value in signature.outputs]))
        return tally

    def _signature(self, tally: Tally, original: Program, rewritten: Program) -> None:
        tally.unjudged_state.update(original.blind)
        name = tally.signature.name

        def allowed(output: str, feed: Mapping[str, Any]) -> NDArray[Any]:
            return self._bound(tally.signature, output, feed)

        verdict = Verdict(tally, original.start, self._swaps, allowed if self.reassociates else None)
        for number, feed in enumerate(self._feeds(tally, original)):
            kind = "given" if self._given is not None else FLAVOURS[number % len(FLAVOURS)]
            once = partial(original.run, name, feed)
            where = f"signature {name}, feed {number + 1} ({kind})"
            verdict.judge(Runs(where, once(), once(), rewritten.run(name, feed), once), feed)

    def _bound(self, signature: Signature, name: str, feed: Mapping[str, Any]) -> NDArray[Any]:
        value = dict(signature.outputs)[name]
        if self._draws.writes([value]):
            raise Unbounded("no bound is known where state is written")
        if self._trial.magnitudes is None:
            raise Unbounded("no magnitudes can be computed")
        result = self._trial.result
        same = untouched(result)
        counts = roundings(result.before, value, same), roundings(result.after, value, same)
        if self._magnitudes is None:
            self._magnitudes = self._trial.magnitudes()
        found = self._magnitudes.run(signature.name, feed)
        if found.raised:
            raise Unbounded(f"computing magnitudes raises {found.raised}")
        return bound(found.outputs[name], *counts)

    def _feeds(self, tally: Tally, original: Program) -> Iterator[Feed]:
        signature = tally.signature
        tf = tensorflow()
        types = {entry.name: np.dtype(tf.as_dtype(entry.dtype).as_numpy_dtype) for entry in signature.inputs}
        if self._given is not None:
            alone = sum(not entry.refusal for entry in self._trial.signatures) == 1
            feeds = given_feeds(self._given, signature.name, list(types), alone)
            feeds = [feed for feed in feeds if feed or not types]
            for feed in feeds:
                _check(signature.name, feed, types)
            if not feeds:
                tally.leave_out("no feed was given for the signature")
            yield from feeds
            return
        result = self._trial.result
        calm = bool(steering_loop(result.before, signature))
        wanted = [
            Wanted(
                entry.name,
                types[entry.name],
                entry.shape,
                self._domains.of(entry.value),
                calm,
            )
            for entry in signature.inputs
        ]
        makers = TensorFlowMakers(original.start)
        for number in range(self._count + MORE_FEEDS):
            if number < self._count or tally.raised == tally.feeds:
                yield make_feed(wanted, number, makers)


def _check(signature: str, feed: Feed, types: Mapping[str, np.dtype[Any]]) -> None:
    missing = [name for name in types if name not in feed]
    if missing:
        raise InputError(f"the feeds have no {missing[0]!r} for signature {signature}, which takes {', '.join(types)}")
    for name, dtype in types.items():
        value = feed[name]
        texts = value.dtype.kind in "OSU", dtype.kind in "OSU"
        if texts[0] != texts[1] or not (texts[0] or np.can_cast(value.dtype, dtype, "same_kind")):
            raise InputError(f"the feed {name!r} of signature {signature} is {value.dtype}, where {dtype} is taken")
        feed[name] = value.astype(object) if texts[0] else value.astype(dtype)
