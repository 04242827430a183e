"""Names in models may hold any characters: they are no markup, and no commands to a terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from tests.cli.command import Command
from tests.cli.graphs import repeated
from tfreuse.cli import progress
from tfreuse.errors import InputError, printable
from tfreuse.report.table import layout, render

NAMES = ["[/a]", "[red]", "[link=x]", "a\x1b[31mb", "a\x07", "a\x9b2J", "a\u202eb", "a\\[b", "[bold"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_nodes(command: Command, tmp_path: Path, name: str) -> None:
    (tmp_path / "graph.pb").write_bytes(repeated(f"{name}/").SerializeToString())
    done = command("optimize", "graph.pb", "small.pb", "--outputs", "y")
    assert (done.code, done.err) == (0, "")
    assert printable(name) in done.out
    assert done.out.replace("\n", "").isprintable()
    report = json.loads(command("inspect", "graph.pb", "--outputs", "y", "--json").out)
    assert report["functions"][0]["regions"][0]["survivor"] == [f"{name}/a"]


@pytest.mark.parametrize("name", NAMES)
def test_names_everywhere_in_a_report(name: str) -> None:
    region = {
        "survivor": [f"{name}/a"],
        "duplicates": [[name]],
        "scopes": [name],
        "ops": {name: 1},
        "multiply_adds": 0,
        "bytes": 0,
        "per_example": False,
    }
    miss = {"id": name, "nodes": [name], "scopes": [], "field": name, "detail": name, "advice": ""}
    totals = {"nodes_before": 2, "nodes_after": 1, "functions": 1, "functions_changed": 1, "merged": 1}
    totals |= {"merged_ops": {name: 1}, "per_example": False, "unknown_cost": False, "multiply_adds": 0, "bytes": 0}
    peaks = {"before": 2, "after": 1}
    memory = {"one_by_one": peaks, "at_once": peaks, "per_example": False, "unknown": 0}
    report = {
        "model": {"name": name, "kind": name},
        "pipeline": name,
        "functions": [
            {"label": name, "name": name, "memory": memory, "regions": [region], "families": [], "missed": [miss]}
        ],
        "totals": totals,
        "library": {
            "functions": {"before": 2, "after": 1},
            "bytes": {"before": 4096, "after": 2048},
            "merged": [{"function": name, "label": name, "into": name}],
            "unreachable": [name],
            "repeated_constants": {"count": 1, "bytes": 2048},
        },
        "weights": {"repeated": [{"names": [name], "dtype": name, "shape": [1], "bytes": 4}], "bytes": 4},
        "remarks": [{"kind": "failure", "id": name, "function": name, "detail": f"{name}\n{name}"}],
    }
    text = render(report, 300)
    assert text.replace("\n", "").isprintable()
    assert text.count(printable(name)) == 19
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=300)
    console.print(layout(report))
    assert "\x1b]8" not in console.file.getvalue()  # type: ignore[attr-defined]  # no links


@pytest.mark.parametrize("name", NAMES)
def test_names_in_error_lines(command: Command, tmp_path: Path, name: str) -> None:
    graph = repeated(f"{name}/")
    graph.node[1].input[0] = f"{name}/nothing"
    (tmp_path / "graph.pb").write_bytes(graph.SerializeToString())
    line = command.refusal("optimize", "graph.pb", "small.pb", "--outputs", "y")
    assert line.startswith("graph.pb is damaged: ")
    assert command.refusal("inspect", f"nothing{name.replace('/', '')}").endswith(" does not exist")


@pytest.mark.parametrize("name", NAMES)
def test_names_in_the_progress_bar(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    terminal = Console(file=file, force_terminal=True, color_system=None, width=100)
    monkeypatch.setattr(progress, "Console", lambda **options: terminal)
    with progress.progress_bar() as bar:
        bar(name, 0, 2)
        shown: Progress = bar._progress
        shown.refresh()
    assert printable(name) in file.getvalue()
    assert name.isprintable() or name not in file.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcode 漢字", "plain, ünïcode 漢字"),
        ("a\x1b[0m", "a\\x1b[0m"),
        ("caf\udce9", "caf\\udce9"),
        ("a\tb\u2028", "a\\tb\\u2028"),
        ("", ""),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_an_error_is_one_line() -> None:
    assert str(InputError("one\ntwo\x1b  three")) == "one two\\x1b three"
