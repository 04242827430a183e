"""A few hundred of the damaged models of `python -m tools.mutate`, which makes as many as one likes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tools import mutate


def test_mutations(model: Path) -> None:
    """Each is refused in one line, or written; nothing is left behind (`mutate.attempt` looks)."""
    found = mutate.run(model, count=300, seed=1)
    assert found.keys() == {"refused", "written"} and min(found.values()) > 20


def test_every_kind(model: Path) -> None:
    """Each kind of damage by itself, so that none hides behind another."""
    import random

    from tests.offline import checks

    whole, outcomes = (model / mutate.FILE).read_bytes(), Counter[str]()
    for damage in (*mutate.BYTES, *mutate.PROTO):
        for number in range(10):
            draw = random.Random(number)
            (model / mutate.FILE).write_bytes(whole)
            if damage in mutate.BYTES:
                data = damage(whole, draw)
            else:
                proto = checks.read(str(model))
                damage(proto, draw)
                data = proto.SerializeToString()
            outcomes[mutate.attempt(model, data)] += 1
    assert outcomes.total() == 10 * len((*mutate.BYTES, *mutate.PROTO))
