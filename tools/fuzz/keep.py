"""Keeps a failure: reduced, as a golden case that expects that nothing is merged."""

from __future__ import annotations

from pathlib import Path

from tfreuse.ir.text import print_module
from tools.fuzz.outcome import Failure
from tools.reduce import reduce


def keep(failure: Failure, folder: Path, seconds: float = 20.0) -> Path:
    """Write the case and return its path.

    What is right may be more than ``unchanged``: whoever mends the failure says so in the case.
    """
    module = reduce(failure.module, failure.judge, seconds) if failure.judge else failure.module
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{failure.kind}_{failure.seed}.txt"
    lines = [f"# Found by `python -m tools.fuzz --kind {failure.kind} --seed {failure.seed}`: {failure.problem}."]
    lines += [f"# {note}" for note in failure.notes]
    lines += [f"pipeline: {failure.pipeline}", "--- before", print_module(module).strip(), "--- after", "unchanged"]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path
