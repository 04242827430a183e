"""Times taken in turns, and their statistics. Standard library only."""

from __future__ import annotations

import gc
import math
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Rounds:
    """How long to measure: at least `least` rounds, then until `seconds` are spent, at most `most` rounds."""

    least: int
    most: int
    seconds: float


def interleave(calls: Mapping[str, Callable[[], object]], rounds: Rounds, seed: int = 0) -> dict[str, list[float]]:
    """Seconds of each call in each round.

    Every round runs each call once, in an order shuffled with a fixed seed: a machine that slows down slows
    all of them, and none always follows the same neighbour.
    """
    order, shuffle = list(calls), random.Random(seed).shuffle
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    clock = time.perf_counter
    gc.collect()
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = clock()
        for done in range(rounds.most):
            if done >= rounds.least and clock() - start > rounds.seconds:
                break
            shuffle(order)
            for name in order:
                call = calls[name]
                before = clock()
                call()
                seconds[name].append(clock() - before)
    finally:
        if collecting:
            gc.enable()
    return seconds


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles of `values` (at least one), in their unit."""
    if len(values) == 1:
        return {"median": values[0], "q1": values[0], "q3": values[0]}
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "q1": q1, "q3": q3}


def milliseconds(seconds: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """`summary` of each list of times in seconds, in milliseconds."""
    return {name: summary([1e3 * value for value in values]) for name, values in seconds.items()}


def paired(numerators: Sequence[float], denominators: Sequence[float]) -> dict[str, float]:
    """Median and quartiles of the ratios of times taken in the same round."""
    return summary([a / b for a, b in zip(numerators, denominators, strict=True)])


def geometric_mean(values: Sequence[float]) -> float:
    """Geometric mean of positive `values`; NaN if there are none."""
    return math.exp(statistics.fmean(map(math.log, values))) if values else math.nan
