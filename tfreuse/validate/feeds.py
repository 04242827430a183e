"""Makes feeds: ordinary numbers, and the edges at which equal mathematics need not be equal bits."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfreuse.analysis.shapes import Shape
from tfreuse.validate.domains import Domain

Array = NDArray[Any]
Feed = dict[str, Any]

FLAVOURS = ("ordinary", "edge", "single", "empty", "wide")
"""What feeds are like, in turn. *ordinary*: normal numbers, unknown dimensions drawn. *edge*: with NaNs of several
payloads, infinities, -0.0, subnormal, smallest and largest numbers. *single*, *empty*: unknown dimensions are 1 and 0.
*wide*: magnitudes over the whole range of exponents that sums and products survive."""
RANKS = (1, 0, 1, 1, 0, 2, 4, 2, 2, 4)
"""The ranks of what is fed, in turn, where the rank is not known."""
LARGEST_BATCH, LARGEST_SIZE = 4, 64
"""Unknown first and other dimensions are drawn up to these, small ones first."""
_FIELDS = {"float16": (5, 10), "bfloat16": (8, 7), "float32": (8, 23), "float64": (11, 52)}
"""Bits of exponent and fraction of IEEE 754 numbers."""


@dataclass(frozen=True)
class Wanted:
    """An input to make: element type, static shape (-1 for an unknown size), what its consumers accept.

    `calm` keeps NaNs, infinities and extremes away, where they might keep a loop from ending.
    """

    name: str
    dtype: np.dtype[Any]
    shape: Shape | None
    domain: Domain | None = None
    calm: bool = False


class Makers:
    """What only TensorFlow or the loaded model can give.

    `image(format, pixels)` encodes a picture, `example(features, random)` serialises a `tf.train.Example`,
    `keys(dtype)` are the keys of the model's tables.
    """

    image: Callable[[str, Array], bytes]
    example: Callable[[Any, np.random.Generator], bytes]
    keys: Callable[[np.dtype[Any]], Sequence[Any]]


def can_make(dtype: np.dtype[Any]) -> bool:
    """Whether values of this element type can be made: no quantised ones and none narrower than a byte."""
    return dtype.names is None and (dtype.kind in "biufcOSU" or str(dtype) in _FIELDS) and not _is_tiny(dtype)


def _is_tiny(dtype: np.dtype[Any]) -> bool:
    return str(dtype) in ("int2", "int4", "uint2", "uint4") or str(dtype).startswith(("float4_", "float6_", "float8_"))


def make_feed(wanted: Sequence[Wanted], number: int, makers: Makers) -> Feed:
    """Feed `number` for these inputs; the same each time. Unknown sizes are drawn, one for each axis."""
    random = np.random.default_rng([number, len(wanted)])
    flavour = FLAVOURS[number % len(FLAVOURS)]
    drawn: dict[int, int] = {}
    largest = min(LARGEST_BATCH * 4 ** (number // len(FLAVOURS)), LARGEST_SIZE)

    def size(axis: int, stated: int) -> int:
        if stated >= 0:
            return stated
        fixed = {"single": 1, "empty": 0}.get(flavour)
        if axis not in drawn:
            most = largest if axis else LARGEST_BATCH
            drawn[axis] = int(random.integers(2, most + 1)) if fixed is None else fixed
        return drawn[axis]

    feed = {}
    for entry in wanted:
        stated = (-1,) * _rank(entry, number) if entry.shape is None else entry.shape
        shape = tuple(size(axis, known) for axis, known in enumerate(stated))
        feed[entry.name] = _make(entry, shape, "ordinary" if entry.calm else flavour, random, makers)
    return feed


def _rank(entry: Wanted, number: int) -> int:
    if entry.domain is not None and entry.domain.kind in ("example", "image"):
        return int(entry.domain.op in ("ParseExample", "ParseExampleV2"))
    return RANKS[number % len(RANKS)]


def _make(entry: Wanted, shape: tuple[int, ...], flavour: str, random: np.random.Generator, makers: Makers) -> Array:
    dtype, count = entry.dtype, int(np.prod(shape, dtype=np.int64))
    if dtype.kind in "OSU":
        texts = np.empty(count, dtype=object)
        texts[:] = [_text(entry.domain, random, makers) for _ in range(count)]
        return texts.reshape(shape)
    if entry.domain is not None and entry.domain.kind == "below":
        return random.integers(0, entry.domain.limit, shape).astype(dtype)
    if entry.domain is not None and entry.domain.kind == "key" and len(makers.keys(dtype)):
        return random.choice(np.asarray(makers.keys(dtype)), shape).astype(dtype)
    if dtype.kind == "b":
        return random.random(shape) < 0.5
    if str(dtype) in _FIELDS or dtype.kind == "c":
        return _floats(dtype, shape, flavour, random)
    if dtype.kind == "u" or (dtype.kind == "i" and dtype.itemsize == 1):
        limits = np.iinfo(dtype) if dtype.itemsize <= 2 else None  # a larger one may become a size of something
        low, high = (int(limits.min), int(limits.max)) if limits else (0, 9)
        return random.integers(low, high, shape, endpoint=True).astype(dtype)
    low = -2 if flavour == "edge" and dtype.kind == "i" else 0
    return random.integers(low, 9, shape, endpoint=True).astype(dtype)


def _floats(dtype: np.dtype[Any], shape: tuple[int, ...], flavour: str, random: np.random.Generator) -> Array:
    if dtype.kind == "c":
        half = np.dtype(f"f{dtype.itemsize // 2}")
        return np.ascontiguousarray(_floats(half, (*shape, 2), flavour, random)).view(dtype)[..., 0]
    values = random.standard_normal(shape)
    if flavour == "wide":
        reach = 2 ** (_FIELDS[str(dtype)][0] - 1) // 4
        values = np.ldexp(values, random.integers(-reach, reach, shape, endpoint=True))
    made = values.astype(dtype)
    if flavour == "edge" and made.size:
        specials = edges(dtype)
        places = random.permutation(made.size)[: max(1, made.size // 2)]
        flat = made.reshape(-1)
        start = int(random.integers(len(specials)))
        flat[places] = np.resize(np.roll(specials, -start), places.size)
        made = flat.reshape(shape)
    return made


def edges(dtype: np.dtype[Any]) -> Array:
    """NaNs of both signs and four payloads, infinities, zeros, subnormal numbers, the smallest and the largest."""
    exponent, fraction = _FIELDS[str(dtype)]
    top = (1 << exponent) - 1
    quiet = 1 << (fraction - 1)
    positive = [
        top << fraction | quiet,
        top << fraction | quiet | 1,
        top << fraction | quiet | (quiet - 1),
        top << fraction | quiet | 5,
        top << fraction,
        0,
        1,
        (1 << fraction) - 1,
        1 << fraction,
        (top << fraction) - 1,
    ]
    width = dtype.itemsize
    both = [sign << (8 * width - 1) | bits for bits in positive for sign in (0, 1)]
    return np.array(both, f"<u{width}").view(dtype)


def _text(domain: Domain | None, random: np.random.Generator, makers: Makers) -> bytes:
    kind = domain.kind if domain is not None else ""
    if domain is not None and kind == "image":
        return makers.image(domain.detail, random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    if domain is not None and kind == "example":
        return makers.example(domain.detail, random)
    if domain is not None and kind == "raw":
        return random.bytes(domain.limit * 4)
    if kind == "number":
        return b"%d" % random.integers(-99, 100)
    plain = bytes(random.choice(np.frombuffer(b"abcdefghij klmnopqrstuvwxyz.", np.uint8), int(random.integers(0, 12))))
    if kind == "base64":
        return base64.urlsafe_b64encode(plain).rstrip(b"=")
    keys = makers.keys(np.dtype(object)) if kind == "key" else ()
    if len(keys) and random.random() < 0.8:
        return _bytes(keys[int(random.integers(len(keys)))])
    return plain


def _bytes(text: Any) -> bytes:
    return text.encode() if isinstance(text, str) else bytes(text)


def given_feeds(sources: Sequence[Mapping[str, Any]], signature: str, names: Sequence[str], alone: bool) -> list[Feed]:
    """What the user gave for a signature: keys are `SIGNATURE/INPUT`, or `INPUT` where there is one signature only."""
    found = []
    for source in sources:
        feed = {}
        for name in names:
            for key in (f"{signature}/{name}", *([name] if alone else [])):
                if key in source:
                    feed[name] = np.asarray(source[key])
                    break
        found.append(feed)
    return found
