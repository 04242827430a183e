"""Imports TensorFlow when it is first needed, with one clear line where that fails."""

from __future__ import annotations

import os
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
    found = tuple(int(part) for part in tf.__version__.split(".")[:2])
    if found < OLDEST:
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
