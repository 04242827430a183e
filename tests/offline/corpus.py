"""Where models that others made lie: beside the checkout, in `shared/corpus`; tests skip where they are absent."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3] / "shared" / "corpus"
NEEDED = pytest.mark.skipif(not ROOT.is_dir(), reason=f"no corpus of foreign models at {ROOT}")


def saved_models() -> list[str]:
    """The SavedModel folders, as paths below the corpus."""
    return [str(path.parent.relative_to(ROOT)) for path in sorted(ROOT.rglob("saved_model.pb"))]


def frozen_graphs() -> list[str]:
    """The files with one `GraphDef` each."""
    return [str(path.relative_to(ROOT)) for path in sorted(ROOT.rglob("frozen.pb"))]
