"""Paths and files through `tf.io.gfile`, with what goes wrong told in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike, fspath
from typing import Any

from tfreuse.bridge.load import tensorflow
from tfreuse.errors import InputError

_DEEPEST = 30


def gfile() -> Any:
    """`tf.io.gfile`."""
    return tensorflow().io.gfile


@contextmanager
def file_errors(what: str) -> Iterator[None]:
    """Turns what goes wrong with files into one line: `what` is, for example, "cannot write PATH".

    Raises:
        InputError: instead of TensorFlow's and the system's errors.
    """
    try:
        yield
    except tensorflow().errors.OpError as error:
        raise InputError(f"{what}: {_first_line(error.message)}") from None
    except OSError as error:
        raise InputError(f"{what}: {error.strerror or error}") from None


def checked_path(path: str | PathLike[str], role: str) -> str:
    """The path as text; `role` is "source" or "target".

    Raises:
        InputError: if no file can have it.
    """
    text = fspath(path)
    if not isinstance(text, str):
        raise InputError(f"the {role} path {text!r} is no text; decode it (os.fsdecode)")
    if not text:
        raise InputError(f"the {role} path is empty; name a SavedModel folder or a graph file")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"the {role} path {text} is not UTF-8, which TensorFlow needs; rename it") from None
    if "\0" in text:
        raise InputError(f"the {role} path {text} holds a zero byte; name another")
    return text


def is_graph_file(path: str) -> bool:
    """Whether the path is a graph file's, as opposed to a SavedModel folder's (which may end in `.pb` too).

    Raises:
        InputError: if the file system cannot be asked.
    """
    with file_errors(f"cannot look at {path}"):
        return path.endswith((".pb", ".pbtxt")) and not gfile().isdir(path)


def check_target(source: str, target: str, overwrite: bool) -> None:
    """Check that `target` may be written.

    Raises:
        InputError: if it is the source or inside it, holds the source, or exists without `overwrite`.
    """
    with file_errors(f"cannot look at {target}"):
        here, there = _absolute(source), _absolute(target)
        if here == there:
            raise InputError(f"source and target are the same: {target}; name another target")
        if there.startswith(here.rstrip("/") + "/"):
            raise InputError(f"the target {target} is inside the source {source}; name a target outside of it")
        if here.startswith(there.rstrip("/") + "/"):
            raise InputError(f"the source {source} is inside the target {target}; name another target")
        if gfile().exists(target) and not overwrite:
            raise InputError(f"the target {target} exists; remove it or allow overwriting (--overwrite)")


def below(folder: str, within: str = "") -> Iterator[tuple[str, bool]]:
    """What is below a folder, links followed: each name, relative to it, and whether it is a folder.

    Raises:
        InputError: for a link that leads back to a folder around it.
    """
    if within.count("/") > _DEEPEST:
        raise InputError(f"{folder} has too many folders in one another; does a link lead back?")
    for name in sorted(gfile().listdir(os.path.join(folder, within) if within else folder)):
        name = os.path.join(within, name.rstrip("/"))
        is_folder = gfile().isdir(os.path.join(folder, name))
        yield name, is_folder
        if is_folder:
            yield from below(folder, name)


def stamps(folder: str) -> dict[str, tuple[int, int] | None]:
    """The length and the time of the latest change of every file below a folder; None for what cannot be looked at."""
    return {name: None if is_folder else stamp(os.path.join(folder, name)) for name, is_folder in below(folder)}


def stamp(path: str) -> tuple[int, int] | None:
    """The file's length and the time of its latest change; None if it cannot be looked at."""
    with suppress(tensorflow().errors.OpError):
        found = gfile().stat(path)
        return found.length, found.mtime_nsec
    return None


def copy_tree(source: str, target: str, skip: frozenset[str] = frozenset()) -> None:
    """Copy a folder file by file; `skip` names entries of the top folder that stay behind.

    Raises:
        InputError: if a copy is shorter than the file.
    """
    files = gfile()
    files.makedirs(target)
    for name, is_folder in below(source):
        here, there = os.path.join(source, name), os.path.join(target, name)
        if name.split("/")[0] in skip:
            continue
        if is_folder:
            files.makedirs(there)
        else:
            files.copy(here, there)
            _check_length(there, files.stat(here).length)


def read_bytes(path: str) -> bytes:
    """The file's content.

    Raises:
        InputError: if it cannot be read, or is written to meanwhile.
    """
    with file_errors(f"cannot read {path}"):
        before = stamp(path)
        with gfile().GFile(path, "rb") as file:
            content: bytes = file.read()
        if stamp(path) != before:
            raise InputError(f"{path} changed while it was read; try again when it is whole")
        return content


def write_bytes(path: str, content: bytes) -> None:
    """Write a file.

    Raises:
        InputError: if less than that arrived.
    """
    with gfile().GFile(path, "wb") as file:
        file.write(content)
    _check_length(path, len(content))


def _check_length(path: str, length: int) -> None:
    """A disk that is full need not say so."""
    found = gfile().stat(path).length
    if found != length:
        raise InputError(f"cannot write {path}: {found} of {length} bytes arrived; is the disk full?")


def remove(path: str) -> None:
    """Remove a file or folder if it is there."""
    files = gfile()
    # Some stores say that a folder which was renamed is still there.
    with suppress(tensorflow().errors.NotFoundError):
        if files.exists(path):
            files.rmtree(path) if files.isdir(path) else files.remove(path)


def _absolute(path: str) -> str:
    path = path.removeprefix("file://")
    return path.rstrip("/") if "://" in path else os.path.realpath(path)


def _first_line(text: str) -> str:
    return (text or "").strip().splitlines()[0] if (text or "").strip() else "unknown error"
