"""Opens what the doors of tfreuse rewrite, so that the judge can run it: models, graphs, concrete functions."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np

from tfreuse.bridge import files
from tfreuse.bridge.load import tensorflow
from tfreuse.bridge.savedmodel import SavedModelFolder
from tfreuse.errors import InputError
from tfreuse.ir.graph import Value
from tfreuse.pipeline.run import Result
from tfreuse.validate.magnitudes import as_magnitudes
from tfreuse.validate.numeric import Feeds, Trial, verify
from tfreuse.validate.numeric_programs import Concrete, LoadedModel, Program
from tfreuse.validate.numeric_session import SessionProgram
from tfreuse.validate.signatures import Input, Signature, graph_signatures, saved_signatures

FeedSource = str | PathLike[str] | Mapping[str, Any] | Sequence[str | PathLike[str] | Mapping[str, Any]]


def check_options(count: int, feeds: FeedSource | None, dry_run: bool = False) -> Feeds | None:
    """The feeds read from disk, where they are files; None where there are none.

    Raises:
        InputError: for options that do not go together, or a file that cannot be read.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise InputError(f"verify takes how many feeds to run, 0 or more, not {count!r}")
    if feeds is not None and not count:
        raise InputError("feeds are for verification; ask for it (verify=1, --verify 1)")
    if dry_run and count:
        raise InputError("a dry run gives no result that could be verified; leave out one of both")
    if feeds is None or isinstance(feeds, Mapping):
        return feeds
    if isinstance(feeds, (str, PathLike)):
        return _read_feeds(fspath(feeds))
    return [entry if isinstance(entry, Mapping) else _read_feeds(fspath(entry)) for entry in feeds]


def verify_saved_model(
    source: str, target: str, parts: Sequence[tuple[Any, Result]], count: int, feeds: Feeds | None
) -> dict[str, Any]:
    """Judge the model in `target`; `parts` are the `MetaGraphDef`s that were rewritten and the pipeline's results.

    Raises:
        VerificationError: naming the first difference.
    """
    with tempfile.TemporaryDirectory(prefix="tfreuse-") as room:
        trials = [
            _saved_trial(source, target, meta_graph, result, f"{room}/{number}")
            for number, (meta_graph, result) in enumerate(parts)
        ]
        return verify(trials, count, feeds)


def verify_graph_def(
    before: Any,
    after: Any,
    result: Result,
    outputs: Sequence[str],
    inputs: Sequence[str],
    count: int,
    feeds: Feeds | None = None,
) -> dict[str, Any]:
    """Judge the graph `after` by the graph `before`; variables without a value get invented ones.

    Raises:
        VerificationError: naming the first difference.
    """
    graph = result.before.graphs.get("")
    if graph is None:
        raise InputError(f"the graph cannot be verified: {result.before.opaque.get('', 'it cannot be read')}")
    signatures = graph_signatures(graph, outputs, inputs, result.ops)

    def opened(graph_def: Any) -> Callable[[], Program]:
        def fill(_session: Any) -> None:
            tensorflow().graph_util.import_graph_def(graph_def, name="")

        return lambda: SessionProgram(signatures, fill, _invented)

    def magnitudes() -> Program:
        copy = type(before)()
        copy.CopyFrom(before)
        as_magnitudes(copy)
        return opened(copy)()

    given = None if feeds is None else _of_every(signatures, [feeds] if isinstance(feeds, Mapping) else feeds)
    return verify([Trial(result, signatures, opened(before), opened(after), magnitudes)], count, given)


def verify_function(before: Any, after: Any, result: Result, outputs: Sequence[Any], count: int) -> dict[str, Any]:
    """Judge a concrete function by another; `outputs` are the tensors that it gives, in order.

    Raises:
        VerificationError: naming the first difference.
    """
    tf = tensorflow()
    captured = {id(placeholder) for _, placeholder in before.graph.captures}
    fed = [tensor for tensor in before.graph.inputs if id(tensor) not in captured]
    specs = [leaf for leaf in tf.nest.flatten(before.structured_input_signature) if isinstance(leaf, tf.TensorSpec)]
    alike = [(spec.dtype, spec.shape.as_list() if spec.shape.rank is not None else None) for spec in specs]
    taken = [(tensor.dtype, tensor.shape.as_list() if tensor.shape.rank is not None else None) for tensor in fed]
    refusal = "" if alike == taken else "it takes arguments that are no tensors"
    inputs = [
        Input(
            str(number),
            Value(tensor.op.name),
            tensor.dtype.as_datatype_enum,
            None if tensor.shape.rank is None else tuple(-1 if size is None else size for size in tensor.shape),
        )
        for number, tensor in enumerate(fed)
    ]
    given = tuple((str(number), Value(tensor.op.name, tensor.value_index)) for number, tensor in enumerate(outputs))
    signature = Signature(before.graph.name, tuple(inputs), given, refusal)
    return verify([Trial(result, [signature], lambda: Concrete(before), lambda: Concrete(after))], count)


def _saved_trial(source: str, target: str, meta_graph: Any, result: Result, room: str) -> Trial:
    graph = result.before.graphs.get("")
    signatures = [] if graph is None else saved_signatures(meta_graph, graph)
    tags = list(meta_graph.meta_info_def.tags)
    eager = bool(len(meta_graph.object_graph_def.nodes))

    def in_session(path: str) -> Program:
        def fill(session: Any) -> None:
            logger = tensorflow().get_logger()
            level = logger.level
            logger.setLevel("ERROR")  # it tells to use another function, which cannot load these models
            try:
                tensorflow().compat.v1.saved_model.load(session, tags, path)
            finally:
                logger.setLevel(level)

        return SessionProgram([entry for entry in signatures if not entry.refusal], fill)

    def original() -> Program:
        nonlocal eager
        if eager:
            try:
                return LoadedModel(source, tags)
            except Exception:  # noqa: BLE001  # whatever TensorFlow 2 dislikes in an old model
                eager = False
        return in_session(source)

    def rewritten() -> Program:
        return LoadedModel(target, tags) if eager else in_session(target)

    def magnitudes() -> Program:
        folder = SavedModelFolder(source)
        for part in folder.meta_graphs(tags):
            as_magnitudes(part.graph_def)
        folder.write(room)
        return LoadedModel(room, tags) if eager else in_session(room)

    return Trial(result, signatures, original, rewritten, magnitudes, ",".join(tags))


def _of_every(signatures: Sequence[Signature], feeds: Sequence[Mapping[str, Any]]) -> Feeds:
    """The user's feeds of a bare graph, whose inputs are called alike in all of its entries."""
    return [{f"{entry.name}/{name}": feed[name] for entry in signatures for name in feed} for feed in feeds]


def _invented(shape: tuple[int, ...], dtype: Any, name: str) -> Any:
    """A value for a variable that a graph without a checkpoint does not have: the same for the same name."""
    random = np.random.default_rng(list(name.encode()))
    kind = np.dtype(dtype.as_numpy_dtype)
    if dtype.is_floating or dtype.is_complex:
        return random.standard_normal(shape).astype(kind)
    if dtype.is_bool:
        return random.random(shape) < 0.5
    return random.integers(0, 9, shape).astype(kind)


def _read_feeds(path: str) -> Mapping[str, Any]:
    import io
    import zipfile

    content = io.BytesIO(files.read_bytes(path))
    try:
        with np.load(content, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (ValueError, OSError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise InputError(f"{path} is no .npz file of arrays ({str(error).splitlines()[0]})") from None
