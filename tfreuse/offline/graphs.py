"""`optimize_graph_def`, `optimize` and graph files: graphs without the folder of a SavedModel around them."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import Any

from tfreuse.bridge import files
from tfreuse.bridge.load import tensorflow
from tfreuse.bridge.module import MAIN, ops_of, read_module, write_module
from tfreuse.bridge.public_names import node_of
from tfreuse.bridge.savedmodel import parse, part_of_a_saved_model, serialize
from tfreuse.bridge.whole import written_whole
from tfreuse.errors import InputError
from tfreuse.offline.names import check_names, check_ports, check_spelling
from tfreuse.offline.rewrite import damages, rewrite_in_place
from tfreuse.pipeline.run import Progress, Result
from tfreuse.pipeline.text import Pipeline, resolve_pipeline
from tfreuse.report.document import make_report
from tfreuse.report.report import Report
from tfreuse.validate.numeric_doors import FeedSource, check_options, verify_function, verify_graph_def
from tfreuse.validate.proved import run_proved


def optimize_graph_def(
    graph_def: Any,
    *,
    outputs: Iterable[str],
    inputs: Iterable[str] = (),
    pipeline: str | Pipeline | None = None,
    preset: str = "exact",
    proof: bool = True,
    verify: int = 0,
    feeds: FeedSource | None = None,
    time_limit: float | None = None,
    max_memory_growth: str | int | None = None,
) -> tuple[Any, Report]:
    """A copy of `graph_def` in which equal work is shared, and the report.

    Args:
        graph_def: a `tf.compat.v1.GraphDef`; it is not changed.
        outputs: names of the nodes or tensors (`y` or `y:0`) that are fetched; these names survive.
        inputs: names of nodes that are fed, beside placeholders; their values are taken as unknown.
        pipeline: passes as text or sequence; instead of `preset`.
        preset: the name of a pipeline.
        proof: prove the rewrite, and leave a graph whose proof is refused as it was.
        verify: run both graphs on so many generated feeds; nothing is run by default.
        feeds: with `verify`, the feeds to run instead: a `.npz` file or a mapping of arrays by the names of the
            inputs, or several.
        time_limit: seconds that each pass may take; one that takes longer is given up, with a remark.
        max_memory_growth: by how much the estimated peak of memory may grow: bytes, `64MiB` or `10%`; merges beyond
            that are left out, with a remark.

    Raises:
        InputError: if a name, an option or the graph cannot be used.
        VerificationError: if the result does not give what the original gives.
    """
    given = check_options(verify, feeds)
    tf = tensorflow()
    if not isinstance(graph_def, tf.compat.v1.GraphDef):
        raise InputError(f"expected a GraphDef, not {type(graph_def).__name__}")
    copy = tf.compat.v1.GraphDef()
    for name in ("versions", "library", "debug_info"):
        if graph_def.HasField(name):
            getattr(copy, name).CopyFrom(getattr(graph_def, name))
    steps = resolve_pipeline(pipeline, preset)
    fetched, fed = list(outputs), list(inputs)
    result = _optimize(
        copy,
        fetched,
        fed,
        steps,
        "the graph",
        nodes=graph_def.node,
        proof=proof,
        time_limit=time_limit,
        max_memory_growth=max_memory_growth,
    )
    found = verify_graph_def(graph_def, copy, result, fetched, fed, verify, given) if verify else None
    return copy, make_report([result], {"kind": "GraphDef", "name": "graph"}, steps, verification=found)


def optimize(
    concrete_function: Any,
    *,
    pipeline: str | Pipeline | None = None,
    preset: str = "exact",
    proof: bool = True,
    verify: int = 0,
    max_memory_growth: str | int | None = None,
) -> tuple[Any, Report]:
    """A concrete function that computes what `concrete_function` does with equal work shared, and the report.

    The function's graph and the bodies of its loops and branches are rewritten and imported again, with
    captures, variables and signature; functions that it calls are left as they are (`@tfreuse.dedupe` reaches
    them). `verify` runs both on so many generated feeds, from the same values of the variables, which are put back.
    `max_memory_growth` is that of `optimize_graph_def`.

    Raises:
        InputError: if it is no concrete function.
        VerificationError: if the result does not give what the original gives.
        NotSupportedError: if importing would lose something: a custom gradient, a capture evaluated at call
            time, a call inside a loop or branch.
    """
    from tfreuse.runtime.called import with_bodies
    from tfreuse.runtime.live import declared_outputs, with_outputs
    from tfreuse.runtime.reimport import body_functions, check_importable, import_function

    check_options(verify, None)
    steps = resolve_pipeline(pipeline, preset)
    graph_def = check_importable(concrete_function)
    graph = concrete_function.graph
    ops = ops_of(graph_def)
    inputs = dict.fromkeys(tensor.op.name for tensor in graph.inputs)
    outputs = declared_outputs(graph)
    kept = {tensor.op.name for tensor in outputs} - inputs.keys()
    module = read_module(graph_def, ops, arguments=inputs, kept={MAIN: kept})
    module = with_outputs(module, graph, outputs, graph.control_outputs)
    module, gradients = with_bodies(module, ops, graph, in_place=False)
    if MAIN in module.opaque:
        raise InputError(f"{graph.name} cannot be optimised: {module.opaque[MAIN]}")
    skip = frozenset(module.graphs) - {MAIN, *body_functions(graph_def)}
    result = run_proved(module, ops, steps, skip=skip, proof=proof, max_memory_growth=max_memory_growth)
    write_module(module, result.after, graph_def, ops, origins=result.origins)
    result.labels[MAIN] = graph.name
    must_run = [name for _, name in result.after.graphs[MAIN].control_outputs]
    optimized = import_function(concrete_function, graph_def, must_run, gradients)
    found = verify_function(concrete_function, optimized, result, outputs, verify) if verify else None
    return optimized, make_report([result], {"kind": "function", "name": graph.name}, steps, verification=found)


def optimize_graph_file(
    src: str | PathLike[str],
    dst: str | PathLike[str] | None,
    *,
    outputs: Iterable[str],
    inputs: Iterable[str] = (),
    pipeline: str | Pipeline | None = None,
    preset: str = "exact",
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
    proof: bool = True,
    verify: int = 0,
    feeds: FeedSource | None = None,
    time_limit: float | None = None,
    max_memory_growth: str | int | None = None,
) -> Report:
    """Write to `dst` the graph of `src` with equal work shared; `.pb` is binary, `.pbtxt` is text.

    `verify`, `feeds`, `time_limit` and `max_memory_growth` are those of `optimize_graph_def`.

    Raises:
        InputError: if a path, a name, an option or the graph cannot be used.
        VerificationError: if the result does not give what the original gives; nothing is written.
    """
    given = check_options(verify, feeds, dry_run)
    steps = resolve_pipeline(pipeline, preset)
    source = files.checked_path(src, "source")
    target = None if dst is None or dry_run else files.checked_path(dst, "target")
    if not dry_run:
        if target is None:
            raise InputError("no target; name one, or ask for a dry run")
        files.check_target(source, target, overwrite)
        with files.file_errors(f"cannot look at {target}"):
            if files.gfile().isdir(target):
                raise InputError(f"the target {target} is a folder; name a file")
    graph_def = _read(source)
    fetched, fed = list(outputs), list(inputs)
    before = type(graph_def)()
    if verify:
        before.CopyFrom(graph_def)
    result = _optimize(
        graph_def,
        fetched,
        fed,
        steps,
        source,
        progress=progress,
        proof=proof,
        time_limit=time_limit,
        max_memory_growth=max_memory_growth,
    )
    found = verify_graph_def(before, graph_def, result, fetched, fed, verify, given) if verify else None
    model = {"kind": "GraphDef", "name": source, "target": target}
    report = make_report([result], model, steps, verification=found)
    with damages(source):
        report.to_dict()  # whatever may fail has to do so before the target is there
    if target is not None:
        data = serialize(graph_def, target)
        with written_whole(target, overwrite) as fresh:
            files.write_bytes(fresh, data)
    return report


def _read(source: str) -> Any:
    with files.file_errors(f"cannot read {source}"):
        if not files.gfile().exists(source):
            raise InputError(f"{source} does not exist")
    try:
        content = files.read_bytes(source)
        graph_def = parse(tensorflow().compat.v1.GraphDef(), content, source, f"{source} is no graph")
        if not graph_def.node:
            raise InputError(f"{source} is no graph: it holds no node")
    except InputError as error:
        raise part_of_a_saved_model(source) or error from None
    return graph_def


def _optimize(
    graph_def: Any,
    outputs: list[str],
    inputs: list[str],
    steps: Pipeline,
    source: str,
    *,
    proof: bool,
    time_limit: float | None,
    progress: Progress | None = None,
    nodes: Any = None,
    max_memory_growth: str | int | None = None,
) -> Result:
    if not outputs:
        raise InputError("no outputs; name the nodes that are fetched (outputs=..., --outputs)")
    names = [*outputs, *inputs]
    check_spelling(names)
    read = graph_def.node if nodes is None else nodes
    try:
        result = rewrite_in_place(
            graph_def,
            steps,
            source,
            arguments=dict.fromkeys(map(node_of, inputs)),
            kept={MAIN: set(map(node_of, outputs))},
            progress=progress,
            nodes=nodes,
            proof=proof,
            time_limit=time_limit,
            max_memory_growth=max_memory_growth,
        )
    except InputError:
        check_names(names, read, source)  # a missing name is found while the graph is read: say it in the user's terms
        raise
    if MAIN in result.before.opaque:
        check_names(names, read, source)
    with damages(source):
        check_ports(names, result, source)
    return result
