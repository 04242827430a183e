"""Tables of benchmark results, drawn from the JSON alone."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

RATIO_COLUMNS = ("plain/tfreuse", "tfreuse/ideal", "tfreuse/xla")


def wide_console() -> Console:
    """The terminal; elsewhere (a pipe, a log) wide enough for the tables."""
    console = Console()
    return console if console.is_terminal else Console(width=140)


def spread_of(ratio: dict[str, float] | None, digits: int = 2) -> str:
    """A ratio's median with its quartiles."""
    if ratio is None:
        return ""
    median, q1, q3 = (f"{ratio[key]:.{digits}f}" for key in ("median", "q1", "q3"))
    return f"{median} ({q1}, {q3})"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    return table


def _times(results: list[dict[str, Any]]) -> Table:
    table = _table("Times: median and quartiles of paired ratios", "pattern", "batch", "plain ms", *RATIO_COLUMNS)
    for result in results:
        ratios = [spread_of(result["ratios"].get(name)) for name in RATIO_COLUMNS]
        plain = f"{result['milliseconds']['plain']['median']:.1f}"
        table.add_row(result["pattern"], str(result["batch"]), plain, *ratios)
    return table


def _executed(results: list[dict[str, Any]]) -> Table:
    columns = ("pattern", "batch", "convolutions", "backprops", "reads", "results", "rounds")
    table = _table("Executed ops, plain → tfreuse (ideal), and tfreuse's results against plain's", *columns)
    for result in results:
        counts = result["counts"]
        cells = [
            f"{counts['plain'][key]} → {counts['tfreuse'][key]} ({counts['ideal'][key]})"
            for key in ("convolutions", "backprops", "reads")
        ]
        levels = result["agreement"]["tfreuse"]
        shown = "/".join(dict.fromkeys((levels["first"], levels["later"])))
        if not result["agrees"]:
            shown = f"[red]DISAGREES {shown}[/red]"
        table.add_row(result["pattern"], str(result["batch"]), *cells, shown, str(result["rounds"]))
    return table


def _specials(specials: dict[str, Any]) -> Table:
    table = _table("The decorator itself", "measure", "ratio", "median, quartiles", "plain ms")
    for name, result in specials.items():
        for ratio, value in result["ratios"].items():
            plain = f"{result['milliseconds']['plain']['median']:.3f}"
            table.add_row(name, ratio, spread_of(value, digits=3), plain)
    return table


def show(report: dict[str, Any], console: Console) -> None:
    """Prints the tables, the summary, and what failed."""
    if report["results"]:
        console.print(_times(report["results"]), _executed(report["results"]))
    if report["specials"]:
        console.print(_specials(report["specials"]))
    console.print(", ".join(f"{name} {version}" for name, version in report["versions"].items()))
    for label, found in report["summary"].items():
        console.print(
            f"tfreuse/ideal over the in-body patterns, {label}: geometric mean {found['geometric_mean']:.3f}"
            f", worst {found['worst']:.3f} ({found['worst_pattern']}) of {found['of']}"
        )
    for result in report["results"]:
        label = f"{result['pattern']}, batch {result['batch']}"
        if result["xla_error"]:
            console.print(f"{label}: no XLA: {result['xla_error']}", markup=False)
        if not result["agrees"]:
            console.print(f"{label}: results against plain's: {result['agreement']}", markup=False, style="red")
    for name, error in report["errors"].items():
        console.print(f"{name} FAILED\n{error}", markup=False, style="red")
