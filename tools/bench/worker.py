"""Measures patterns in this process. Started by `run.py`: reads a request on stdin, writes JSON to a file.

Request: `{"names": [...], "batches": [...], "rounds": {...}, "quick": bool, "output": path}`.
"""

from __future__ import annotations

import json
import platform
import sys
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tools.bench.measure import Rounds, interleave, milliseconds, paired
from tools.bench.patterns import PATTERNS, SPECIALS, Pattern, Variants

RATIOS = (("plain", "tfreuse"), ("tfreuse", "ideal"), ("tfreuse", "xla"))


@dataclass
class _FirstCalls:
    """What the first two calls of each variant showed."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    agreement: dict[str, dict[str, str]] = field(default_factory=dict)
    xla_error: str | None = None


def _first_calls(variants: Variants) -> _FirstCalls:
    """Op counts; how far outputs, and what the second call and the updates left, agree with plain."""
    from tools.bench.agreement import arrays, level
    from tools.bench.counts import count_first_call

    found = _FirstCalls()
    plain: dict[str, list[Any]] = {}
    for name, variant in variants.items():
        try:
            outputs, counts = count_first_call(variant)
            values = {"first": arrays(outputs), "later": arrays(variant()) + arrays(list(variant.state))}
        except Exception as error:  # XLA refuses some programs; any other variant must run
            if name != "xla":
                raise
            found.xla_error = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        if name != "xla":  # the compiled graph is not in the metadata
            found.counts[name] = asdict(counts)
        if name == "plain":
            plain = values
        else:
            found.agreement[name] = {key: level(values[key], plain[key]) for key in values}
    return found


def _agrees(agreement: dict[str, dict[str, str]], *, exact: bool, state_exact: bool) -> bool:
    keys = ("first", "later") if state_exact else ("first",)
    same = all(agreement["tfreuse"][key] == "bitwise" for key in keys if exact)
    return same and all("different" not in levels.values() for levels in agreement.values())


def measure_pattern(pattern: Pattern, batch: int, rounds: Rounds) -> dict[str, Any]:
    """Counts, agreement, times (milliseconds) and paired ratios of one pattern at one batch size."""
    variants = pattern.build(batch)
    found = _first_calls(variants)
    calls = {name: variant for name, variant in variants.items() if name != "xla" or not found.xla_error}
    seconds = interleave(calls, rounds)
    return {
        "pattern": pattern.name,
        "batch": batch,
        "in_body": pattern.in_body,
        "rounds": len(seconds["plain"]),
        "milliseconds": milliseconds(seconds),
        "ratios": {f"{a}/{b}": paired(seconds[a], seconds[b]) for a, b in RATIOS if b in seconds},
        **asdict(found),
        "agrees": _agrees(found.agreement, exact=variants.exact, state_exact=variants.state_exact),
    }


def _versions() -> dict[str, Any]:
    import keras
    import numpy as np
    import tensorflow as tf

    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def main() -> None:
    request = json.load(sys.stdin)
    rounds, quick = Rounds(**request["rounds"]), request["quick"]
    output: dict[str, Any] = {"versions": _versions(), "results": [], "specials": {}, "errors": {}}
    for name in request["names"]:
        try:
            if name in SPECIALS:
                from tools.bench import specials

                output["specials"][name] = getattr(specials, name)(quick=quick)
                continue
            for batch in request["batches"]:
                output["results"].append(measure_pattern(PATTERNS[name], batch, rounds))
        except Exception:  # the other patterns still run; the runner shows this one as failed
            output["errors"][name] = traceback.format_exc()
    Path(request["output"]).write_text(json.dumps(output))


if __name__ == "__main__":
    main()
