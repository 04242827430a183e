"""Searches with random programs for wrong rewrites, for as long as it is told to.

    python -m tools.fuzz [--minutes 10] [--kind a|b|c] [--seed N] [--preset NAME] [--keep FOLDER]

Kind a: graphs without TensorFlow, judged by the reference interpreter and the proof. Kind b: programs through
`@tfreuse.dedupe` and as SavedModels, beside tf.function. Kind c: what TensorFlow's MLIR pipeline merges, beside what
tfreuse merges. Exits with 1 on a mismatch, which is reduced and kept as a golden case.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count as count_up
from pathlib import Path
from queue import Queue
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tfreuse.pipeline.text import PRESETS

SHARES = {"a": 0.45, "b": 0.43, "c": 0.12}
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


class Worker:
    """One process, which puts its lines into a queue, and None at its end."""

    def __init__(self, number: int, arguments: list[str], hash_seed: int, lines: Queue[tuple[int, str | None]]) -> None:
        self.errors = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tools.fuzz.worker", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        )
        self._number, self._lines = number, lines
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._read, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def end(self) -> int:
        """End the process and give its exit code."""
        self.process.terminate()
        self.process.wait()
        for thread in self._threads:
            thread.join()
        return self.process.returncode

    def _read(self) -> None:
        for text in self.process.stdout or ():
            if text.startswith("{"):
                self._lines.put((self._number, text))
        self._lines.put((self._number, None))

    def _read_errors(self) -> None:
        self.errors = self.process.stderr.read() if self.process.stderr else ""


@dataclass
class Search:
    """What is searched for, by how many processes."""

    seed: int
    processes: int
    count: int
    folder: Path
    preset: str
    tally: Tally
    show: Callable[[str], None]

    def run(self, kind: str, seconds: float) -> None:
        """Work on one kind, with new processes at each turn, until the time is up or something fails."""
        until = time.monotonic() + seconds
        first = self.seed - self.seed % self.processes  # so that all processes meet in the cases that they share
        following = [first + number for number in range(self.processes)]
        for turn in count_up():
            length = min(TURN[kind], until - time.monotonic())
            if length < 1:
                return
            self._turn(kind, turn, length, following)
            if self.count or self.tally.mismatches[kind]:
                return

    def _turn(self, kind: str, turn: int, seconds: float, following: list[int]) -> None:
        lines: Queue[tuple[int, str | None]] = Queue()
        workers: list[Worker] = []
        try:
            for number, first in enumerate(following):
                arguments = [kind, first, self.processes, seconds, self.count, self.folder, self.preset]
                workers.append(Worker(number, [str(each) for each in arguments], turn * self.processes + number, lines))
            working = len(workers)
            while working:
                number, text = lines.get()
                if text is None:
                    working -= 1
                    continue
                line = json.loads(text)
                following[number] = line.get("next", following[number])
                self.tally.add(line)
                self.show(kind)
        except KeyboardInterrupt:
            for worker in workers:
                worker.end()
            while not lines.empty():
                if text := lines.get()[1]:
                    self.tally.add(json.loads(text))
            raise
        for worker in workers:
            worker.process.wait()
            if code := worker.end():
                self.tally.fail(kind, f"{kind}: a process ended with {code}\n{worker.errors[-2000:]}")


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
    preset: Annotated[str, typer.Option(help="The preset that kinds a and b run.")] = "exact",
    keep: Annotated[Path, typer.Option(help="Where failures go.")] = Path("tests/engine/cases/fuzz"),
    count: Annotated[int, typer.Option(help="Cases a process and kind; 0: as many as there is time for.")] = 0,
    processes: Annotated[int, typer.Option(help="How many at once.", min=1)] = 2,
) -> None:
    kinds = kind or list(SHARES)
    if unknown := sorted(set(kinds) - SHARES.keys()):
        raise typer.BadParameter(f"unknown kind: {', '.join(unknown)}", param_hint="--kind")
    if preset not in PRESETS:
        raise typer.BadParameter(f"unknown preset: {preset}", param_hint="--preset")
    first = int(time.time()) * 1000 % LARGE if seed is None else seed
    console = Console()
    tally, seconds, stopped = Tally(), dict.fromkeys(kinds, 0.0), False
    console.print(f"from seed {first}")
    with console.status("starting") as status:

        def show(now: str) -> None:
            status.update(
                f"kind {now}: {tally.cases[now]} cases, {tally.merges[now]} merges, {tally.mismatches[now]} mismatches"
            )

        search = Search(first, processes, count, keep, preset, tally, show)
        for now in kinds:
            started = time.monotonic()
            try:
                search.run(now, minutes * 60 * SHARES[now] / sum(SHARES[each] for each in kinds))
            except KeyboardInterrupt:
                stopped = True
            seconds[now] = time.monotonic() - started
            if stopped:
                break
    console.print(table(tally, seconds))
    if tally.compared:
        console.print(f"{tally.compared} cases of kind a were compared between two hash seeds")
    for reason, number in sorted(tally.explained.items()):
        console.print(f"explained, {number} ops: {reason}")
    for failure in tally.failures:
        console.print(failure, markup=False, highlight=False)
    if stopped:
        console.print("stopped")
    raise typer.Exit(1 if tally.failures else 130 if stopped else 0)


if __name__ == "__main__":
    app()
