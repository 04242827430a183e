"""What feeds need TensorFlow for: encoded pictures, serialised examples, keys of the model's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfreuse.bridge.load import tensorflow
from tfreuse.validate.feeds import Array, Makers

_IMAGE_ENCODERS = {"jpeg": "encode_jpeg", "png": "encode_png"}
# One white pixel each: TensorFlow reads these formats and does not write them.
_BMP = (
    bytes.fromhex("424d3a0000000000000036000000280000000100000001000000010018000000000004000000")
    + bytes(16)
    + (b"\xff\xff\xff\x00")
)
_GIF = bytes.fromhex("47494638396101000100800000ffffff0000002c00000000010001000002024401003b")


class TensorFlowMakers(Makers):
    """`start` is a program's state before the first run, in which tables list their keys."""

    def __init__(self, start: Mapping[str, Any]) -> None:
        self._tables = [value for name, value in start.items() if name.endswith(" keys")]

    def image(self, format: str, pixels: Array) -> bytes:
        """A picture in the format."""
        if format in _IMAGE_ENCODERS:
            encoded: bytes = getattr(tensorflow().io, _IMAGE_ENCODERS[format])(pixels).numpy()
            return encoded
        return _BMP if format == "bmp" else _GIF

    def example(self, features: Any, random: np.random.Generator) -> bytes:
        """A `tf.train.Example` that has every feature in the number that is asked for."""
        tf = tensorflow()
        made = tf.train.Example()
        for feature in features:
            entry, count = made.features.feature[feature.key], feature.values or int(random.integers(0, 4))
            if tf.as_dtype(feature.dtype) == tf.string:
                entry.bytes_list.value.extend([b"%d" % random.integers(0, 9) for _ in range(count)])
            elif tf.as_dtype(feature.dtype).is_floating:
                entry.float_list.value.extend(random.standard_normal(count).tolist())
            else:
                entry.int64_list.value.extend(random.integers(0, 9, count).tolist())
        serialised: bytes = made.SerializeToString(deterministic=True)
        return serialised

    def keys(self, dtype: np.dtype[Any]) -> Sequence[Any]:
        """The keys of all tables whose keys are of this type."""
        found = [table for table in self._tables if (table.dtype.kind in "OSU") == (dtype.kind in "OSU")]
        return [key for table in found if table.dtype.kind in "OSU" or table.dtype == dtype for key in table]
