"""Programs without windows: preset `fast` leaves what `exact` leaves, node by node."""

from __future__ import annotations

from collections import Counter

import pytest

import tfreuse
from tools.bench.patterns import PATTERNS

NAMES = ("layer_x4", "conv_x4", "tower_x2", "commuted", "nested_calls", "loop_duplicates", "branch_duplicates")


@pytest.mark.parametrize("name", NAMES)
def test_a_pattern_without_windows(name: str) -> None:
    plain = PATTERNS[name].build(1).plain
    counts = []
    for preset in ("exact", "fast"):
        shared = tfreuse.dedupe(plain.call.python_function, preset=preset, on_error="raise")
        graph = shared.get_concrete_function(*plain.args).graph.as_graph_def()
        bodies = [node.op for function in graph.library.function for node in function.node_def]
        counts.append((Counter(node.op for node in graph.node), Counter(bodies)))
        assert not [family for function in shared.report.to_dict()["functions"] for family in function["families"]]
        assert "overlap" not in str(shared.report.missed)
    assert counts[0] == counts[1]
