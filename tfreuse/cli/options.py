"""What a command line asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line asks for, as it is written there."""

    pipeline: str | None
    preset: str | None
    tags: str | None
    outputs: str | None
    inputs: str | None
    no_proof: bool
    json: bool
    time_limit: float | None
    overwrite: bool = False
    dry_run: bool = False
    verify: int = 0
    feeds: list[str] | None = None
    strip_shapes: bool = False
    weights: bool = False

    def for_any_model(self) -> dict[str, Any]:
        """The arguments that SavedModels and graph files share."""
        return {
            "pipeline": self.pipeline,
            "preset": self.preset or "exact",
            "overwrite": self.overwrite,
            "dry_run": self.dry_run,
            "proof": not self.no_proof,
            "verify": self.verify,
            "feeds": self.feeds or None,
            "time_limit": self.time_limit,
        }

    def for_saved_models(self) -> dict[str, Any]:
        """The arguments that only SavedModels have."""
        return {"tags": self.tags, "strip_shapes": self.strip_shapes, "weights": self.weights}
