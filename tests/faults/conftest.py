"""A model of the test's own; TensorFlow is kept quiet."""

import logging
import os
import shutil
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
logging.getLogger("tensorflow").setLevel(logging.ERROR)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A SavedModel."""
    from tests.offline.models import saved

    return Path(shutil.copytree(saved("softened"), tmp_path / "model"))
