"""How far two roundings of one formula may lie apart: Higham's bound, counted along the graph.

A sum of products that is computed in any order is the exact sum with every term multiplied by some factors
`1 + d`, `|d| <= u` (u: unit roundoff), at most `n` of them: as many as roundings lie on the longest way from an input
to the result. So it differs from the exact value by at most `gamma(n) * M`, with `gamma(n) = n * u / (1 - n * u)` and
`M` the same formula of the magnitudes of all inputs, constants and variables, with sums in place of differences
(N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, SIAM 2002, section 3.1, lemmas 3.1 and
3.3). Functions that enlarge no difference and no magnitude (Relu, maxima, choices of elements) keep the bound.

`M` is not guessed from the outputs: `tfreuse.validate.magnitudes` turns the graph into one that computes it, and
`tfreuse.validate.roundings` counts `n`. Two roundings with `n1` and `n2` factors lie at most
`(gamma(n1) + gamma(n2)) * M` apart, and the computed `M` is too small by the factor `1 - gamma(n1)` at worst. Each
rounding may also underflow, by less than the smallest normal number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_UNIT_ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
_SMALLEST_NORMAL = {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}


class Unbounded(Exception):
    """No bound is known; the text says why."""


def gamma(count: int, dtype: str) -> float:
    """`n * u / (1 - n * u)` for an element type.

    Raises:
        Unbounded: if the type has no unit roundoff, or there are so many roundings that no bit is certain.
    """
    if dtype not in _UNIT_ROUNDOFF:
        raise Unbounded(f"type {dtype} has no unit roundoff")
    share = count * _UNIT_ROUNDOFF[dtype]
    if share >= 0.5:
        raise Unbounded(f"after {count} roundings no bit of {dtype} is certain")
    return share / (1.0 - share)


def bound(magnitude: Array, before: int, after: int) -> Array:
    """How far two results may lie apart, element by element, in double precision.

    Args:
        magnitude: `M`, computed in the element type of the results by the formula with `before` roundings.
        before: roundings of the one formula.
        after: roundings of the other.

    Raises:
        Unbounded: as `gamma`.
    """
    dtype = str(magnitude.dtype)
    relative = (gamma(before, dtype) + gamma(after, dtype)) / (1.0 - gamma(before, dtype))
    return np.asarray(
        np.abs(magnitude.astype(np.float64)) * relative + (before + after) * _SMALLEST_NORMAL.get(dtype, 0.0)
    )
