"""The command `tfreuse`. TensorFlow is imported when a model is read, not for `--help`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tfreuse import errors

app = typer.Typer(
    name="tfreuse",
    help="Finds work that a TensorFlow model computes twice and computes it once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

UNVERIFIED = 3
"""The exit code when the result was run and differs from the original."""
INTERRUPTED = 130
"""The exit code of a command that was interrupted: 128 and the number of SIGINT."""

Source = Annotated[str, typer.Argument(metavar="SRC", help="A SavedModel folder, or a graph file (.pb, .pbtxt).")]
Target = Annotated[str | None, typer.Argument(metavar="DST", help="What to write; not needed with --dry-run.")]
Pipe = Annotated[str | None, typer.Option("--pipeline", help="Passes, for example dedupe-reads,cse{ops=Conv2D},dce.")]
Preset = Annotated[str, typer.Option("--preset", help="A named pipeline: exact (everything bitwise) or conv.")]
Tags = Annotated[str | None, typer.Option("--tags", help="Only the graph with these tags, separated by commas.")]
Outputs = Annotated[str | None, typer.Option("--outputs", help="Graph files: nodes that are fetched, by commas.")]
Inputs = Annotated[str | None, typer.Option("--inputs", help="Graph files: nodes that are fed, by commas.")]
Verify = Annotated[int, typer.Option("--verify", metavar="N", help="Run both models on N feeds before writing.")]
Feeds = Annotated[
    list[str] | None, typer.Option("--feeds", metavar="FILE", help="With --verify: a .npz file to feed; repeatable.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


def _version(wanted: bool) -> None:
    if wanted:
        from tfreuse.report.document import tool_identity

        print(f"tfreuse {tool_identity()['version'] or '(not installed)'}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command()
def optimize(
    src: Source,
    dst: Target = None,
    pipeline: Pipe = None,
    preset: Preset = "exact",
    tags: Tags = None,
    outputs: Outputs = None,
    inputs: Inputs = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace DST if it exists.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report, and write nothing.")] = False,
    json: Json = False,
    verify: Verify = 0,
    feeds: Feeds = None,
) -> None:
    """Write to DST the model of SRC with equal work shared; SRC is not touched."""
    _run(src, dst, pipeline, preset, tags, outputs, inputs, overwrite, dry_run, json, verify, feeds)


@app.command()
def inspect(
    src: Source,
    pipeline: Pipe = None,
    preset: Preset = "exact",
    tags: Tags = None,
    outputs: Outputs = None,
    inputs: Inputs = None,
    json: Json = False,
) -> None:
    """Show what could be shared in SRC, and what not and why; nothing is written."""
    _run(src, None, pipeline, preset, tags, outputs, inputs, False, True, json)


def _run(
    src: str,
    dst: str | None,
    pipeline: str | None,
    preset: str,
    tags: str | None,
    outputs: str | None,
    inputs: str | None,
    overwrite: bool,
    dry_run: bool,
    json: bool,
    verify: int = 0,
    feeds: list[str] | None = None,
) -> None:
    from tfreuse.offline.graphs import optimize_graph_file
    from tfreuse.offline.saved_model import optimize_saved_model
    from tfreuse.pipeline.text import resolve_pipeline

    is_file = src.endswith((".pb", ".pbtxt"))
    resolve_pipeline(pipeline, preset)  # a typing error is told before the seconds that TensorFlow takes
    if not is_file and (outputs or inputs):
        raise errors.InputError("--outputs and --inputs go with graph files; a SavedModel has signatures")
    if is_file and tags:
        raise errors.InputError("--tags goes with SavedModels; a graph file has none")
    _import_tensorflow()
    with _progress() as progress:
        if is_file:
            report = optimize_graph_file(
                src,
                dst,
                outputs=_names(outputs),
                inputs=_names(inputs),
                pipeline=pipeline,
                preset=preset,
                overwrite=overwrite,
                dry_run=dry_run,
                progress=progress,
                verify=verify,
                feeds=feeds or None,
            )
        else:
            report = optimize_saved_model(
                src,
                dst,
                pipeline=pipeline,
                preset=preset,
                tags=None if tags is None else _names(tags),
                overwrite=overwrite,
                dry_run=dry_run,
                progress=progress,
                verify=verify,
                feeds=feeds or None,
            )
    if json:
        print(report.to_json())
        return
    from tfreuse.report.table import layout

    Console().print(layout(report.to_dict()))
    if dst is not None and not dry_run:
        print(f"written to {dst}")


def _import_tensorflow() -> None:
    """Import TensorFlow with what its libraries write to standard error at that moment kept off the screen."""
    from tfreuse.bridge.load import tensorflow

    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        tensorflow()
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


class _Bar:
    """Shows the function that is worked on, on standard error and only if that is a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("reading")

    def __call__(self, name: str, number: int, count: int) -> None:
        self._progress.update(self._task, description=(name or "main graph")[:50], completed=number, total=count)


@contextmanager
def _progress() -> Iterator[_Bar]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield _Bar(progress)


def run() -> None:
    """The entry point: errors on purpose become one line on standard error and exit code 1 or 3."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        app(standalone_mode=True)
    except errors.TfreuseError as error:
        print(f"tfreuse: error: {error}", file=sys.stderr)
        sys.exit(UNVERIFIED if isinstance(error, errors.VerificationError) else 1)
    except KeyboardInterrupt:
        print("tfreuse: interrupted; nothing was written", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    run()
