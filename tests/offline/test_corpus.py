"""Models that others made: optimised, loaded again and run, they give the bits that they gave before."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

import tfreuse
from tests.offline import checks, corpus
from tests.offline.models import folder

pytestmark = corpus.NEEDED
MODELS = corpus.saved_models()
BY_THE_LOADER = "__saved_model_init_op"
"""What the loader itself runs: no signature that a user could call."""
SIGNATURES = [
    (model, key)
    for model in MODELS
    for key in sorted(checks.serving(str(corpus.ROOT / model)).signature_def)
    if key != BY_THE_LOADER
]


def source(model: str) -> str:
    """The model in its place."""
    return str(corpus.ROOT / model)


@cache
def target(model: str) -> str:
    """The optimised model, made once."""
    path = folder("corpus", model)
    report = tfreuse.optimize_saved_model(source(model), path)
    assert report.failures == []
    return path


@cache
def loaded(path: str) -> Any:
    """What the signatures of a model give when TF2 loads it; None where TF2 cannot load it."""
    return checks.run_loaded(path) if checks.loads(path) else None


@cache
def in_session(path: str) -> Any:
    """What the signatures of a model give in a TF1 session."""
    return checks.run_session(path)


@cache
def stripped(model: str) -> str:
    """The optimised model without the static shapes that nodes record, made once."""
    path = folder("stripped", model)
    report = tfreuse.optimize_saved_model(source(model), path, strip_shapes=True)
    assert report.failures == []
    return path


@pytest.mark.parametrize("model", MODELS)
def test_all_but_the_nodes_is_carried(model: str) -> None:
    before = checks.tree(source(model))
    checks.assert_carried(source(model), target(model))
    assert checks.tree(source(model)) == before


@pytest.mark.parametrize("model", MODELS)
def test_a_second_run_changes_nothing(model: str, tmp_path: Any) -> None:
    again = str(tmp_path / "again")
    report = tfreuse.optimize_saved_model(target(model), again)
    assert report.merged == 0
    assert checks.content(again) == checks.content(target(model))


@pytest.mark.parametrize("model", MODELS)
def test_loads_again(model: str) -> None:
    assert checks.loads(target(model)) == checks.loads(source(model))


@pytest.mark.parametrize(("model", "key"), SIGNATURES)
@pytest.mark.parametrize("run", [loaded, in_session])
def test_signature(run: Any, model: str, key: str) -> None:
    before = run(source(model))
    if before is None:
        pytest.skip("this TensorFlow cannot load the model with tf.saved_model.load")
    if isinstance(before[key], Exception):
        pytest.skip(f"the model as it is cannot run here: {str(before[key]).splitlines()[0]}")
    after = run(target(model))
    assert not isinstance(after[key], Exception), after[key]
    checks.assert_same(before[key], after[key])
    assert before.keys() == after.keys()


def test_every_signature_runs_in_some_way() -> None:
    idle = [(model, key) for model, key in SIGNATURES if isinstance(in_session(source(model))[key], Exception)]
    assert idle == []


@pytest.mark.parametrize("model", MODELS)
def test_without_static_shapes_it_gives_the_same(model: str) -> None:
    path = stripped(model)
    assert len(checks.content(path)) < len(checks.content(target(model)))
    assert checks.loads(path) == checks.loads(source(model))
    runs = [(in_session(source(model)), checks.run_session(path, like=source(model)))]
    if checks.loads(path):
        runs.append((loaded(source(model)), checks.run_loaded(path, like=source(model))))
    for before, after in runs:
        assert before.keys() == after.keys()
        for key, was in before.items():
            if not isinstance(was, Exception):
                assert not isinstance(after[key], Exception), after[key]
                checks.assert_same(was, after[key])
