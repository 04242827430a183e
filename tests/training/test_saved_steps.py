"""Training steps as signatures of SavedModels: what the results run, and what verification says of loss and state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.seeds import executed
from tests.training.programs import BATCH, PROGRAMS, SIDE, Training, batches

pytestmark = pytest.mark.tensorflow

BACKWARD = ("Conv2DBackpropFilter", "Conv2DBackpropInput")


def save(program: Training, step: str, folder: Path) -> Path:
    model = tf.Module()
    model.variables_of_the_step = [*program.weights, *program.others]
    spec = tf.TensorSpec([BATCH, SIDE, SIDE, 2], program.dtype, name="x")
    tf.saved_model.save(model, str(folder), signatures=tf.function(getattr(program, step), input_signature=[spec]))
    return folder


def ran(folder: Path, program: Training) -> dict[str, int]:
    step = tf.saved_model.load(str(folder)).signatures["serving_default"]
    _, ops = executed.call(step, batches(1, program.dtype)[0])
    return {op: ops[op] for op in ("Conv2D", *BACKWARD)}


@pytest.mark.parametrize("preset", ["exact", "fast"])
@pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)
def test_a_saved_step(make: type[Training], preset: str, tmp_path: Path) -> None:
    """Loss and variables are what they were, bit for bit with `exact`; of reassociated gradients no bound is known once
    an optimizer has used them, which is said, and the loss is from before that."""
    program = make()
    plain, by_hand = save(program, "step", tmp_path / "plain"), save(program, "step_by_hand", tmp_path / "by_hand")
    report: Any = tfreuse.optimize_saved_model(plain, tmp_path / "shared", preset=preset, verify=3)
    assert not report.failures
    (judged,) = report.to_dict()["verification"]["signatures"]
    assert (judged["feeds"], judged["raised"], judged["judged"]) == (3, 0, ["output_0"])
    assert {found["kind"] for found in judged["not_judged"]} <= ({"state"} if preset == "fast" else set())
    assert judged["state"] + len(judged["not_judged"]) >= len(program.weights)
    counts, ideal = ran(tmp_path / "shared", program), ran(by_hand, program)
    assert ran(plain, program)["Conv2D"] > counts["Conv2D"] == ideal["Conv2D"]
    if preset == "fast":
        assert counts == ideal
