"""What a scenario may observe: plain data, compared bit by bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def whole(*shape: int, seed: int = 0, low: int = 1, high: int = 5) -> np.ndarray:
    """Whole numbers as float32: sums and products stay exact, so their order does not show in the bits."""
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.float32)


def freeze(value: Any) -> Any:
    """Plain data (numpy arrays, containers, strings, numbers) for anything a TensorFlow function returns."""
    if isinstance(value, tf.Variable | keras.Variable):
        return ["variable", np.asarray(value)]
    if isinstance(value, tf.IndexedSlices):
        return ["slices", freeze(value.values), freeze(value.indices), freeze(value.dense_shape)]
    if isinstance(value, tf.SparseTensor):
        return ["sparse", freeze(value.indices), freeze(value.values), freeze(value.dense_shape)]
    if isinstance(value, tf.RaggedTensor):
        return ["ragged", freeze(value.flat_values), [freeze(splits) for splits in value.nested_row_splits]]
    if isinstance(value, tf.TensorArray):
        return ["array", freeze(value.stack())]
    if isinstance(value, tf.Tensor):
        return value.numpy() if value.shape.rank else np.asarray(value.numpy())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, freeze(vars(value))]
    if isinstance(value, Mapping):
        return {key: freeze(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return [type(value).__name__, freeze(value._asdict())]
    if isinstance(value, list | tuple):
        return type(value)(freeze(item) for item in value)
    return value


def difference(expected: Any, actual: Any, where: str = "") -> str | None:
    """Where two frozen observations differ and how, or None. NaN equals the same NaN; 0.0 is not -0.0."""
    if isinstance(expected, np.ndarray | np.generic) and isinstance(actual, np.ndarray | np.generic):
        same = _bits(expected) == _bits(actual)
        return None if same else f"at {where or 'the top'}: {_show(expected)} became {_show(actual)}"
    if type(expected) is not type(actual):
        return f"at {where or 'the top'}: {expected!r} became {actual!r}"
    if isinstance(expected, Mapping):
        if list(expected) != list(actual):
            return f"at {where or 'the top'}: keys {list(expected)} became {list(actual)}"
        pairs = [(f"{where}[{key!r}]", expected[key], actual[key]) for key in expected]
    elif isinstance(expected, list | tuple):
        if len(expected) != len(actual):
            return f"at {where or 'the top'}: {expected!r} became {actual!r}"
        pairs = [(f"{where}[{i}]", *pair) for i, pair in enumerate(zip(expected, actual, strict=True))]
    elif isinstance(expected, float):
        return difference(np.float64(expected), np.float64(actual), where)
    else:
        return None if expected == actual else f"at {where or 'the top'}: {expected!r} became {actual!r}"
    return next(filter(None, (difference(before, after, place) for place, before, after in pairs)), None)


def _bits(array: np.ndarray | np.generic) -> Any:
    return array.dtype, array.shape, array.tolist() if array.dtype == object else array.tobytes()


def _show(array: np.ndarray | np.generic) -> str:
    return f"{array.dtype}{list(array.shape)} {array.tolist()}"


def expect(actual: Any, expected: Any, what: str = "value") -> None:
    """Assert a result known in advance. Numbers may be given as plain lists; they take the observed dtype."""
    actual = freeze(actual)
    problem = difference(_like(actual, freeze(expected)), actual)
    if problem:
        raise AssertionError(f"{what}: expected {problem}")


def _like(actual: Any, expected: Any) -> Any:
    if isinstance(actual, np.ndarray | np.generic):
        return np.asarray(expected, dtype=actual.dtype)
    both_sequences = isinstance(actual, list | tuple) and isinstance(expected, list | tuple)
    if both_sequences and len(actual) == len(expected):
        return type(actual)(_like(*pair) for pair in zip(actual, expected, strict=True))
    return expected


def caught(call: Callable[[], Any], mark: str = "") -> dict[str, Any]:
    """The type of the exception that `call` raises, and whether its message holds `mark`."""
    try:
        call()
    except Exception as error:  # which exception it is, is what is observed
        return {"raised": type(error).__name__, "names the place": mark in str(error)}
    return {"raised": None, "names the place": False}


def names(variables: Any) -> list[str]:
    """The names of variables, in their order."""
    return [variable.name for variable in variables]
