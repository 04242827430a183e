"""Holds the report's estimate of peak memory against what TensorFlow's allocator says, on one thread and on several.

    python -m tools.bench.memory [--program NAME ...] [--threads 1 2 4] [--json FILE]

The graphs run as they were traced, without Grappler. A measurement is *within* if it lies between the two estimates,
nodes one by one and at once, give or take a quarter: kernels take memory of their own while they run, and which
nodes run side by side is chance. Exits with 1 if one is not, or if tfreuse takes a quarter more than plain TensorFlow.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tools.bench.arguments import spread
from tools.bench.children import ask
from tools.bench.render import wide_console

PROGRAMS = ("tower_x3", "masks", "tiles_apart", "training", "recomputed")
SLACK = 0.25
app = typer.Typer(add_completion=False)


def is_within(peaks: dict[str, int]) -> bool:
    """Whether the measured peak lies between the estimates, with slack."""
    low, high = sorted((peaks["one_by_one"], peaks["at_once"]))
    return (1 - SLACK) * low <= peaks["measured"] <= (1 + SLACK) * high


def show(results: list[dict[str, Any]], console: Console) -> None:
    """Prints the table."""
    table = Table(
        title="Peak memory of results in MiB: estimate (one by one to at once), measured", title_justify="left"
    )
    for column in ("program", "threads", "plain", "measured", "within", "tfreuse", "measured", "within"):
        table.add_column(column, justify="left" if column == "program" else "right", no_wrap=True)
    for result in results:
        cells = []
        for name in ("before", "after"):
            peaks = result[name]
            low, high, measured = (peaks[key] / 2**20 for key in ("one_by_one", "at_once", "measured"))
            cells += [f"{low:.1f} to {high:.1f}", f"{measured:.1f}", "yes" if is_within(peaks) else "NO"]
        table.add_row(result["program"], str(result["threads"]), *cells)
    console.print(table)


@app.command(help=__doc__)
def main(
    program: Annotated[list[str] | None, typer.Option(help="Programs; default: all.")] = None,
    threads: Annotated[list[int] | None, typer.Option(help="Numbers of threads; default: 1, 2 and 4.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures here.")] = None,
) -> None:
    console = wide_console()
    results = []
    for name in program or PROGRAMS:
        for count in threads or (1, 2, 4):
            with console.status(f"{name}, {count} threads"):
                found = ask("memory_worker", {"program": name, "threads": count})
            results.append({"program": name, "threads": count, **found})
    show(results, console)
    if json_file:
        json_file.write_text(json.dumps(results, indent=2) + "\n")
    good = all(
        is_within(result["before"])
        and is_within(result["after"])
        and result["after"]["measured"] <= (1 + SLACK) * result["before"]["measured"]
        for result in results
    )
    raise typer.Exit(0 if good else 1)


if __name__ == "__main__":
    app(args=spread(sys.argv[1:], {"--program", "--threads"}))
