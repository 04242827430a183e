"""A SavedModel folder: found, parsed, and written again by editing its protocol buffer."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from typing import Any

from tfreuse.bridge import files
from tfreuse.bridge.load import tensorflow
from tfreuse.bridge.whole import written_whole
from tfreuse.errors import InputError

BINARY, TEXT, SPLIT = "saved_model.pb", "saved_model.pbtxt", "saved_model.cpb"
FINGERPRINT = "fingerprint.pb"
VARIABLES = "variables/variables."
_SHARD = re.compile(r"data-(\d{5})-of-(\d{5})")


class SavedModelFolder:
    """A SavedModel at `path`, parsed into `proto`; nothing of the model is loaded or run.

    Raises:
        InputError: if there is no SavedModel at the path or it cannot be parsed.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.file = _find(path)
        with files.file_errors(f"cannot read {path}"):
            self._seen = files.stamps(path)
        content = files.read_bytes(os.path.join(path, self.file))
        self.proto = parse(_saved_model(), content, self.file, f"{path} is no SavedModel")
        if not self.proto.meta_graphs:
            raise InputError(f"{path} is no SavedModel: {self.file} holds no graph")

    def meta_graphs(self, tags: Iterable[str] | None = None) -> list[Any]:
        """The graphs with exactly these tags, or all.

        Raises:
            InputError: if none has them, naming those that exist.
        """
        if tags is None:
            return list(self.proto.meta_graphs)
        named = tags.split(",") if isinstance(tags, str) else tags
        wanted = {tag.strip() for tag in named if tag.strip()}
        found = [graph for graph in self.proto.meta_graphs if set(graph.meta_info_def.tags) == wanted]
        if not found:
            present = "; ".join(",".join(graph.meta_info_def.tags) or "none" for graph in self.proto.meta_graphs)
            asked = f"tagged {','.join(sorted(wanted))}" if wanted else "without tags"
            raise InputError(f"{self.path} has no graph {asked}; it has: {present}")
        return found

    def check_unchanged(self) -> None:
        """Check that the folder is still what it was when the model was read.

        Raises:
            InputError: naming the first file that is not.
        """
        with files.file_errors(f"cannot read {self.path}"):
            now = files.stamps(self.path)
        if now != self._seen:
            name = min(name for name in now.keys() | self._seen if now.get(name, ()) != self._seen.get(name, ()))
            raise InputError(f"{self.path} changed while it was read ({name}); try again when it is whole")

    def check_variables(self) -> None:
        """Check that the variables' index and all of its shards are there, as far as file names tell.

        Raises:
            InputError: naming the first that is missing.
        """
        names = [name.removeprefix(VARIABLES) for name in self._seen if name.startswith(VARIABLES)]
        shards = {(int(found[1]), int(found[2])) for name in names if (found := _SHARD.fullmatch(name))}
        counts = {count for _, count in shards} or {1}
        missing = "index" if "index" not in names else min(_missing_shard(shards, count) for count in counts)
        if missing and (shards or "index" in names or _has_variables(self.proto)):
            raise InputError(f"{self.path} is not whole: {VARIABLES}{missing} is missing")

    def write(self, target: str, check: Callable[[str], None] | None = None, overwrite: bool = True) -> None:
        """Write the edited model to `target`, everything beside the graph carried as it is.

        `check` is called with the folder while it is not yet the target, and prevents that by raising.

        Raises:
            InputError: if a part of the source is missing or has changed, or the target cannot be written.
        """
        self.check_variables()
        with written_whole(target, overwrite) as fresh:
            files.copy_tree(self.path, fresh, skip=frozenset({self.file, FINGERPRINT}))
            files.write_bytes(os.path.join(fresh, self.file), serialize(self.proto, self.file))
            if files.gfile().exists(os.path.join(self.path, FINGERPRINT)) and _bears_fingerprinting(self.proto):
                _write_fingerprint(self.path, fresh)
            if check is not None:
                check(fresh)
            self.check_unchanged()


def check_replaced(target: str) -> None:
    """Check that nothing but a SavedModel, an empty folder or a file stands where one is to be written.

    Raises:
        InputError: if something does; that is not for tfreuse to remove.
    """
    with files.file_errors(f"cannot look at {target}"):
        store = files.gfile()
        if not store.isdir(target) or any(store.exists(os.path.join(target, name)) for name in (BINARY, TEXT, SPLIT)):
            return
        if store.listdir(target):
            raise InputError(f"the target {target} is not a SavedModel; remove it yourself, or name another target")


def part_of_a_saved_model(path: str) -> InputError | None:
    """The error to raise for a file that is a SavedModel's, where a folder or a graph file is wanted."""
    folder, name = os.path.split(path)
    if name not in (BINARY, TEXT):
        return None
    return InputError(
        f"{path} is part of a SavedModel, and no SavedModel or graph by itself; name its folder: {folder or '.'}"
    )


