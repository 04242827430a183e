"""What a pattern is, and the list of them. Imports TensorFlow only when a pattern is built."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Variant:
    """One way to run a program: `call(*args)`; `state`: the variables that the call updates."""

    call: Callable[..., Any]
    args: tuple[Any, ...]
    state: tuple[Any, ...] = ()

    def __call__(self) -> Any:
        return self.call(*self.args)


@dataclass(frozen=True)
class Variants:
    """The same program four ways.

    `state_exact` is False where tfreuse takes the gradient of the merged graph: the same mathematics as
    plain's, summed in another order. The first outputs are still bitwise equal; what follows
    an update is only close. `exact` is False for passes that may round differently.
    """

    plain: Variant
    tfreuse: Variant
    ideal: Variant
    xla: Variant
    state_exact: bool = True
    exact: bool = True

    def items(self) -> list[tuple[str, Variant]]:
        return [("plain", self.plain), ("tfreuse", self.tfreuse), ("ideal", self.ideal), ("xla", self.xla)]


@dataclass(frozen=True)
class Pattern:
    """A named program; `in_body`: merging where the work stands reaches the ideal: counts in the mean."""

    name: str
    module: str
    in_body: bool = False

    def build(self, batch: int) -> Variants:
        """The four variants for `batch` examples; imports TensorFlow."""
        module = importlib.import_module(f"tools.bench.{self.module}")
        variants: Variants = getattr(module, self.name)(batch)
        return variants


PATTERNS: dict[str, Pattern] = {
    pattern.name: pattern
    for pattern in (
        Pattern("layer_x4", "inference", in_body=True),
        Pattern("conv_x4", "inference", in_body=True),
        Pattern("tower_x2", "inference", in_body=True),
        Pattern("commuted", "inference", in_body=True),
        Pattern("nested_calls", "inference"),
        Pattern("resnet50_nothing", "inference"),
        Pattern("loop_duplicates", "control_flow", in_body=True),
        Pattern("branch_duplicates", "control_flow", in_body=True),
        Pattern("train_step_forward", "training", in_body=True),
        Pattern("train_step_whole", "training"),
        Pattern("gan_step_whole", "training"),
        Pattern("discriminator_two_tapes", "training"),
        Pattern("tf1_reuse", "offline", in_body=True),
        Pattern("two_signatures", "offline"),
        Pattern("sliding_clips", "overlapping"),
        Pattern("clips_in_a_loop", "overlapping"),
        Pattern("overlapping_crops", "overlapping"),
        Pattern("audio_windows", "overlapping"),
        Pattern("saved_clips", "overlapping"),
        Pattern("saved_crops", "overlapping"),
        Pattern("saved_audio", "overlapping"),
    )
}

SPECIALS = ("call_overhead", "trace_cost")
"""Measures that are not a pattern: see `specials.py`."""
