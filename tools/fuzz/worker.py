"""One process of the fuzzer: runs cases of one kind and writes a line of JSON for each batch and for each failure."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from tools.fuzz.outcome import Outcome

MODULES = {"a": "tools.fuzz.engine", "b": "tools.fuzz.programs", "c": "tools.fuzz.mlir"}
ECHO = 20
"""Of kind a, one case in so many is run by every process, each with a hash seed of its own."""
BATCH_SECONDS = 1.0
MOST_FAILURES = 5


def work(kind: str, first: int, step: int, seconds: float, count: int, folder: Path, preset: str) -> None:
    """Run the cases `first`, `first + step`, ... until time or number is up, or too many fail."""
    module = import_module(MODULES[kind])
    from tools.fuzz.keep import keep

    until, failures, seed, since = time.monotonic() + seconds, 0, first, time.monotonic()
    batch = _batch(kind)
    while time.monotonic() < until and (not count or seed < first + step * count) and failures < MOST_FAILURES:
        outcome = _check(module, seed, preset)
        batch["cases"] += 1
        batch["next"] = seed + step
        if isinstance(outcome, str):
            failures += 1
            _say({"failure": f"{kind} {seed}: {outcome}"})
        elif outcome.failure:
            failures += 1
            path = keep(outcome.failure, folder)
            _say({"failure": f"{kind} {seed}: {outcome.failure.problem}; kept in {path}"})
        else:
            batch["merges"] += outcome.merges
            for reason, number in outcome.explained.items():
                batch["explained"][reason] = batch["explained"].get(reason, 0) + number
        if kind == "a" and (block := seed // step) % ECHO == 0:
            shared = _check(module, block * step, preset)  # the same case in every process
            if isinstance(shared, Outcome) and shared.digest:
                batch["digests"][block * step] = shared.digest
        seed += step
        if time.monotonic() - since > BATCH_SECONDS:
            _say(batch)
            batch, since = _batch(kind), time.monotonic()
    _say(batch)


def _check(module: Any, seed: int, preset: str) -> Outcome | str:
    """The outcome, or what was raised outside of what is judged."""
    try:
        found: Outcome = module.check(seed, preset)
    except Exception as error:  # told as a failure; the search goes on
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    return found


def _batch(kind: str) -> dict[str, Any]:
    return {"kind": kind, "cases": 0, "merges": 0, "explained": {}, "digests": {}}


def _say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its processes in order
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    kind, first, step, seconds, count, folder, preset = sys.argv[1:]
    work(kind, int(first), int(step), float(seconds), int(count), Path(folder), preset)
