"""Ctrl-C and SIGTERM: one line, an exit code of their own, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import ROOT, Command, tree
from tfreuse.bridge import files, savedmodel
from tfreuse.cli import main
from tfreuse.offline import saved_model

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def sending(number: int) -> Callable[..., Any]:
    """A function that sends this process a signal."""

    def send(*args: Any, **kwargs: Any) -> Any:
        os.kill(os.getpid(), number)
        time.sleep(5)  # the signal arrives at once
        raise AssertionError("no signal came")

    return send


PLACES = {
    "importing TensorFlow": (main, "_import_tensorflow"),
    "reading": (files, "read_bytes"),
    "optimising": (saved_model, "rewrite_in_place"),
    "copying": (files, "copy_tree"),
    "writing": (savedmodel, "serialize"),
    "fingerprinting": (savedmodel, "_write_fingerprint"),
}


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("place", PLACES)
def test_stopped_anywhere(
    command: Command,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    number: signal.Signals,
    code: int,
) -> None:
    before, handler = tree(tmp_path), signal.getsignal(number)
    monkeypatch.setattr(*PLACES[place], sending(number))
    done = command("optimize", "model", "new/small")
    assert (done.code, done.out, done.err) == (code, "", "tfreuse: interrupted; nothing was written\n")
    assert tree(tmp_path) == before
    assert signal.getsignal(number) is handler


def test_stopped_when_the_target_is_there(
    command: Command, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "_show", sending(signal.SIGINT))
    done = command("optimize", "model", "small")
    assert (done.code, done.err) == (130, "tfreuse: interrupted; small was written\n")
    assert (tmp_path / "small" / "saved_model.pb").exists()


def test_a_signal_that_is_ignored_stays_ignored(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        monkeypatch.setattr(files, "checked_path", lambda path, role: os.kill(os.getpid(), signal.SIGTERM) or path)
        assert command("inspect", "nothing").error == "nothing does not exist"
    finally:
        signal.signal(signal.SIGTERM, before)


SLOW = """
import time
from tfreuse.bridge import whole
def put(fresh, target, old):
    print("ready", flush=True)
    time.sleep(60)
whole._put = put
from tfreuse.cli.main import run
run()
"""


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_process_that_is_stopped_while_it_writes(
    model: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    before = tree(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, "optimize", "model", "new/small"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert tree(tmp_path) != before
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (code, "", "tfreuse: interrupted; nothing was written\n")
    assert tree(tmp_path) == before
