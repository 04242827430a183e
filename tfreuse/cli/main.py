"""The command `tfreuse`. TensorFlow is imported when a model is read, not for `--help`.

Exit codes: 0 done; 1 refused or failed, with one line on standard error that says why; 2 the command line is wrong;
3 a rewrite was not proved and its graph left as it was, or the result was run and differs; 130 interrupted (Ctrl-C);
143 terminated (SIGTERM).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from tfreuse import errors
from tfreuse.cli.options import Options
from tfreuse.cli.process import NOT_PROVED, code_of, exit_code, say
from tfreuse.cli.progress import progress_bar

if TYPE_CHECKING:
    from tfreuse.report.report import Report

app = typer.Typer(
    name="tfreuse",
    help="Finds work that a TensorFlow model computes twice and computes it once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong command line, 3 not proved or not verified, "
    "130 interrupted, 143 terminated.",
)

Source = Annotated[str, typer.Argument(metavar="SRC", help="A SavedModel folder, or a graph file (.pb, .pbtxt).")]
Target = Annotated[str | None, typer.Argument(metavar="DST", help="What to write; not needed with --dry-run.")]
Pipe = Annotated[str | None, typer.Option("--pipeline", help="Passes, for example dedupe-reads,cse{ops=Conv2D},dce.")]
Preset = Annotated[
    str | None,
    typer.Option("--preset", help="A named pipeline: exact (the default), hoist, fast or conv."),
]
Tags = Annotated[str | None, typer.Option("--tags", help="Only the graph with these tags, separated by commas.")]
Outputs = Annotated[str | None, typer.Option("--outputs", help="Graph files: nodes that are fetched, by commas.")]
Inputs = Annotated[str | None, typer.Option("--inputs", help="Graph files: nodes that are fed, by commas.")]
Proof = Annotated[bool, typer.Option("--no-proof", help="Do not prove the rewrites.")]
Verify = Annotated[int, typer.Option("--verify", metavar="N", help="Run both models on N feeds before writing.")]
Feeds = Annotated[
    list[str] | None, typer.Option("--feeds", metavar="FILE", help="With --verify: a .npz file to feed; repeatable.")
]
Limit = Annotated[
    float | None, typer.Option("--time-limit", metavar="SECONDS", help="Give up passes that take longer than that.")
]
Growth = Annotated[
    str | None,
    typer.Option("--max-memory-growth", metavar="SIZE", help="Leave out merges that cost more memory: 64MiB, 10%."),
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
    preset: Preset = None,
    tags: Tags = None,
    outputs: Outputs = None,
    inputs: Inputs = None,
    no_proof: Proof = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace DST if it exists.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report, and write nothing.")] = False,
    json: Json = False,
    verify: Verify = 0,
    feeds: Feeds = None,
    time_limit: Limit = None,
    max_memory_growth: Growth = None,
    strip_shapes: Annotated[
        bool, typer.Option("--strip-shapes", help="Drop recorded static shapes; TensorFlow infers them anew.")
    ] = False,
) -> None:
    """Write to DST the model of SRC with equal work shared; SRC is not touched."""
    options = Options(
        pipeline=pipeline,
        preset=preset,
        tags=tags,
        outputs=outputs,
        inputs=inputs,
        no_proof=no_proof,
        json=json,
        time_limit=time_limit,
        max_memory_growth=max_memory_growth,
        overwrite=overwrite,
        dry_run=dry_run,
        verify=verify,
        feeds=feeds,
        strip_shapes=strip_shapes,
    )
    _run(src, dst, options)


@app.command()
def inspect(
    src: Source,
    pipeline: Pipe = None,
    preset: Preset = None,
    tags: Tags = None,
    outputs: Outputs = None,
    inputs: Inputs = None,
    no_proof: Proof = False,
    json: Json = False,
    time_limit: Limit = None,
    max_memory_growth: Growth = None,
) -> None:
    """Show what could be shared in SRC, and what not and why; nothing is written."""
    options = Options(
        pipeline=pipeline,
        preset=preset,
        tags=tags,
        outputs=outputs,
        inputs=inputs,
        no_proof=no_proof,
        json=json,
        time_limit=time_limit,
        max_memory_growth=max_memory_growth,
        dry_run=True,
        weights=True,
    )
    _run(src, None, options)


def _run(src: str, dst: str | None, options: Options) -> None:
    """Do what was asked, then show the report; typer would end on an interrupt without a word."""
    done = "nothing was written"
    try:
        if options.pipeline is not None and options.preset is not None:
            raise errors.InputError("--pipeline and --preset exclude each other; give one of them")
        report = _report(src, dst, options)
        if dst is not None and not options.dry_run:
            done = f"{dst} was written"
        _show(report, options.json, None if options.dry_run else dst)
        refused = [remark for remark in report.failures if remark["id"] == "proof-refused"]
        if refused:
            say(f"error: {len(refused)} rewrites were not proved and are left out; please report it")
            raise typer.Exit(NOT_PROVED)
    except KeyboardInterrupt as interrupt:
        say(f"interrupted; {done}")
        raise typer.Exit(code_of(interrupt)) from None


def _report(src: str, dst: str | None, options: Options) -> Report:
    from tfreuse.bridge.files import checked_path, is_graph_file
    from tfreuse.offline.graphs import optimize_graph_file
    from tfreuse.offline.saved_model import optimize_saved_model
    from tfreuse.pipeline.allowance import parse_limit
    from tfreuse.pipeline.limit import check_time_limit
    from tfreuse.pipeline.text import resolve_pipeline

    given = options.for_any_model()
    # A typing error is told before the seconds that TensorFlow takes.
    resolve_pipeline(given["pipeline"], given["preset"], whole=True)
    check_time_limit(given["time_limit"])
    parse_limit(given["max_memory_growth"])
    checked_path(src, "source")
    _import_tensorflow()
    if is_graph_file(src):
        if options.tags is not None:
            raise errors.InputError("--tags goes with SavedModels; a graph file has none")
        if options.strip_shapes:
            raise errors.InputError("--strip-shapes goes with SavedModels")
        with progress_bar() as progress:
            outputs, inputs = _names(options.outputs), _names(options.inputs)
            return optimize_graph_file(src, dst, outputs=outputs, inputs=inputs, progress=progress, **given)
    if options.outputs is not None or options.inputs is not None:
        raise errors.InputError("--outputs and --inputs go with graph files; a SavedModel has signatures")
    with progress_bar() as progress:
        return optimize_saved_model(src, dst, progress=progress, **given, **options.for_saved_models())


def _show(report: Report, json: bool, written: str | None) -> None:
    if json:
        print(report.to_json())
        return
    from tfreuse.report.table import layout

    Console().print(layout(report.to_dict()))
    if written is not None:
        print(f"written to {errors.printable(written)}")


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


def run() -> None:
    """The entry point."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(exit_code(app))


if __name__ == "__main__":
    run()
