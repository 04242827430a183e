"""Whatever goes wrong, the source stays as it is, nothing is left behind, and one line says what happened."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.offline import checks
from tests.offline.models import optimized, saved
from tfreuse.bridge import savedmodel
from tfreuse.errors import InputError, TensorFlowMissingError, TfreuseError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A model of the test's own."""
    return Path(shutil.copytree(saved("softened"), tmp_path / "source"))


def refusal(root: Path, src: Any, dst: Any, **options: Any) -> str:
    """The line that says why `src` could not be optimised; everything below `root` stays as it was."""
    before = checks.tree(str(root))
    with pytest.raises(InputError) as caught:
        tfreuse.optimize_saved_model(src, dst, **options)
    assert checks.tree(str(root)) == before
    message = str(caught.value)
    assert message.strip() == message and message and "\n" not in message
    return message


def test_source_is_never_touched(source: Path, tmp_path: Path) -> None:
    before = checks.tree(str(source))
    times = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    tfreuse.optimize_saved_model(source, tmp_path / "target")
    assert checks.tree(str(source)) == before
    assert {path: path.stat().st_mtime_ns for path in source.rglob("*")} == times


def test_dry_run_writes_nothing(source: Path, tmp_path: Path) -> None:
    before = checks.tree(str(tmp_path))
    told = [
        tfreuse.optimize_saved_model(source, target, dry_run=True)
        for target in (None, tmp_path / "target", source, tmp_path)
    ]
    assert checks.tree(str(tmp_path)) == before
    report = tfreuse.optimize_saved_model(source, tmp_path / "target")
    assert {run.merged for run in told} == {report.merged}


def test_no_target(source: Path, tmp_path: Path) -> None:
    assert "target" in refusal(tmp_path, source, None)


@pytest.mark.parametrize(
    "spelled",
    [
        str,
        lambda path: f"{path}/",
        lambda path: str(path.parent / "other" / ".." / path.name),
        lambda path: os.path.relpath(path),
        lambda path: str(path.parent / "link"),
        lambda path: f"file://{path}",
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_target_is_the_source(source: Path, tmp_path: Path, spelled: Callable[[Path], str], overwrite: bool) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(source)
    before = (source / "saved_model.pb").stat().st_ino
    assert "same" in refusal(tmp_path, source, spelled(source), overwrite=overwrite)
    assert "same" in refusal(tmp_path, spelled(source), source, overwrite=overwrite)
    assert (source / "saved_model.pb").stat().st_ino == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_one_inside_the_other(source: Path, tmp_path: Path, overwrite: bool) -> None:
    assert "inside" in refusal(tmp_path, source, source / "variables" / "new", overwrite=overwrite)
    assert "inside" in refusal(tmp_path, source, tmp_path, overwrite=overwrite)
    sibling = Path(f"{source}2")  # the same letters, and not inside
    tfreuse.optimize_saved_model(source, sibling)
    assert checks.content(str(sibling)) == checks.content(optimized("softened"))


@pytest.mark.parametrize("kind", ["empty", "file", "model"])
def test_existing_target(source: Path, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    if kind == "file":
        target.write_text("notes")
    else:
        target.mkdir()
        if kind == "model":
            (target / "notes.txt").write_text("notes")
            shutil.copy(source / "saved_model.pb", target)
    assert "--overwrite" in refusal(tmp_path, source, target)
    tfreuse.optimize_saved_model(source, target, overwrite=True)
    assert checks.tree(str(target)).keys() == checks.tree(str(source)).keys()
    assert sorted(os.listdir(tmp_path)) == ["source", "target"]


def test_a_folder_that_is_no_model_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "notes.txt").write_text("notes")
    assert "is not a SavedModel; remove it yourself" in refusal(tmp_path, source, target, overwrite=True)


def fail(error: BaseException) -> Callable[..., Any]:
    """A function that raises."""

    def raising(*args: Any, **kwargs: Any) -> Any:
        raise error

    return raising


FULL = OSError(28, "No space left on device")
GONE = tf.errors.UnavailableError(None, None, "the store\ndoes not answer")


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("error", [FULL, GONE], ids=["system", "tensorflow"])
@pytest.mark.parametrize("step", ["makedirs", "listdir", "copy", "rename", "GFile"])
def test_failure_while_writing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception, existing: bool
) -> None:
    target = tmp_path / "target"
    if existing:
        target.mkdir()
        (target / "notes.txt").write_text("notes")
        shutil.copy(source / "saved_model.pb", target)
    real = getattr(tf.io.gfile, step)

    def sometimes(*args: Any, **kwargs: Any) -> Any:
        # Reading goes well, and so does moving an old target out of the way and back.
        reading = step == "GFile" and "w" not in args[1]
        moving = step == "rename" and ".new" not in str(args[0])
        if reading or moving:
            return real(*args, **kwargs)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(tf.io.gfile, step, sometimes)
        message = refusal(tmp_path, source, target, overwrite=existing)
    # The source's folders are listed when it is read.
    assert message.startswith(f"cannot read {source}: " if step == "listdir" else f"cannot write {target}: ")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), RuntimeError("a bug")])
def test_interrupted_while_writing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    before = checks.tree(str(tmp_path))
    monkeypatch.setattr(savedmodel, "serialize", fail(error))
    with pytest.raises(type(error)):
        tfreuse.optimize_saved_model(source, tmp_path / "target")
    assert checks.tree(str(tmp_path)) == before


def test_failure_below_a_new_folder_leaves_none(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.io.gfile, "copy", fail(FULL))
    refusal(tmp_path, source, tmp_path / "new" / "er" / "target")


def test_without_a_fingerprint_the_model_is_still_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fingerprint is a convenience (TensorFlow loads a model without one): failing to make it costs nothing else."""
    from tensorflow.python.saved_model import fingerprinting_utils

    monkeypatch.setattr(fingerprinting_utils, "write_fingerprint", fail(ValueError("no fingerprint")))
    tfreuse.optimize_saved_model(source, tmp_path / "target")
    assert checks.loads(str(tmp_path / "target"))


def test_parent_is_a_file(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("notes")
    assert "cannot" in refusal(tmp_path, source, tmp_path / "file" / "target")


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="nothing is read-only to this user")
def test_parent_is_read_only(source: Path, tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    parent.mkdir(mode=0o500)
    assert "cannot write" in refusal(tmp_path, source, parent / "target")


def test_without_tensorflow(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tfreuse.bridge import files

    monkeypatch.setattr(files, "tensorflow", fail(TensorFlowMissingError("no TensorFlow")))
    with pytest.raises(TfreuseError, match="no TensorFlow"):
        tfreuse.optimize_saved_model(source, tmp_path / "target")
    assert sorted(os.listdir(tmp_path)) == ["source"]
