"""`--max-memory-growth`: sizes that are none, merges that are left out, and what the report says of memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from tests.cli.command import Command

PIPELINE = ("--pipeline", "cse{cheap-large=true}")


@pytest.fixture
def tiled(tmp_path: Path) -> str:
    """A SavedModel with a large tile at both ends and more than that between."""

    class Tiled(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([2048, 1], name="x")])
        def __call__(self, x: Any) -> Any:
            middle = tf.fill([4096, 1024], tf.reduce_sum(tf.tile(x, [1, 1024])))
            return tf.reduce_max(tf.tile(x, [1, 1024]) * tf.reduce_sum(tf.cumsum(middle)))

    tf.saved_model.save(Tiled(), str(tmp_path / "tiled"))
    return "tiled"


@pytest.mark.parametrize("size", ["much", "", "-1", "10 percent", "1e9", "64mib", "[red]5[/red]"])
def test_what_is_no_size(command: Command, size: str) -> None:
    for arguments in (("optimize", "model", "small"), ("inspect", "model")):
        error = command.refusal(*arguments, f"--max-memory-growth={size}")
        assert error.startswith(f"the memory growth is {size!r}; give bytes, a size with a unit (B, kB, MB, ")


@pytest.mark.parametrize(("size", "merged"), [(None, 1), ("8MiB", 1), ("50%", 1), ("0", 0), ("8000000", 0), ("10%", 0)])
def test_merges_are_left_out(command: Command, tiled: str, tmp_path: Path, size: str | None, merged: int) -> None:
    limit = [] if size is None else ["--max-memory-growth", size]
    outcome = command("optimize", tiled, "small", "--json", *PIPELINE, *limit)
    assert outcome.code == 0, outcome.err
    report = json.loads(outcome.out)
    assert report["totals"]["merged_ops"].get("Tile", 0) == merged
    (body,) = [function for function in report["functions"] if "Tile" in function["ops"]["before"]]
    assert body["memory"]["one_by_one"]["after"] - body["memory"]["one_by_one"]["before"] == merged * 2048 * 1024 * 4
    assert [missed["id"] for missed in body["missed"]] == ([] if merged else ["memory-growth"])
    before, after = (tf.saved_model.load(str(tmp_path / name))(tf.ones([2048, 1])) for name in (tiled, "small"))
    assert before.numpy().tobytes() == after.numpy().tobytes()


def test_the_table_shows_the_peaks(command: Command, tiled: str) -> None:
    lines = command("inspect", tiled, "--pipeline", "cse", "--max-memory-growth", "0").out
    assert "cheap-to-repeat" in lines
    merged = command("optimize", tiled, "small", *PIPELINE).out
    assert "estimated peaks of results" in merged and "33.6 MB → 41.9 MB" in " ".join(merged.split()), merged


def test_sizes_that_are_not_known(command: Command, tmp_path: Path) -> None:
    """A graph file states few shapes: with a limit, what might be large does not live longer."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, None], "x")
        first = tf.math.log(tf.reduce_sum(tf.exp(x)))
        tf.reduce_max(tf.exp(x) * first, name="y")
    (tmp_path / "plain.pb").write_bytes(graph.as_graph_def().SerializeToString())
    arguments = ("inspect", "plain.pb", "--outputs", "y", "--json")
    free = json.loads(command(*arguments).out)
    assert free["totals"]["merged_ops"]["Exp"] == 1
    limited = json.loads(command(*arguments, "--max-memory-growth", "100GiB").out)
    assert "Exp" not in limited["totals"]["merged_ops"]
    (refused,) = [m for m in limited["functions"][0]["missed"] if m["id"] == "memory-growth"]
    assert refused["detail"] == "its size is not known, and it would be in memory for longer"
    assert free["functions"][0]["memory"] is None
