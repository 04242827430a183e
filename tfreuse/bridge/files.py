"""Reading and writing through `tf.io.gfile`; a target appears whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tfreuse.bridge.load import tensorflow
from tfreuse.errors import InputError


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


def check_target(source: str, target: str, overwrite: bool) -> None:
    """Check that `target` may be written.

    Raises:
        InputError: if it is the source or inside it, holds the source, or exists without `overwrite`.
    """
    here, there = _absolute(source), _absolute(target)
    if here == there:
        raise InputError(f"source and target are the same: {target}; name another target")
    if there.startswith(here + "/"):
        raise InputError(f"the target {target} is inside the source {source}; name a target outside of it")
    if here.startswith(there + "/"):
        raise InputError(f"the source {source} is inside the target {target}; name another target")
    with file_errors(f"cannot look at {target}"):
        if gfile().exists(target) and not overwrite:
            raise InputError(f"the target {target} exists; remove it or allow overwriting (--overwrite)")


@contextmanager
def written_whole(target: str) -> Iterator[str]:
    """A path beside `target` to write to; it becomes the target at the end, or goes if anything goes wrong.

    Raises:
        InputError: if the target cannot be written.
    """
    files = gfile()
    parent = os.path.dirname(target.rstrip("/")) or "."
    made = _first_missing(parent)
    mark = uuid.uuid4().hex[:12]
    name = os.path.basename(target.rstrip("/"))
    fresh = os.path.join(parent, f".{name}.tfreuse-{mark}.new")
    old = os.path.join(parent, f".{name}.tfreuse-{mark}.old")
    try:
        with file_errors(f"cannot write {target}"):
            files.makedirs(parent)
            yield fresh
            replaced = files.exists(target)
            if replaced:
                _move(target, old)
            try:
                _move(fresh, target)
            except BaseException:
                remove(target)
                if replaced:
                    _move(old, target)
                raise
            made = ""
            if replaced:
                remove(old)
    finally:
        remove(fresh)
        if made:
            remove(made)


def _move(here: str, there: str) -> None:
    """Rename; in a store, where folders are no more than beginnings of names, copy and remove."""
    files = gfile()
    if "://" not in here:
        files.rename(here, there)
        return
    if files.isdir(here):
        copy_tree(here, there)
    else:
        files.copy(here, there)
    remove(here)


def _first_missing(folder: str) -> str:
    """The uppermost folder that must be made for `folder` to exist; empty if none."""
    missing = ""
    files = gfile()
    while folder and not files.exists(folder):
        missing, above = folder, os.path.dirname(folder)
        if above == folder or above.endswith(":/"):
            break
        folder = above
    return missing


def copy_tree(source: str, target: str, skip: frozenset[str] = frozenset()) -> None:
    """Copy a folder file by file; `skip` names entries of the top folder that stay behind."""
    files = gfile()
    files.makedirs(target)
    for name in files.listdir(source):
        name = name.rstrip("/")
        if name in skip:
            continue
        here, there = os.path.join(source, name), os.path.join(target, name)
        if files.isdir(here):
            copy_tree(here, there)
        else:
            files.copy(here, there)


def read_bytes(path: str) -> bytes:
    """The file's content.

    Raises:
        InputError: if it cannot be read.
    """
    with file_errors(f"cannot read {path}"), gfile().GFile(path, "rb") as file:
        content: bytes = file.read()
        return content


def write_bytes(path: str, content: bytes) -> None:
    """Write a file."""
    with gfile().GFile(path, "wb") as file:
        file.write(content)


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
