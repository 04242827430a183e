"""Whole training steps, decorated: what runs, and twenty steps beside plain TensorFlow's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfreuse
from tests.seeds import executed
from tests.training.programs import PROGRAMS, Training, batches
from tfreuse.validate.tolerance import gamma

pytestmark = pytest.mark.tensorflow

STEPS = 20
CONVOLUTIONS = ("Conv2D", "Conv2DBackpropFilter", "Conv2DBackpropInput")
Run = tuple[list[float], list[np.ndarray]]


@pytest.fixture
def unfused() -> Iterator[None]:
    """Without TensorFlow's own optimizer, which may fuse a shared graph differently from the repeated one."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})


def trained(make: type[Training], wrap: Callable[[Any], Any], step: str = "step", *more: Any) -> Run:
    """Losses of twenty steps and what they leave."""
    program = make()
    run = wrap(getattr(program, step))
    losses = [float(run(x, *more)) for x in batches(STEPS, program.dtype)]
    return losses, program.state()


def fast(step: Any) -> Any:
    return tfreuse.dedupe(step, preset="fast", on_error="raise")


def exact(step: Any) -> Any:
    return tfreuse.dedupe(step, on_error="raise")


def counts(make: type[Training], wrap: Callable[[Any], Any], step: str = "step") -> dict[str, int]:
    program = make()
    _, ops = executed.call(wrap(getattr(program, step)), batches(1, program.dtype)[0])
    return {op: ops[op] for op in CONVOLUTIONS}


@pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)
def test_it_runs_what_a_careful_hand_writes(make: type[Training]) -> None:
    plain, by_hand = counts(make, tf.function), counts(make, tf.function, "step_by_hand")
    assert plain["Conv2D"] > by_hand["Conv2D"]
    assert counts(make, fast) == by_hand


@pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)
def test_exact_trains_bit_for_bit(make: type[Training], unfused: None) -> None:
    plain, shared = trained(make, tf.function), trained(make, exact)
    assert plain[0][0] > plain[0][-1] or make.__name__ == "Gan"
    assert plain[0] == shared[0]
    executed.assert_same(plain[1], shared[1])


@pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)
def test_fast_stays_within_its_roundings(make: type[Training], unfused: None) -> None:
    """Twenty steps apart by no more than steps of plain TensorFlow whose gradients are moved, each element up or down,
    by what two ways to round them may differ: `2 * gamma(n)` of the largest one."""
    dtype = "float16" if make.__name__ == "Mixed" else make.dtype.name
    relative = 2 * gamma(make().roundings(), dtype)
    plain, shared = trained(make, tf.function), trained(make, fast)
    assert all(np.isfinite(plain[0]))
    moved = []
    for seed in range(3):
        signs = np.random.default_rng(seed)
        program = make()
        losses = [float(program.disturbed(x, signs, relative)) for x in batches(STEPS, program.dtype)]
        moved.append((losses, program.state()))
    allowed = max(abs(a - b) for run in moved for a, b in zip(run[0], plain[0], strict=True))
    assert max(abs(a - b) for a, b in zip(shared[0], plain[0], strict=True)) <= allowed
    for place, (one, other) in enumerate(zip(shared[1], plain[1], strict=True)):
        allowed = max(float(np.abs(run[1][place] - other).max()) for run in moved)
        assert float(np.abs(one - other).max()) <= allowed, place
