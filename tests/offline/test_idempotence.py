"""A second run changes nothing, and the same model gives the same bytes, whatever seed Python hashes with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import tfreuse
from tests.offline import checks, corpus, models_v1  # noqa: F401  (models_v1 adds its builders)
from tests.offline.models import BUILDERS, folder, optimized, saved

MODELS = sorted(BUILDERS)
SEEDS = ("0", "1", "4242")
RUN = "import json, sys, tfreuse\nfor pair in json.load(sys.stdin): tfreuse.optimize_saved_model(*pair)"


@pytest.mark.parametrize("name", MODELS)
def test_a_second_run_changes_nothing(name: str, tmp_path: Path) -> None:
    again = str(tmp_path / "again")
    report = tfreuse.optimize_saved_model(optimized(name), again)
    assert report.merged == 0
    assert report.to_dict()["totals"]["nodes_before"] == report.to_dict()["totals"]["nodes_after"]
    assert checks.content(again) == checks.content(optimized(name))


@pytest.mark.parametrize("name", MODELS)
def test_in_place_of_itself(name: str, tmp_path: Path) -> None:
    """Optimised onto the folder that holds an older result, the model is as if made anew."""
    target = str(tmp_path / "target")
    for _ in range(2):
        tfreuse.optimize_saved_model(saved(name), target, overwrite=True)
    assert os.listdir(tmp_path) == ["target"]
    assert checks.content(target) == checks.content(optimized(name))


def sources() -> dict[str, str]:
    """All models at hand by name."""
    foreign = {name: str(corpus.ROOT / name) for name in corpus.saved_models()}
    return {**{name: saved(name) for name in MODELS}, **foreign}


@cache
def runs() -> list[dict[str, dict[str, bytes | None]]]:
    """For each seed the files of every optimised model, each made by a process of its own."""
    found = []
    for seed in SEEDS:
        targets = {name: folder("seeds", seed, name) for name in sources()}
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TF_CPP_MIN_LOG_LEVEL": "3"}
        pairs = json.dumps([(sources()[name], target) for name, target in targets.items()])
        command: list[Any] = [sys.executable, "-c", RUN]
        subprocess.run(command, env=environment, input=pairs, text=True, check=True, capture_output=True)
        found.append({name: checks.tree(target) for name, target in targets.items()})
    return found


def test_the_same_graphs_for_every_hash_seed() -> None:
    first, *others = [_without_fingerprints(run) for run in runs()]
    for other in others:
        assert [name for name in first if first[name] != other[name]] == []


def test_the_same_fingerprints_for_every_hash_seed() -> None:
    """TensorFlow draws a random id for each fingerprint that it writes; ours must follow from the model."""
    first, *others = runs()
    for other in others:
        assert [name for name in first if first[name].get("fingerprint.pb") != other[name].get("fingerprint.pb")] == []


def _without_fingerprints(run: dict[str, dict[str, bytes | None]]) -> dict[str, dict[str, bytes | None]]:
    return {name: {**files, "fingerprint.pb": None} for name, files in run.items()}
