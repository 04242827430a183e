"""How the engine scales: parse, optimise and serialise synthetic graphs, beside Grappler's own merging.

    python -m tools.bench.scale [--nodes 1000 10000 100000 1000000] [--json FILE] [--repeats N]
                                [--grappler-all]

Both tools read the same bytes, each time in a fresh process, in turns; imports are not timed. Grappler runs
`common_subgraph_elimination` alone, up to 100 000 nodes unless `--grappler-all` is given. It keeps all
reads of variables apart, and so what hangs on them. tfreuse runs its pipeline, and its pipeline with the proof.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tools.bench.arguments import spread
from tools.bench.children import ask
from tools.bench.measure import paired, summary
from tools.bench.render import spread_of, wide_console

SCHEMA = 1
GRAPPLER_LIMIT = 120_000
"""Nodes beyond which Grappler runs only on demand."""
TFREUSE = ("tfreuse", "with proof")
PHASES = ("parse", "optimise", "serialise", "total")
SECONDS = (*PHASES, "system")
"""Times that are kept; *system* is what the operating system took of the total, most of it to hand out memory."""
app = typer.Typer(add_completion=False)


def measure_size(nodes: int, repeats: int, *, grappler: bool) -> dict[str, Any]:
    """Times, memory, node counts of the tools on one graph; `ratios`: paired total times, tool/grappler."""
    tools = [*TFREUSE, "grappler"] if grappler else list(TFREUSE)
    with tempfile.TemporaryDirectory() as folder:
        graph = str(Path(folder, "graph.pb"))
        made = ask("scale_graph", {"nodes": nodes, "graph": graph})
        runs: dict[str, list[dict[str, Any]]] = {tool: [] for tool in tools}
        for repeat in range(repeats):
            for tool in tools[:: -1 if repeat % 2 else 1]:
                runs[tool].append(ask("scale_worker", {"tool": tool, "graph": graph}))
    totals = {tool: [run["seconds"]["total"] for run in runs[tool]] for tool in tools}
    return {
        "graph": made,
        "repeats": repeats,
        "tools": {tool: _merged(found) for tool, found in runs.items()},
        "ratios": {tool: paired(totals[tool], totals["grappler"]) for tool in TFREUSE} if grappler else {},
        "proof": paired(totals["with proof"], totals["tfreuse"]),
    }


def _merged(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The runs of one tool on one graph as one: medians of times and memory."""
    return {
        **runs[0],
        "seconds": {phase: summary([run["seconds"][phase] for run in runs]) for phase in SECONDS},
        "peak_mebibytes": statistics.median(run["peak_mebibytes"] for run in runs),
        "import_mebibytes": statistics.median(run["import_mebibytes"] for run in runs),
    }


def growth(sizes: list[dict[str, Any]]) -> list[dict[str, float]]:
    """From each size to the next: factors of nodes, of tfreuse's total time and of that without the system's."""

    def taken(size: dict[str, Any], of: str) -> float:
        return float(size["tools"]["tfreuse"]["seconds"][of]["median"])

    def own(size: dict[str, Any]) -> float:
        return taken(size, "total") - taken(size, "system")

    return [
        {
            "from_nodes": small["graph"]["nodes"],
            "to_nodes": large["graph"]["nodes"],
            "nodes": large["graph"]["nodes"] / small["graph"]["nodes"],
            "seconds": taken(large, "total") / taken(small, "total"),
            "own_seconds": own(large) / own(small),
        }
        for small, large in pairwise(sizes)
    ]


def show(report: dict[str, Any], console: Console) -> None:
    """Prints the table, and how time grows."""
    table = Table(title="Bytes to bytes: medians of fresh processes", title_justify="left")
    columns = ("tool", "nodes", "after", "merged", *(f"{phase} s" for phase in PHASES))
    columns += ("peak MiB", "own MiB", "ratio")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    for size in report["sizes"]:
        for tool, found in size["tools"].items():
            before, after = found["nodes_before"], found["nodes_after"]
            seconds = [f"{found['seconds'][phase]['median']:.3f}" for phase in PHASES]
            merged = f"{(before - after) / size['graph']['duplicates']:.0%}"
            peak = found["peak_mebibytes"]
            memory = f"{peak:,.0f}", f"{peak - found['import_mebibytes']:,.0f}"
            ratio = spread_of(size["ratios"][tool]) if tool in size["ratios"] else ""
            table.add_row(tool, f"{before:,}", f"{after:,}", merged, *seconds, *memory, ratio)
        table.add_section()
    console.print(table)
    console.print("merged: of the duplicates in the graph; own: peak memory less that of the imports")
    console.print("ratio: total times of the same turn, tool/grappler: median and quartiles")
    for size in report["sizes"]:
        console.print(f"{size['graph']['nodes']:,} nodes: with proof/without {spread_of(size['proof'])}")
    for step in report["growth"]:
        console.print(
            f"{step['from_nodes']:,} → {step['to_nodes']:,} nodes: {step['nodes']:.1f} times the nodes, "
            f"{step['seconds']:.1f} times the time, {step['own_seconds']:.1f} without the operating system's"
        )


@app.command(help=__doc__)
def main(
    nodes: Annotated[list[int] | None, typer.Option(help="Sizes; default: 1000 to 1000000.")] = None,
    repeats: Annotated[int, typer.Option(help="Processes for each tool and size.")] = 3,
    grappler_all: Annotated[bool, typer.Option("--grappler-all", help="Grappler on all sizes.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures here.")] = None,
) -> None:
    console = wide_console()
    report: dict[str, Any] = {"schema": SCHEMA, "sizes": []}
    for count in sorted(nodes or [1_000, 10_000, 100_000, 1_000_000]):
        with console.status(f"{count:,} nodes"):
            size = measure_size(count, repeats, grappler=grappler_all or count <= GRAPPLER_LIMIT)
        report["sizes"].append(size)
    report["growth"] = growth(report["sizes"])
    show(report, console)
    if json_file:
        json_file.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    app(args=spread(sys.argv[1:], {"--nodes"}))
