"""Times programs with duplicate work: plain TensorFlow, tfreuse, the hand-written ideal twin, and XLA.

    python -m tools.bench.run [--json FILE] [--pattern NAME ...] [--batch 1 8] [--rounds N] [--quick]

Each pattern runs in a process of its own, its four variants in turns. Exits with 1 if a pattern fails, or if
tfreuse's results are not bitwise those of plain TensorFlow.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tools.bench.arguments import spread
from tools.bench.children import ask
from tools.bench.measure import geometric_mean
from tools.bench.patterns import PATTERNS, SPECIALS
from tools.bench.render import show, wide_console

SCHEMA = 1
app = typer.Typer(add_completion=False)


def summarise(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Geometric mean and worst of tfreuse/ideal over the in-body patterns, by batch size and for all."""
    groups: dict[str, dict[str, float]] = {}
    for result in results:
        if result["in_body"]:
            ratio = result["ratios"]["tfreuse/ideal"]["median"]
            label = f"batch {result['batch']}"
            groups.setdefault(label, {})[result["pattern"]] = ratio
    if len(groups) > 1:
        groups["all batches"] = {f"{n}, {label}": r for label, ratios in groups.items() for n, r in ratios.items()}
    summary = {}
    for label, ratios in groups.items():
        worst = max(ratios, key=lambda name: ratios[name])
        mean = geometric_mean(list(ratios.values()))
        summary[label] = {
            "geometric_mean": mean,
            "worst": ratios[worst],
            "worst_pattern": worst,
            "of": len(ratios),
        }
    return summary


def collect(groups: list[list[str]], request: dict[str, Any], console: Console) -> dict[str, Any]:
    """Runs each group of names in one process and puts the answers together."""
    report: dict[str, Any] = {"schema": SCHEMA, "versions": {}, "summary": {}}
    report.update({"results": [], "specials": {}, "errors": {}})
    for names in groups:
        with console.status(", ".join(names)):
            try:
                answer = ask("worker", {**request, "names": names})
            except RuntimeError as error:
                report["errors"][names[0]] = str(error)
                continue
        report["versions"] = answer["versions"]
        report["results"] += answer["results"]
        report["specials"] |= answer["specials"]
        report["errors"] |= answer["errors"]
    report["summary"] = summarise(report["results"])
    return report


@app.command(help=__doc__)
def main(
    pattern: Annotated[list[str] | None, typer.Option(help="Patterns, special measures; default: all.")] = None,
    batch: Annotated[list[int] | None, typer.Option(help="Batch sizes; default: 1 and 8.")] = None,
    rounds: Annotated[int, typer.Option(help="Rounds of each; 0: as many as fit in --seconds.")] = 0,
    seconds: Annotated[float, typer.Option(help="For the rounds of a pattern at one batch size.")] = 6.0,
    quick: Annotated[bool, typer.Option("--quick", help="Smoke run: one process, batch 1, 3 rounds.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures here.")] = None,
) -> None:
    names = pattern or [*PATTERNS, *SPECIALS]
    unknown = sorted(set(names) - {*PATTERNS, *SPECIALS})
    if unknown:
        raise typer.BadParameter(f"unknown pattern: {', '.join(unknown)}", param_hint="--pattern")
    fixed = rounds or (3 if quick else 0)
    request = {
        "batches": batch or ([1] if quick else [1, 8]),
        "rounds": {"least": fixed or 15, "most": fixed or 300, "seconds": seconds},
        "quick": quick,
    }
    console = wide_console()
    report = collect([names] if quick else [[name] for name in names], request, console)
    show(report, console)
    if json_file:
        json_file.write_text(json.dumps(report, indent=2) + "\n")
    if report["errors"] or not all(result["agrees"] for result in report["results"]):
        raise typer.Exit(1)


if __name__ == "__main__":
    app(args=spread(sys.argv[1:], {"--pattern", "--batch"}))
