"""Do two variants compute the same? Bit patterns first, so that NaN and -0.0 count as values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

LEVELS = ("bitwise", "close", "different")


def arrays(tensors: Any) -> list[np.ndarray]:
    """Copies of all tensors or variables in a nest."""
    return [np.array(tensor) for tensor in tf.nest.flatten(tensors)]


def level(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], tolerance: float = 1e-3) -> str:
    """`bitwise`, `close` (within `tolerance` of the largest magnitude of each array) or `different`."""
    if [(a.shape, a.dtype) for a in ours] != [(b.shape, b.dtype) for b in theirs]:
        return "different"
    if all(a.tobytes() == b.tobytes() for a, b in zip(ours, theirs, strict=True)):
        return "bitwise"
    for a, b in zip(ours, theirs, strict=True):
        scale = float(np.max(np.abs(b), initial=0.0))
        if not np.allclose(a, b, rtol=0.0, atol=tolerance * scale, equal_nan=True):
            return "different"
    return "close"
