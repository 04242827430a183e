"""Targets that may not be written, and what becomes of files when writing fails."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.cli.command import Command, tree
from tfreuse.bridge.files import check_target
from tfreuse.errors import InputError


def test_no_target(command: Command, model: Path) -> None:
    assert command.refusal("optimize", "model") == "no target; name one, or ask for a dry run"
    assert "the target path is empty" in command.refusal("optimize", "model", "")
    assert "the source path is empty" in command.refusal("optimize", "", "small")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("model", "source and target are the same"),
        ("./model/", "source and target are the same"),
        ("model/variables/small", "is inside the source"),
        (".", "is inside the target"),
        ("/", "is inside the target"),
    ],
)
def test_target_and_source_in_one_another(command: Command, model: Path, target: str, message: str) -> None:
    for options in ([], ["--overwrite"]):
        assert message in command.refusal("optimize", "model", target, *options)


def test_the_root_as_source(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="inside the source"):
        check_target("/", str(tmp_path / "small"), True)


def test_target_exists(command: Command, model: Path, graph: Path) -> None:
    shutil.copytree("model", "small")
    shutil.copy("graph.pb", "small.pb")
    assert "exists; remove it or allow overwriting" in command.refusal("optimize", "model", "small")
    assert "exists; remove it" in command.refusal("optimize", "graph.pb", "small.pb", "--outputs", "y")


def test_what_is_no_model_is_not_overwritten(command: Command, model: Path, graph: Path, tmp_path: Path) -> None:
    for name in ("notes", "notes.pb"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("notes")
    line = command.refusal("optimize", "model", "notes", "--overwrite")
    assert "notes is not a SavedModel; remove it yourself" in line
    line = command.refusal("optimize", "graph.pb", "notes.pb", "--overwrite", "--outputs", "y")
    assert line == "the target notes.pb is a folder; name a file"


def test_a_linked_target_is_replaced_where_it_is(command: Command, model: Path, tmp_path: Path) -> None:
    """Removing what a link stands for through the link once emptied the folder and left the link aside."""
    shutil.copytree(model, tmp_path / "store" / "first")
    (tmp_path / "link").symlink_to(tmp_path / "store" / "first")
    assert command("optimize", "model", "link", "--overwrite").code == 0
    assert command("optimize", "model", "small").code == 0
    assert (tmp_path / "link").is_symlink()
    assert tree(tmp_path / "store" / "first") == tree(tmp_path / "small")
    assert os.listdir(tmp_path / "store") == ["first"]


def test_the_longest_name(command: Command, model: Path, tmp_path: Path) -> None:
    assert command("optimize", "model", "a" * 255).code == 0
    assert sorted(os.listdir(tmp_path)) == ["a" * 255, "model"]


def test_below_a_file(command: Command, model: Path, graph: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("notes")
    assert command.refusal("optimize", "model", "file/small").startswith("cannot write file/small: ")
    line = command.refusal("optimize", "graph.pb", "file/below/small.pb", "--outputs", "y")
    assert line.startswith("cannot write file/below/small.pb: ")


def test_a_folder_that_is_gone(command: Command, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert command(*("optimize", model, "small")).error.startswith("cannot look at small: ")


def failing(*args: Any, **kwargs: Any) -> Any:
    raise tf.errors.PermissionDeniedError(None, None, "not allowed")


def test_errors_of_cleaning_up_do_not_hide_the_real_one(
    command: Command, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf.io.gfile, "copy", failing)
    for step in ("rmtree", "listdir"):
        real = getattr(tf.io.gfile, step)
        monkeypatch.setattr(tf.io.gfile, step, lambda path, r=real: r(path) if path.startswith("model") else failing())
    assert command("optimize", "model", "new/small").error == "cannot write new/small: not allowed"


def test_looking_for_the_folder_may_fail(command: Command, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tf.io.gfile.exists
    monkeypatch.setattr(tf.io.gfile, "exists", lambda path: failing() if path.endswith("/new") else real(path))
    assert command.refusal("optimize", "model", "new/small") == "cannot write new/small: not allowed"


def test_what_others_put_there_meanwhile_stays(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what this run made is removed: not a folder that is in use now, nor a target that appeared."""
    real = tf.io.gfile.rename

    def meanwhile(here: str, there: str, **options: Any) -> None:
        Path(there).mkdir()
        (Path(there) / "theirs").write_text("theirs")
        real(here, there, **options)

    monkeypatch.setattr(tf.io.gfile, "rename", meanwhile)
    with pytest.raises(InputError, match="cannot write"):
        tfreuse.optimize_saved_model(model, tmp_path / "new" / "small")
    assert tree(tmp_path / "new") == {"small": None, "small/theirs": b"theirs"}


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("after", [1, 2])
def test_an_interrupt_between_two_steps(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, existing: bool
) -> None:
    if existing:
        shutil.copytree(model, tmp_path / "small")
        (tmp_path / "small" / "notes.txt").write_text("notes")
    before = tree(tmp_path)
    real, calls = tf.io.gfile.rename, [0]

    def rename(*args: Any, **options: Any) -> None:
        real(*args, **options)
        calls[0] += 1
        if calls[0] == min(after, 1 + existing):
            raise KeyboardInterrupt

    monkeypatch.setattr(tf.io.gfile, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        tfreuse.optimize_saved_model(model, tmp_path / "small", overwrite=existing)
    assert tree(tmp_path) == before


def test_where_the_old_target_is_when_it_cannot_be_put_back(
    command: Command, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(model, tmp_path / "small")
    before, real = tree(tmp_path / "small"), tf.io.gfile.rename
    monkeypatch.setattr(
        tf.io.gfile, "rename", lambda here, there: real(here, there) if there.endswith(".old") else failing()
    )
    line = command("optimize", "model", "small", "--overwrite").error
    place = Path(line.partition("what was there may now be ")[2])
    assert line.startswith(f"cannot write {tmp_path / 'small'} (") and tree(place) == before
