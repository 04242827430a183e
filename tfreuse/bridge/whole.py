"""Writing through `tf.io.gfile`: a target appears whole or not at all, and what it replaces goes last."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tfreuse.bridge import files
from tfreuse.errors import InputError


@contextmanager
def written_whole(target: str) -> Iterator[str]:
    """A path beside `target` to write to; it becomes the target at the end, or goes if anything goes wrong.

    Raises:
        InputError: if the target cannot be written.
    """
    store = files.gfile()
    with files.file_errors(f"cannot write {target}"):
        place = target.rstrip("/") if "://" in target else os.path.realpath(target)  # a link goes on leading there
        parent, name = os.path.split(place)
        mark = f".{name[:50]}.tfreuse-{uuid.uuid4().hex[:12]}"
        fresh, old = os.path.join(parent, f"{mark}.new"), os.path.join(parent, f"{mark}.old")
        missing = _missing(parent)
        try:
            store.makedirs(parent)
            yield fresh
            _put(fresh, place, old)
        except BaseException:
            _quietly(files.remove, fresh)
            for folder in missing:
                _quietly(_remove_empty, folder)
            raise
        _quietly(files.remove, old)


def _put(fresh: str, target: str, old: str) -> None:
    """Move what is at `target` to `old`, and `fresh` to `target`; if that fails, the target is as it was."""
    store = files.gfile()
    try:
        if store.exists(target):
            _move(target, old)
        _move(fresh, target)
    except BaseException as error:
        # An interrupt comes between any two steps, so what has been done is told from what is there.
        try:
            replaced = store.exists(old)
            if not store.exists(fresh) or (replaced and "://" in target):
                files.remove(target)
            if replaced:
                _move(old, target)
        except Exception:  # noqa: BLE001  # whatever it is, the user must hear where the old target may be
            raise InputError(f"cannot write {target} ({error}); what was there may now be {old}") from None
        raise


def _move(here: str, there: str) -> None:
    """Rename; in a store, where folders are no more than beginnings of names, copy and remove."""
    store = files.gfile()
    if "://" not in here:
        store.rename(here, there)
        return
    try:
        if store.isdir(here):
            files.copy_tree(here, there)
        else:
            store.copy(here, there)
    except BaseException:
        _quietly(files.remove, there)
        raise
    files.remove(here)


def _missing(folder: str) -> list[str]:
    """The folders that must be made for `folder` to exist, innermost first."""
    missing: list[str] = []
    store = files.gfile()
    while folder and not store.exists(folder):
        missing.append(folder)
        above = os.path.dirname(folder)
        if above == folder or above.endswith(":/"):
            break
        folder = above
    return missing


def _remove_empty(folder: str) -> None:
    if not files.gfile().listdir(folder):
        files.gfile().rmtree(folder)


def _quietly(clean: Callable[[str], None], path: str) -> None:
    """Clean up; if that fails, the error that called for it is the one to be told."""
    with suppress(Exception):
        clean(path)
