"""Runs the command in this process or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tfreuse.cli.main import run

ROOT = Path(__file__).resolve().parents[2]
CLI = (sys.executable, "-m", "tfreuse.cli.main")


@dataclass(frozen=True)
class Outcome:
    """The exit code and what was printed."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that says what is wrong."""
        assert self.code == 1, self
        assert self.out == "", self
        (line,) = self.err.splitlines()
        assert line.startswith("tfreuse: error: "), line
        assert line.isprintable(), line
        return line.removeprefix("tfreuse: error: ")


def tree(path: Path) -> dict[str, bytes | None]:
    """Every file below `path` with its bytes, and every folder."""
    return {str(p.relative_to(path)): p.read_bytes() if p.is_file() else None for p in sorted(path.rglob("*"))}


class Command:
    """The command in this process, in a folder of the test's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], folder: Path) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfd
        self._folder = folder

    def __call__(self, *arguments: object) -> Outcome:
        """Run it."""
        self._monkeypatch.setattr(sys, "argv", ["tfreuse", *map(str, arguments)])
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as done:
            run()
        out, err = self._capfd.readouterr()
        return Outcome(int(done.value.code or 0), out, err)

    def refusal(self, *arguments: object) -> str:
        """The line that says why it was refused; everything in the folder is as it was."""
        before = tree(self._folder)
        outcome = self(*arguments)
        assert tree(self._folder) == before
        return outcome.error


def spawn(*arguments: object, cwd: Path, code: str = "", **options: Any) -> Outcome:
    """The command in a process of its own, which runs the Python text `code` first; `options` as `subprocess.run`."""
    program = (sys.executable, "-c", f"{code}\nfrom tfreuse.cli.main import run; run()") if code else CLI
    environment = {**options.pop("env", {}), "PYTHONPATH": str(ROOT)}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    done = subprocess.run(
        [*program, *arguments], cwd=cwd, env={**os.environ, **environment}, text=True, check=False, **streams
    )
    return Outcome(done.returncode, done.stdout or "", done.stderr or "")