def parse(proto: Any, content: bytes, name: str, complaint: str) -> Any:
    """Parse binary or, by the file's ending, text form into `proto`.

    Raises:
        InputError: beginning with `complaint`.
    """
    from google.protobuf import text_format
    from google.protobuf.message import DecodeError, EncodeError

    try:
        if name.endswith("txt"):
            text_format.Parse(content.decode(), proto)
            # Text may be nested more deeply than the binary form, which printing and copying use, allows.
            proto.ParseFromString(proto.SerializeToString())
        else:
            proto.ParseFromString(content)
    except (EncodeError, RecursionError):
        raise InputError(f"{complaint}: {name} is nested too deeply, or larger than 2 GB") from None
    except (DecodeError, text_format.ParseError, UnicodeDecodeError) as error:
        raise InputError(f"{complaint}: {name} cannot be parsed ({str(error).splitlines()[0]})") from None
    return proto


def serialize(proto: Any, name: str) -> bytes:
    """The proto in the form that the file's ending asks for, the same bytes for equal protos.

    Raises:
        InputError: if it is larger than a protocol buffer may be.
    """
    from google.protobuf import text_format
    from google.protobuf.message import EncodeError

    if name.endswith("txt"):
        text: str = text_format.MessageToString(proto)
        return text.encode()
    try:
        data: bytes = proto.SerializeToString(deterministic=True)
    except (EncodeError, ValueError) as error:
        raise InputError(f"the graph is too large for one file ({error})") from None
    return data


def _find(path: str) -> str:
    with files.file_errors(f"cannot read {path}"):
        exists = files.gfile().exists
        if not exists(path):
            raise InputError(f"{path} does not exist")
        if not files.gfile().isdir(path):
            hint = f"{path} is no SavedModel: it is a file; the command knows graph files by their end, .pb or .pbtxt"
            raise part_of_a_saved_model(path) or InputError(hint)
        for name in (BINARY, TEXT):
            if exists(os.path.join(path, name)):
                return name
        if exists(os.path.join(path, SPLIT)):
            raise InputError(f"{path} is a split SavedModel ({SPLIT}), which tfreuse cannot read; save it unsplit")
    raise InputError(f"{path} is no SavedModel: it holds no {BINARY} and no {TEXT}")


def _saved_model() -> Any:
    tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    return saved_model_pb2.SavedModel()


def _missing_shard(present: set[tuple[int, int]], count: int) -> str:
    """The name of the first of `count` shards that is missing, or nothing."""
    missing = (f"data-{number:05}-of-{count:05}" for number in range(count) if (number, count) not in present)
    return next(missing, "")


def _has_variables(proto: Any) -> bool:
    """Whether TensorFlow would look for variables; the object graph tells (TensorFlow 1 wrote none)."""
    nodes = (node for meta_graph in proto.meta_graphs for node in meta_graph.object_graph_def.nodes)
    return any(node.HasField("variable") for node in nodes)


def _bears_fingerprinting(proto: Any) -> bool:
    """Whether TensorFlow's fingerprinting, which ends the process where an attribute is missing, finds all of them."""
    needed = {"Const": ("dtype", "value"), "PartitionedCall": ("f",), "StatefulPartitionedCall": ("f",)}
    nodes = (node for meta_graph in proto.meta_graphs for node in meta_graph.graph_def.node)
    return all(name in node.attr for node in nodes for name in needed.get(node.op, ()))


def _write_fingerprint(source: str, target: str) -> None:
    """Let TensorFlow compute the fingerprint, and derive its random identifier from the source's and the content.

    A fingerprint is optional: where it cannot be computed, the target has none.
    """
    from tensorflow.core.protobuf import fingerprint_pb2
    from tensorflow.python.saved_model import fingerprinting_utils

    fingerprint, old = fingerprint_pb2.FingerprintDef(), fingerprint_pb2.FingerprintDef()
    path = os.path.join(target, FINGERPRINT)
    try:
        fingerprinting_utils.write_fingerprint(target)
        fingerprint.ParseFromString(files.read_bytes(path))
        old.ParseFromString(files.read_bytes(os.path.join(source, FINGERPRINT)))
    except Exception:  # noqa: BLE001  # whatever TensorFlow raises here, the model is whole without it
        files.remove(path)
        return
    if "uuid" in fingerprint.DESCRIPTOR.fields_by_name:  # TensorFlow 2.16 knows none
        fingerprint.uuid = ""
        seed = old.uuid.encode() + fingerprint.SerializeToString(deterministic=True)
        fingerprint.uuid = str(int.from_bytes(hashlib.blake2b(seed, digest_size=8).digest(), "big"))
    files.remove(path)  # not every store cuts off what was longer
    files.write_bytes(path, fingerprint.SerializeToString(deterministic=True))
