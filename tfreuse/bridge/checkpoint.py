"""Weights that a checkpoint holds more than once, found by content with one tensor in memory at a time."""

from __future__ import annotations

import hashlib
import os
from typing import Any, NamedTuple

from tfreuse.bridge import files
from tfreuse.bridge.load import tensorflow
from tfreuse.errors import InputError

_PREFIX = os.path.join("variables", "variables")


class Repeated(NamedTuple):
    """Entries of a checkpoint with equal type, shape and bits; `bytes` is the size of each."""

    names: tuple[str, ...]
    dtype: str
    shape: tuple[int, ...]
    bytes: int

    @property
    def saved(self) -> int:
        """The bytes that sharing would save."""
        return self.bytes * (len(self.names) - 1)


def repeated_weights(folder: str) -> list[Repeated]:
    """The weights that the SavedModel in `folder` holds more than once, those that cost most first.

    Tensors are read one by one and told apart by a digest; those of one digest are then compared bit by bit, two in
    memory at a time. Strings (the checkpoint's own object graph) are left out. Nothing is changed.

    Raises:
        InputError: if the checkpoint cannot be read.
    """
    tf = tensorflow()
    prefix = os.path.join(folder, _PREFIX)
    if not files.gfile().exists(f"{prefix}.index"):
        return []
    try:
        reader = tf.train.load_checkpoint(prefix)
        found: dict[tuple[str, tuple[int, ...], bytes], list[str]] = {}
        for name, dtype in sorted(reader.get_variable_to_dtype_map().items()):
            if dtype in (tf.string, tf.resource, tf.variant):
                continue
            data = _bits(reader.get_tensor(name))
            shape = tuple(reader.get_variable_to_shape_map()[name])
            found.setdefault((dtype.name, shape, hashlib.blake2b(data).digest()), []).append(name)
            del data
        repeated = []
        for (kind, shape, _), names in found.items():
            first = _bits(reader.get_tensor(names[0])) if len(names) > 1 else None
            same = [name for name in names[1:] if first is not None and (_bits(reader.get_tensor(name)) == first).all()]
            if first is not None and same and first.nbytes:
                repeated.append(Repeated((names[0], *same), kind, shape, first.nbytes))
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise InputError(f"cannot read the variables of {folder}: {str(error).splitlines()[0]}") from None
    return sorted(repeated, key=lambda entry: (-entry.saved, entry.names))


def _bits(array: Any) -> Any:
    """The bytes of an array as an array of bytes, without a copy."""
    return array.reshape(-1).view("uint8")
