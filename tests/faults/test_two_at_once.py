"""Two optimisers on one target: each ends as if it had been alone, or says in one line why not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.cli.command import ROOT, Command, tree
from tests.offline import checks
from tfreuse.errors import InputError

WAITING = """
import sys
import tensorflow as tf
from tfreuse.bridge import savedmodel
from tfreuse.cli.main import run
real = savedmodel.serialize
def serialize(*args):
    print("ready", flush=True)
    sys.stdin.readline()
    return real(*args)
savedmodel.serialize = serialize
run()
"""


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """The command in a process that waits, while it writes, for a line."""
    return subprocess.Popen(
        [sys.executable, "-c", WAITING, "optimize", "model", "target", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("overwrite", [False, True])
def test_two_processes(model: Path, tmp_path: Path, overwrite: bool) -> None:
    """Both are at work at the same time; without `--overwrite` the second to end refuses."""
    options = ["--overwrite"] if overwrite else []
    both = [start(tmp_path, *options) for _ in range(2)]
    for process in both:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    assert len(list(tmp_path.glob(".target*"))) == 2
    first, second = ((*process.communicate("\n", timeout=60), process.returncode) for process in both)
    assert first[1:] == ("", 0)
    late = "tfreuse: error: the target target exists by now; what was there is kept\n"
    assert second[1:] == (("", 0) if overwrite else (late, 1))
    assert sorted(os.listdir(tmp_path)) == ["model", "target"]
    checks.assert_carried(str(model), str(tmp_path / "target"))


def test_a_target_that_appears_meanwhile_is_kept(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tf.io.gfile.copy

    def copy(*args: Any, **options: Any) -> None:
        (tmp_path / "target").mkdir(exist_ok=True)
        (tmp_path / "target" / "theirs").write_text("theirs")
        real(*args, **options)

    monkeypatch.setattr(tf.io.gfile, "copy", copy)
    with pytest.raises(InputError, match="exists by now"):
        tfreuse.optimize_saved_model(model, tmp_path / "target")
    assert tree(tmp_path / "target") == {"theirs": b"theirs"}
    assert sorted(os.listdir(tmp_path)) == ["model", "target"]


def test_where_nothing_can_be_locked(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken for left over then."""
    from tfreuse.bridge import whole

    left = tmp_path / f"{whole._mark(str(tmp_path / 'target'))}{'0' * 12}"
    left.mkdir()
    monkeypatch.setattr(whole, "fcntl", None)
    tfreuse.optimize_saved_model(model, tmp_path / "target")
    assert left.exists()
    monkeypatch.undo()
    tfreuse.optimize_saved_model(model, tmp_path / "target", overwrite=True)
    assert not left.exists()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """The command, run in the test's folder."""
    monkeypatch.chdir(tmp_path)
    return Command(monkeypatch, capfd, tmp_path)


def test_the_command_says_nothing_of_what_it_cleans_up(command: Command, model: Path, tmp_path: Path) -> None:
    from tfreuse.bridge import whole

    left = tmp_path / f"{whole._mark(str(tmp_path / 'target'))}{'0' * 12}"
    (left / whole.NEW).mkdir(parents=True)
    done = command("optimize", "model", "target")
    assert (done.code, done.err) == (0, "")
    assert sorted(os.listdir(tmp_path)) == ["model", "target"]
