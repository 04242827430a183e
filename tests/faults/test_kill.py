"""The process is killed at any of its file operations: the target is absent or whole, and the next run goes well.

Each run is a fork of this process, which kills itself before its n-th operation, for every n until one run ends by
itself. (A fork may use what TensorFlow's Python side does here: files and protocol buffers, no kernels.)
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.cli.command import tree
from tests.cli.graphs import repeated
from tests.offline import checks
from tests.offline.models import optimized
from tfreuse.offline.graphs import optimize_graph_file

OPERATIONS = ("makedirs", "listdir", "copy", "rename", "remove", "rmtree", "exists", "isdir", "stat")
HIDDEN = re.compile(r"\.target.*\.tfreuse-[0-9a-f]{8}-[0-9a-f]{12}")


@contextmanager
def counted(stop: Callable[[], None]) -> Iterator[None]:
    """Calls `stop` before every file operation of tfreuse, and between what is written to a file and its end."""
    patch = pytest.MonkeyPatch()

    def counting(real: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            stop()
            return real(*args, **kwargs)

        return run

    class File(tf.io.gfile.GFile):
        def write(self, content: bytes) -> None:
            half = len(content) // 2
            super().write(content[:half])
            self.flush()
            stop()
            super().write(content[half:])

    for name in OPERATIONS:
        patch.setattr(tf.io.gfile, name, counting(getattr(tf.io.gfile, name)))
    patch.setattr(tf.io.gfile, "GFile", counting(File))
    try:
        yield
    finally:
        patch.undo()


def killed(work: Callable[[], Any], after: int) -> bool:
    """Whether a process that does `work` was killed before its operation number `after`."""
    child = os.fork()
    if not child:
        left = [after]

        def stop() -> None:
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

        try:
            with counted(stop):
                work()
            os._exit(0)
        except BaseException as error:  # the child must not go on as the parent does, whatever is raised
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_anywhere_in_a_saved_model(model: Path, tmp_path: Path, overwrite: bool) -> None:
    source, target = checks.tree(str(model)), tmp_path / "new" / "target"
    small = {name: data for name, data in tree(Path(optimized("softened"))).items() if name != "fingerprint.pb"}
    older = {**source, "notes.txt": b"notes"} if overwrite else None
    points = 0

    def present() -> Any:
        return tree(target) if target.exists() else None

    while True:
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
        if older:
            shutil.copytree(model, target)
            (target / "notes.txt").write_text("notes")
        went = not killed(lambda: tfreuse.optimize_saved_model(model, target, overwrite=overwrite), points)
        assert checks.tree(str(model)) == source
        found = present()
        whole = found and {name: data for name, data in found.items() if name != "fingerprint.pb"} == small
        assert whole or found in (None, older), points
        if went:
            break
        if older and found is None:  # between two renames: the old target is aside, whole
            (aside,) = target.parent.glob(".target*/target.old")
            assert tree(aside) == older
        report = tfreuse.optimize_saved_model(model, target, overwrite=overwrite or bool(whole))
        assert report.failures == []
        assert os.listdir(tmp_path / "new") == ["target"], points  # no litter
        assert {name: data for name, data in tree(target).items() if name != "fingerprint.pb"} == small
        points += 1
    assert points > 40
    assert os.listdir(tmp_path / "new") == ["target"]
    checks.assert_same(checks.run_loaded(str(model)), checks.run_loaded(str(target)))


@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_anywhere_in_a_graph_file(tmp_path: Path, overwrite: bool) -> None:
    source, target = tmp_path / "graph.pb", tmp_path / "target.pb"
    source.write_bytes(repeated().SerializeToString())
    before = source.read_bytes()

    def optimize() -> None:
        optimize_graph_file(source, target, outputs=["y"], overwrite=True)

    optimize()
    small, points, went = target.read_bytes(), 0, False
    while not went:
        target.unlink(missing_ok=True)
        if overwrite:
            target.write_bytes(b"older")
        went = not killed(optimize, points)
        assert source.read_bytes() == before
        assert not target.exists() or target.read_bytes() in ((b"older", small) if overwrite else (small,))
        optimize()
        assert target.read_bytes() == small
        assert sorted(os.listdir(tmp_path)) == ["graph.pb", "target.pb"]
        points += 1
    assert points > 10


def test_what_a_killed_run_left_is_known_from_what_is_in_use(model: Path, tmp_path: Path) -> None:
    """Folders of another target, and those that a running process holds, stay."""
    small = tmp_path / "target"
    tfreuse.optimize_saved_model(model, small)
    others = (".target.tfreuse-notes", ".other.tfreuse-00000000-000000000000")
    for name in others:
        (tmp_path / name).mkdir()
    seen: list[list[str]] = []

    def look(*args: Any) -> None:
        if not seen:
            seen.append([])
            tfreuse.optimize_saved_model(model, small, overwrite=True)  # a whole run while the other is at work
            seen[0] += os.listdir(tmp_path)

    real = tf.io.gfile.copy
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.io.gfile, "copy", lambda *args, **options: (look(), real(*args, **options))[1])
        tfreuse.optimize_saved_model(model, small, overwrite=True)
    assert len([name for name in seen[0] if HIDDEN.fullmatch(name)]) == 1
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "model", "target"])
