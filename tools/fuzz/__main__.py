"""Searches with random programs for wrong rewrites, for as long as it is told to.

    python -m tools.fuzz [--minutes 10] [--kind a|b|c] [--seed N] [--keep FOLDER]

Kind a: graphs without TensorFlow, judged by the reference interpreter and the proof. Kind b: programs through
`@tfreuse.dedupe` and as SavedModels, beside tf.function. Kind c: what TensorFlow's MLIR pipeline merges, beside what
tfreuse merges. Exits with 1 on a mismatch, which is reduced and kept as a golden case.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

SHARES = {"a": 0.55, "b": 0.33, "c": 0.12}
TURN = {"a": 60.0, "b": 120.0, "c": 60.0}
"""Seconds after which a process ends and another takes over, with another hash seed and empty memory."""
LARGE = 1_000_000_000
app = typer.Typer(add_completion=False)


@dataclass
class Tally:
    """What all processes have reported."""

    cases: Counter[str] = field(default_factory=Counter)
    merges: Counter[str] = field(default_factory=Counter)
    mismatches: Counter[str] = field(default_factory=Counter)
    explained: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    compared: int = 0

    def fail(self, kind: str, text: str) -> None:
        self.mismatches[kind] += 1
        self.failures.append(text)

    def add(self, line: dict[str, Any]) -> None:
        """Take in one line of a worker."""
        if "failure" in line:
            self.fail(line["failure"][0], line["failure"])
            return
        kind = line["kind"]
        self.cases[kind] += line["cases"]
        self.merges[kind] += line["merges"]
        self.explained.update(line["explained"])
        for seed, digest in line["digests"].items():
            if seed in self.digests:
                self.compared += 1
                if self.digests.pop(seed) != digest:
                    self.fail(kind, f"{kind} {seed}: the result depends on the hash seed")
            else:
                self.digests[seed] = digest


def run(kind: str, seconds: float, seed: int, processes: int, count: int, folder: Path, tally: Tally, show: Any) -> None:
    """Let `processes` work on one kind, in turns, until the time is up."""
    until = time.monotonic() + seconds
    following = [seed + number for number in range(processes)]
    turn = 0
    while time.monotonic() < until - 1:
        turn += 1
        length = min(TURN[kind], until - time.monotonic())
        lines: Queue[tuple[int, str | None]] = Queue()
        children = []
        for number, first in enumerate(following):
            command = [sys.executable, "-m", "tools.fuzz.worker", kind, str(first), str(processes), str(length)]
            environment = {**os.environ, "PYTHONHASHSEED": str(turn * processes + number)}
            child = subprocess.Popen(
                [*command, str(count), str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
            )  # fmt: skip
            children.append(child)
            errors: list[str] = []
            threading.Thread(target=_read, args=(number, child, lines), daemon=True).start()
            threading.Thread(target=lambda c=child, e=errors: e.append(c.stderr.read()), daemon=True).start()
            child.errors = errors  # type: ignore[attr-defined]
        try:
            open_ends = len(children)
            while open_ends:
                try:
                    number, text = lines.get(timeout=1.0)
                except Empty:
                    continue
                if text is None:
                    open_ends -= 1
                    continue
                line = json.loads(text)
                following[number] = line.get("next", following[number])
                tally.add(line)
                show(kind)
        finally:
            for child in children:
                child.send_signal(signal.SIGTERM)
            for child in children:
                child.wait()
        for child in children:
            if child.returncode:
                errors = child.errors  # type: ignore[attr-defined]
                tally.fail(kind, f"{kind}: a process ended with {child.returncode}\n{''.join(errors)[-2000:]}")
        if count or tally.mismatches[kind]:
            return


def _read(number: int, child: subprocess.Popen[str], lines: Queue[tuple[int, str | None]]) -> None:
    assert child.stdout is not None
    for text in child.stdout:
        if text.startswith("{"):
            lines.put((number, text))
    lines.put((number, None))


def table(tally: Tally, seconds: dict[str, float]) -> Table:
    """Cases, merges and mismatches by kind."""
    found = Table("kind", "cases", "a second", "merges", "mismatches")
    for kind, spent in seconds.items():
        rate = f"{tally.cases[kind] / max(spent, 0.001):.1f}"
        found.add_row(kind, str(tally.cases[kind]), rate, str(tally.merges[kind]), str(tally.mismatches[kind]))
    return found


@app.command(help=__doc__)
def main(
    minutes: Annotated[float, typer.Option(help="How long, for all kinds together.")] = 10.0,
    kind: Annotated[list[str] | None, typer.Option(help="a, b or c; default: all.")] = None,
    seed: Annotated[int | None, typer.Option(help="The first case; default: new ones each time.")] = None,
    keep: Annotated[Path, typer.Option(help="Where failures go.")] = Path("tests/engine/cases/fuzz"),
    count: Annotated[int, typer.Option(help="Cases a process and kind; 0: as many as there is time for.")] = 0,
    processes: Annotated[int, typer.Option(help="How many at once.")] = 2,
) -> None:
    kinds = kind or list(SHARES)
    if unknown := sorted(set(kinds) - SHARES.keys()):
        raise typer.BadParameter(f"unknown kind: {', '.join(unknown)}", param_hint="--kind")
    first = int(time.time()) * 1000 % LARGE if seed is None else seed
    if seed is None and processes:
        first -= first % processes
    console = Console()
    tally, seconds = Tally(), dict.fromkeys(kinds, 0.0)
    console.print(f"from seed {first}")
    stopped = False
    with console.status("starting") as status:

        def show(now: str) -> None:
            status.update(
                f"kind {now}: {tally.cases[now]} cases, {tally.merges[now]} merges, {tally.mismatches[now]} mismatches"
            )

        for now in kinds:
            started = time.monotonic()
            share = minutes * 60 * SHARES[now] / sum(SHARES[each] for each in kinds)
            try:
                run(now, share, first, processes, count, keep, tally, show)
            except KeyboardInterrupt:
                stopped = True
            seconds[now] = time.monotonic() - started
            if stopped:
                break
    console.print(table(tally, seconds))
    if tally.compared:
        console.print(f"{tally.compared} cases had equal results for two hash seeds or are listed below")
    for reason, number in sorted(tally.explained.items()):
        console.print(f"explained, {number} ops: {reason}")
    for failure in tally.failures:
        console.print(failure, markup=False, highlight=False)
    if stopped:
        console.print("stopped")
    raise typer.Exit(1 if tally.failures else 130 if stopped else 0)


if __name__ == "__main__":
    app()
