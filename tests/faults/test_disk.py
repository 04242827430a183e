"""The disk fills up, at whichever byte: one line, and everything is as it was."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.cli.command import spawn, tree
from tests.cli.graphs import repeated
from tests.faults.test_kill import OPERATIONS
from tfreuse.errors import InputError
from tfreuse.offline.graphs import optimize_graph_file

FULL = (OSError(28, "No space left on device"), tf.errors.ResourceExhaustedError(None, None, "no space left"))
LIMITED = """
import resource, tensorflow
resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))
"""


@pytest.mark.parametrize("size", [10, 4000])
def test_files_that_may_not_grow(model: Path, tmp_path: Path, size: int) -> None:
    """The system refuses to write more than so many bytes to a file."""
    before = tree(tmp_path)
    done = spawn("optimize", "model", "new/small", cwd=tmp_path, code=LIMITED.format(size))
    assert done.error.startswith("cannot write new/small")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("error", FULL, ids=["system", "tensorflow"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_full_at_any_operation_that_writes(model: Path, tmp_path: Path, error: Exception, overwrite: bool) -> None:
    """Full from that operation on, but for removing and moving back."""
    target = tmp_path / "new" / "target"
    if overwrite:
        shutil.copytree(model, target)
    before, point, went = tree(tmp_path), 0, False
    while not went:
        left = [point]

        def full(left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise error

        with pytest.MonkeyPatch.context() as patch:
            limit_writes(patch, full)
            told = refusal(model, target, overwrite)
        went = not told
        if told:
            assert told.startswith(f"cannot write {target}: "), point
            assert tree(tmp_path) == before, point
        point += 1
    assert point > 8
    assert sorted(os.listdir(tmp_path / "new")) == ["target"]


def refusal(model: Path, target: Path, overwrite: bool) -> str:
    """The line that says why the model was not written, or nothing."""
    try:
        tfreuse.optimize_saved_model(model, target, overwrite=overwrite)
    except InputError as error:
        return str(error)
    return ""


def limit_writes(patch: pytest.MonkeyPatch, full: Any) -> None:
    """Let everything that takes space call `full` first; a target that is put back takes none."""
    real = {name: getattr(tf.io.gfile, name) for name in ("makedirs", "copy", "rename")}

    class File(tf.io.gfile.GFile):
        def write(self, content: bytes) -> None:
            half = len(content) // 2
            super().write(content[:half])
            if not self.name.endswith("fingerprint.pb"):  # a model without one is whole
                full()
            super().write(content[half:])

    def counting(name: str) -> Any:
        def run(here: str, *args: Any, **options: Any) -> None:
            if "target.old" not in f"{here}{args}":
                full()
            real[name](here, *args, **options)

        return run

    for name in real:
        assert name in OPERATIONS
        patch.setattr(tf.io.gfile, name, counting(name))
    patch.setattr(tf.io.gfile, "GFile", File)


class Short(tf.io.gfile.GFile):
    """A file on a disk that swallows the last byte, and says nothing."""

    def write(self, content: bytes) -> None:
        super().write(content[:-1])


def test_short_writes(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "graph.pb").write_bytes(repeated().SerializeToString())
    before = tree(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(tf.io.gfile, "GFile", Short)
        with pytest.raises(InputError, match=r"saved_model\.pb: [0-9]+ of [0-9]+ bytes arrived; is the disk full\?"):
            tfreuse.optimize_saved_model(model, tmp_path / "target")
        with pytest.raises(InputError, match="bytes arrived"):
            optimize_graph_file(tmp_path / "graph.pb", tmp_path / "small.pb", outputs=["y"])
    assert tree(tmp_path) == before

    def copy(here: str, there: str) -> None:
        Path(there).write_bytes(Path(here).read_bytes()[:-1])

    monkeypatch.setattr(tf.io.gfile, "copy", copy)
    with pytest.raises(InputError, match=r"variables.*: [0-9]+ of [0-9]+ bytes arrived"):
        tfreuse.optimize_saved_model(model, tmp_path / "target")
    assert tree(tmp_path) == before
