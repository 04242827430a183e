"""Imports TensorFlow when it is first needed, with one clear line where that fails."""

from __future__ import annotations

import os
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tfreuse.errors import TensorFlowMissingError

OLDEST = (2, 16)


@cache
def tensorflow() -> Any:
    """The `tensorflow` module.

    Raises:
        TensorFlowMissingError: if none is installed, it cannot be imported or it is older than 2.16.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    try:
        import tensorflow as tf
    except Exception as error:  # at odds with another library, TensorFlow raises AttributeError, TypeError or others
        raise TensorFlowMissingError(
            "TensorFlow cannot be imported"
            + (f" ({error})" if _installed() else "")
            + "; install one: pip install 'tfreuse[cpu]' or 'tfreuse[tensorflow]'"
        ) from error
    found = re.match(r"(\d+)\.(\d+)", tf.__version__)  # a build of somebody's own may call itself anything
    if found and (int(found[1]), int(found[2])) < OLDEST:
        raise TensorFlowMissingError(
            f"TensorFlow {tf.__version__} is too old; tfreuse needs {OLDEST[0]}.{OLDEST[1]} or newer"
        )
    return tf


def _installed() -> bool:
    for name in ("tensorflow", "tensorflow-cpu"):
        try:
            version(name)
        except PackageNotFoundError:
            continue
        return True
    return False
