"""Writes `tfreuse/testing/ops.json`: the signatures of all ops that the engine's tests use.

    python -m tools.snapshot_ops

The ops are found by reading the golden cases and the tests; names that the registry does not know (functions
called by name, ops made up by a test) are left out.
"""

from __future__ import annotations

import re
from pathlib import Path

from tfreuse.ops.schema import OpSchema
from tfreuse.testing.schemas import SNAPSHOT, write_snapshot

ROOT = Path(__file__).resolve().parents[1]
TESTS = [ROOT / "tests" / folder for folder in ("engine", "peers", "traps")]
TARGET = ROOT / "tfreuse" / "testing" / SNAPSHOT

_NODE = re.compile(r"(?: = |[\"'])([A-Z_]\w*)\(")
"""A node in the text form of graphs; what else it finds in Python code, no registry knows."""


def ops_used() -> list[str]:
    """The op names in golden cases and tests, sorted."""
    texts = [
        path.read_text("utf-8") for folder in TESTS for pattern in ("*.txt", "*.py") for path in folder.rglob(pattern)
    ]
    return sorted({name for text in texts for name in _NODE.findall(text)})


def schemas() -> list[OpSchema]:
    """The registered signatures of the ops used."""
    from tfreuse.bridge.opdefs import registered

    return [found for name in ops_used() if (found := registered(name)) is not None]


if __name__ == "__main__":
    TARGET.write_text(write_snapshot(schemas()), "utf-8")
