"""`optimize_saved_model` and `inspect`: a SavedModel's protocol buffer edited, nothing loaded, nothing run."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import Any

from tfreuse.bridge import files
from tfreuse.bridge.checkpoint import Repeated, repeated_weights
from tfreuse.bridge.library import function_names, write_library
from tfreuse.bridge.module import MAIN
from tfreuse.bridge.public_names import public_names
from tfreuse.bridge.savedmodel import SavedModelFolder, check_replaced
from tfreuse.errors import InputError
from tfreuse.ir.graph import Module
from tfreuse.offline.rewrite import damages, rewrite_in_place
from tfreuse.passes.strip_shapes import StripShapes
from tfreuse.pipeline.library import Library, LibraryPass
from tfreuse.pipeline.run import Progress, Result
from tfreuse.pipeline.text import Pipeline, resolve_pipeline
from tfreuse.remarks.remark import Remark
from tfreuse.report.document import make_report
from tfreuse.report.report import Report
from tfreuse.validate.numeric_doors import FeedSource, check_options, verify_saved_model


def optimize_saved_model(
    src: str | PathLike[str],
    dst: str | PathLike[str] | None,
    *,
    pipeline: str | Pipeline | None = None,
    preset: str = "exact",
    tags: Iterable[str] | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
    proof: bool = True,
    verify: int = 0,
    feeds: FeedSource | None = None,
    time_limit: float | None = None,
    strip_shapes: bool = False,
    weights: bool = False,
) -> Report:
    """Write to `dst` the SavedModel of `src` with equal work shared.

    Signatures, variables and assets stay as they are, and so does the object graph, but that of functions which it
    cannot tell apart it may name one; `variables/` and `assets/` are copied byte by byte. Paths may be any that
    `tf.io.gfile` knows. The source is never written to, and the target appears whole or not at all.

    Args:
        src: folder of a SavedModel of TensorFlow 1 or 2.
        dst: folder to make; may be None with `dry_run`.
        pipeline: passes as text or sequence; instead of `preset`.
        preset: the name of a pipeline.
        tags: optimise only the graph with exactly these tags (a text has them separated by commas); by default all.
        overwrite: replace an existing `dst`.
        dry_run: report, and write nothing.
        progress: called before each function with its name, its number and how many there are.
        proof: prove each rewrite, and leave a graph whose proof is refused as it was.
        verify: run both models on so many generated feeds for each signature before anything is written; nothing
            is run by default.
        feeds: with `verify`, the feeds to run instead: a `.npz` file or a mapping, or several, with arrays named
            `SIGNATURE/INPUT`, or `INPUT` where there is one signature only.
        time_limit: seconds that each pass may take over all graphs of one set of tags; a pass that takes longer is
            given up, with a remark, and the model is written without what it did to the graph that it was at.
        strip_shapes: drop the static shapes that nodes record, which TensorFlow infers anew (the pass `strip-shapes`).
        weights: report weights that the checkpoint holds more than once, by content; all of it is read for that.

    Returns:
        The report.

    Raises:
        InputError: if a path, an option or the model cannot be used.
        TensorFlowMissingError: if TensorFlow cannot be imported.
        VerificationError: if the result does not give what the original gives; nothing is written.
    """
    steps = resolve_pipeline(pipeline, preset, whole=True)
    if strip_shapes and StripShapes() not in steps:
        place = next((i for i, step in enumerate(steps) if isinstance(step, LibraryPass)), len(steps))
        steps = (*steps[:place], StripShapes(), *steps[place:])
    source = files.checked_path(src, "source")
    target = None if dst is None or dry_run else files.checked_path(dst, "target")
    given = check_options(verify, feeds, dry_run)
    if not dry_run:
        if target is None:
            raise InputError("no target; name one, or ask for a dry run")
        files.check_target(source, target, overwrite)
        check_replaced(target)
    folder = SavedModelFolder(source)
    size = folder.proto.ByteSize()
    results: list[Result] = []
    verification: dict[str, Any] = {}
    meta_graphs = folder.meta_graphs(tags)
    for meta_graph in meta_graphs:
        names = public_names(meta_graph)

        def library(
            module: Module, meta_graph: Any = meta_graph, frozen: Iterable[str] = names.frozen_functions
        ) -> Library:
            found = function_names(meta_graph, frozen, module.opaque)
            return Library(found.declared, found.public, frozenset(found.pinned))

        result = rewrite_in_place(
            meta_graph.graph_def,
            steps,
            source,
            arguments=names.fed,
            kept=names.kept,
            frozen={MAIN: names.frozen},
            skip=frozenset(names.frozen_functions),
            progress=progress,
            proof=proof,
            time_limit=time_limit,
            library=library,
        )
        write_library(meta_graph, result.library.merged, result.library.removed)
        result.labels.update(names.labels)
        for name in sorted(names.frozen_functions):
            result.remarks.add(Remark("save-restore-function", name, ()))
        results.append(result)
    report = make_report(
        results,
        {"kind": "SavedModel", "name": source, "target": target},
        steps,
        verification=verification,
        sizes=(size, folder.proto.ByteSize()),
        weights=_weights(source, results[0]) if weights else None,
    )

    def check(fresh: str | None = None) -> None:
        """Whatever may fail has to do so before the target is there."""
        if verify and fresh is not None:
            parts = list(zip(meta_graphs, results, strict=True))
            verification.update(verify_saved_model(source, fresh, parts, verify, given))
        with damages(source):
            report.to_dict()

    if target is not None:
        folder.write(target, check, overwrite)
    else:
        check()
    return report


def _weights(source: str, result: Result) -> list[Repeated] | None:
    """What the checkpoint holds more than once; a remark, and None, if it cannot be read."""
    try:
        return repeated_weights(source)
    except InputError as error:
        result.remarks.add(Remark("checkpoint-unreadable", "", (), str(error)))
        return None
