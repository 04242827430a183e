"""The report for people: tables drawn by rich from the JSON alone."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tfreuse.errors import printable
from tfreuse.report.windows import drawn

MAX_ROWS = 20
"""Rows shown of each table; the JSON holds all of them."""

_MOVED = ("hoisted", "gradient-factored")
"""Remarks about work that another rewrite than a merge saves."""


def render(report: dict[str, Any], width: int = 110) -> str:
    """The report as plain text, without colours."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(layout(report))
    text = console.file.getvalue()  # type: ignore[attr-defined]  # the file is the StringIO above
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines())


def layout(report: dict[str, Any]) -> RenderableType:
    """The report as something that a rich console prints."""
    parts: list[RenderableType] = [_headline(report)]
    if "verification" in report:
        parts.append(Text(_verified(report["verification"])))
    if "weights" in report and report["weights"]["repeated"]:
        parts.append(_weights(report["weights"]))
    regions = [(f, region) for f in report["functions"] for region in f["regions"] if set(region["ops"]) != {"Const"}]
    if regions:
        parts.append(_regions(regions))
    changed = [f for f in report["functions"] if f["regions"] and f["memory"] and f["memory"]["at_once"]["before"]]
    if changed:
        parts.append(_memory(changed))
    parts += [
        Text("\n").join(map(_text, drawn(family, function["label"] or function["name"] or "main")))
        for function in report["functions"]
        for family in function["families"][:MAX_ROWS]
    ]
    moved = [f"{remark['id']}: {_moved(remark)}" for remark in _moves(report)]
    parts += map(_text, moved[:MAX_ROWS])
    if len(moved) > MAX_ROWS:
        parts.append(Text(f"{len(moved) - MAX_ROWS} more in the JSON"))
    missed = [(f, miss) for f in report["functions"] for miss in f["missed"]]
    if missed:
        parts.append(_missed(missed))
    for kind, most in (("failure", len(report["remarks"])), ("missed", MAX_ROWS)):
        found = [remark for remark in report["remarks"] if remark["kind"] == kind]
        parts += [_text(f"{kind}: {remark['id']} {remark['function']}: {remark['detail']}") for remark in found[:most]]
        if len(found) > most:
            parts.append(Text(f"{len(found) - most} more in the JSON"))
    return Group(*parts)


