"""Each scenario seen through `tfreuse.dedupe` must look as it does through `tf.function`."""

from typing import Any

import keras
import pytest
import tensorflow as tf

from tests.scenarios import (  # noqa: F401  (importing a theme registers its scenarios)
    captures,
    compiled,
    control_flow,
    custom_gradients,
    distribution,
    gradients,
    keras_models,
    ordering,
    saving,
    state,
    structures,
    tables,
    tracing,
    version1,
)
from tests.scenarios.observe import difference, freeze
from tests.scenarios.registry import EAGER, FUNCTION, SCENARIOS, Decorate, Scenario, undecorated

pytestmark = pytest.mark.tensorflow

REFERENCES = {FUNCTION: tf.function, EAGER: undecorated}


def observe(scenario: Scenario, decorate: Decorate) -> Any:
    """Run a scenario from a clean start: same seeds, same layer names."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(20)
    return freeze(scenario.run(decorate))


@pytest.mark.filterwarnings("error:tfreuse")  # falling back to tf.function is no way to look like it
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_behaves_as_its_reference(scenario):
    """The decorated program looks the same from outside as its reference."""
    import tfreuse

    expected = observe(scenario, REFERENCES[scenario.reference])
    actual = observe(scenario, tfreuse.dedupe)
    problem = difference(expected, actual)
    assert problem is None, f"differs from {scenario.reference} {problem}"


def test_there_are_62_scenarios():
    """None is lost when themes are edited."""
    assert len(SCENARIOS) == 62
