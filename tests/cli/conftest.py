"""Models of the test's own, and the command run in this process."""

import logging
import os
import shutil
from pathlib import Path

import pytest

from tests.cli.command import Command

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
logging.getLogger("tensorflow").setLevel(logging.ERROR)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """The command, run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Command(monkeypatch, capfd, tmp_path)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A SavedModel."""
    from tests.offline.models import saved

    return Path(shutil.copytree(saved("softened"), tmp_path / "model"))


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A graph file with work that repeats: node `y` adds two equal sines of `x`."""
    from tests.cli.graphs import repeated

    path = tmp_path / "graph.pb"
    path.write_bytes(repeated().SerializeToString())
    return path