def _moves(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [remark for remark in report["remarks"] if remark["id"] in _MOVED]


def _moved(remark: dict[str, Any]) -> str:
    """What was moved; of a sum of gradients the first node, and then what it added up."""
    first, *others = remark["nodes"]
    told = f"{_shortened(remark['nodes'])} {remark['detail']}" if remark["detail"] else ""
    where = f" in {remark['function']}" if remark["function"] else ""
    return (told or f"{first} of {_shortened(others)}") + where


def amount(value: int | None, unit: str = "") -> str:
    """A count with a decimal prefix: 1234567 is `1.23 M`; None is `unknown`."""
    if value is None:
        return "unknown"
    number = float(value)
    for prefix in ("", "k", "M", "G", "T"):  # the last one is used below
        if float(f"{number:.3g}") < 1000 or prefix == "T":
            break
        number /= 1000
    text = str(value) if not prefix else f"{number:.3g}" if number < 999.5 else f"{number:.0f}"
    return f"{text} {prefix}{unit}".strip()


def _headline(report: dict[str, Any]) -> Text:
    totals = report["totals"]
    ops = ", ".join(f"{count} {op}" for op, count in totals["merged_ops"].items())
    per = " per example" if totals["per_example"] else ""
    lines = [
        f"{report['model'].get('name', '')} ({report['model'].get('kind', '')}), pipeline {report['pipeline']}",
    ]
    sizes = f"{totals['nodes_before']} nodes before, {totals['nodes_after']} after"
    lines.append(f"{sizes}, in {totals['functions']} functions ({totals['functions_changed']} changed)")
    least = "at least " if totals["unknown_cost"] else ""
    if totals["merged"]:
        lines.append(f"merged {totals['merged']}: {ops}")
    elif not any(function["families"] for function in report["functions"]) and not _moves(report):
        lines.append("nothing to merge")
    shared = [family for function in report["functions"] for family in function["families"]]
    if shared:
        counts = sum(family["count"] for family in shared)
        lines.append(f"shared {counts} overlapping windows in {len(shared)} families")
    if totals["merged"] or shared:
        lines.append(
            f"saves {least}{amount(totals['multiply_adds'])} multiply-adds and "
            f"{least}{amount(totals['bytes'], 'B')} of results{per}"
        )
    return Text("\n").join(map(_text, [*lines, *_library(report["library"])]))


def _library(library: dict[str, Any]) -> list[str]:
    """One line on functions and bytes, where the report is about a model's file."""
    size = library["bytes"]
    if size["before"] is None:
        return []
    line = f"{library['functions']['before']} library functions before, {library['functions']['after']} after"
    gone = [(len(library["merged"]), "merged"), (len(library["unreachable"]), "that nothing named")]
    told = ", ".join(f"{count} {what}" for count, what in gone if count)
    share = 100 * (1 - size["after"] / size["before"]) if size["before"] else 0.0
    sizes = f"{amount(size['before'], 'B')} before, {amount(size['after'], 'B')} after ({share:.1f} % less)"
    lines = [line + (f" ({told})" if told else ""), f"graphs and functions take {sizes}"]
    repeated = library["repeated_constants"]
    if repeated["bytes"] >= 1024:
        lines.append(f"{repeated['count']} constants repeat in other bodies: {amount(repeated['bytes'], 'B')}")
    return lines


def _weights(weights: dict[str, Any]) -> Table:
    table = Table(title="Equal weights in the checkpoint", title_justify="left")
    for column in ("weights", "type and shape", "each"):
        table.add_column(column, overflow="fold")
    for entry in weights["repeated"][:MAX_ROWS]:
        kind = f"{entry['dtype']} {entry['shape']}"
        table.add_row(*map(_text, (_shortened(entry["names"]), kind, amount(entry["bytes"], "B"))))
    table = _captioned(table, len(weights["repeated"]))
    table.title = f"Equal weights in the checkpoint: sharing would save {amount(weights['bytes'], 'B')}"
    return table


def _verified(found: dict[str, Any]) -> str:
    """One line on what running both models gave."""
    entries = found["signatures"]
    feeds, raised = (sum(entry[key] for entry in entries) for key in ("feeds", "raised"))
    judged = sum(len(entry["judged"]) for entry in entries)
    most = max((entry["ulps"] for entry in entries), default=0)
    equal = "equal" if found["exactness"] == "bitwise" or not most else f"within the bound (at most {most} ulp apart)"
    parts = [f"verified on {feeds} {found['feeds']} feeds: outputs {equal}: {judged}"]
    parts += [f"feeds on which both raised: {raised}"] if raised else []
    missing = [entry["name"] for signature in entries for entry in signature["not_judged"]]
    parts += [f"not judged: {_shortened(missing)}"] if missing else []
    parts += [f"not run: {_shortened(found['not_run'])}"] if found["not_run"] else []
    return f"{'; '.join(parts)} ({found['seconds']:.1f} s)"


def _regions(regions: list[tuple[dict[str, Any], dict[str, Any]]]) -> Table:
    table = Table(title="Shared", title_justify="left")
    for column in ("function", "computed once", "copies gone", "ops", "multiply-adds"):
        table.add_column(column, overflow="fold")
    ordered = sorted(regions, key=lambda pair: -(pair[1]["multiply_adds"] or 0))
    for function, region in ordered[:MAX_ROWS]:
        ops = ", ".join(f"{count} {op}" for op, count in region["ops"].items())
        cells = (
            function["label"] or function["name"] or "main",
            _shortened(_scopes(region["survivor"])),
            str(len(region["duplicates"])),
            ops,
            amount(region["multiply_adds"]),
        )
        table.add_row(*map(_text, cells))
    return _captioned(table, len(regions))


def _memory(functions: list[dict[str, Any]]) -> Table:
    table = Table(title="Memory: estimated peaks of results, before → after", title_justify="left")
    for column in ("function", "one by one (one thread)", "at once (many threads)", ""):
        table.add_column(column, overflow="fold")
    for function in sorted(functions, key=lambda function: -function["memory"]["at_once"]["before"])[:MAX_ROWS]:
        memory = function["memory"]
        peaks = [
            f"{amount(memory[schedule]['before'], 'B')} → {amount(memory[schedule]['after'], 'B')}"
            for schedule in ("one_by_one", "at_once")
        ]
        notes = ["per example"] if memory["per_example"] else []
        notes += [f"at least: {memory['unknown']} sizes unknown"] if memory["unknown"] else []
        table.add_row(*map(_text, (function["label"] or function["name"] or "main", *peaks, ", ".join(notes))))
    return _captioned(table, len(functions))


def _missed(missed: list[tuple[dict[str, Any], dict[str, Any]]]) -> Table:
    table = Table(title="Not shared", title_justify="left")
    for column in ("function", "remark", "nodes", "what differs"):
        table.add_column(column, overflow="fold")
    for function, miss in missed[:MAX_ROWS]:
        detail = ": ".join(filter(None, (miss["field"], miss["detail"])))
        cells = (function["label"] or function["name"] or "main", miss["id"], _shortened(miss["nodes"]), detail)
        table.add_row(*map(_text, cells))
    return _captioned(table, len(missed))


def _text(text: str) -> Text:
    """Names in models are no markup, and may hold any characters."""
    return Text(printable(text))


def _captioned(table: Table, rows: int) -> Table:
    if rows > MAX_ROWS:
        table.caption = f"{rows - MAX_ROWS} more in the JSON"
        table.caption_justify = "left"
    return table


def _scopes(names: list[str]) -> list[str]:
    """The innermost scopes of nodes, which are layers' names; the nodes themselves where they have none."""
    return list(dict.fromkeys(name.rpartition("/")[0] or name for name in names))


def _shortened(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
