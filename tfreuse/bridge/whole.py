"""Writing through `tf.io.gfile`: a target appears whole or not at all, and what it replaces goes last.

A run works in a hidden folder of its own beside the target, `.NAME.tfreuse-*`, and holds a lock on it. The system drops
the lock with the process, so a folder that a killed run left behind is known from one that is in use; the next run
with that target removes it. Where nothing can be locked (stores, Windows) such folders stay.
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tfreuse.bridge import files
from tfreuse.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # the name of a module otherwise

NEW, OLD = "target.new", "target.old"
"""What becomes the target, and what was there before, in the hidden folder."""


@contextmanager
def written_whole(target: str, overwrite: bool) -> Iterator[str]:
    """A path beside `target` to write to; it becomes the target at the end, or goes if anything goes wrong.

    Raises:
        InputError: if the target cannot be written, or exists by then without `overwrite`.
    """
    store = files.gfile()
    with files.file_errors(f"cannot write {target}"):
        place = target.rstrip("/") if "://" in target else os.path.realpath(target)  # a link goes on leading there
        parent = os.path.dirname(place)
        missing = _missing(parent)
        try:
            store.makedirs(parent)
            _sweep(place)
            with _room(place) as room:
                fresh = os.path.join(room, NEW)
                yield fresh
                with _locked(parent):
                    if store.exists(place) and not overwrite:
                        raise InputError(f"the target {target} exists by now; what was there is kept")
                    _put(fresh, place, os.path.join(room, OLD))
        except BaseException:  # an interrupt leaves nothing behind either
            for folder in missing:
                _quietly(_remove_empty, folder)
            raise
        _sweep(place, replaced=True)


@contextmanager
def _room(place: str) -> Iterator[str]:
    """A locked folder beside `place`, which goes in the end; if it was of no use, an old target in it stays."""
    while True:
        room = os.path.join(os.path.dirname(place), f"{_mark(place)}{uuid.uuid4().hex[:12]}")
        files.gfile().makedirs(room)
        with _locked(room):
            if not files.gfile().exists(room):  # another run took it for one that is left over
                continue
            try:
                yield room
            except BaseException:  # an interrupt as well
                _quietly(files.remove, os.path.join(room, NEW))
                _quietly(_remove_empty, room)
                raise
            _quietly(files.remove, room)
            return


def _mark(place: str) -> str:
    """How the hidden folders for a target begin: no two targets share it, however long their names."""
    name = os.path.basename(place)
    return f".{name[:40]}.tfreuse-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}-"


def _sweep(place: str, replaced: bool = False) -> None:
    """Remove what killed runs left; an old target among it only once it is `replaced`."""
    if "://" in place:
        return
    parent = os.path.dirname(place)
    for name in os.listdir(parent):
        if not re.fullmatch(re.escape(_mark(place)) + "[0-9a-f]{12}", name):
            continue
        room = os.path.join(parent, name)
        with _locked(room, wait=False) as free:
            if free and (replaced or not os.path.lexists(os.path.join(room, OLD))):
                _quietly(files.remove, room)


@contextmanager
def _locked(folder: str, wait: bool = True) -> Iterator[bool]:
    """Hold a folder's lock; False if another process does (without `wait`), or where there are no locks."""
    number, held = None, False
    try:
        if fcntl is not None and "://" not in folder:
            with suppress(OSError):
                number = os.open(folder, os.O_RDONLY)
                fcntl.flock(number, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
                held = True
        yield held
    finally:
        if number is not None:
            os.close(number)


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
    except BaseException:  # an interrupt as well
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
