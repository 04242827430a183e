"""Every report follows `tfreuse/report/schema.json`, and its totals are those of its functions."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from typing import Any

import jsonschema
import pytest

from tests.report.samples import SAMPLES
from tfreuse.remarks.catalogue import CATALOGUE

SCHEMA = json.loads((resources.files("tfreuse.report") / "schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
ALL = pytest.mark.parametrize("name", SAMPLES)


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all objects with fixed keys, one of each kind."""
    if isinstance(data, dict):
        yield path
        for key, value in data.items():
            yield from places(value, (*path, key))
    elif isinstance(data, list) and data:
        yield from places(data[0], (*path, 0))


def at(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@ALL
def test_a_report_follows_the_schema(name: str) -> None:
    report = SAMPLES[name]()
    VALIDATOR.validate(report.to_dict())
    assert json.loads(report.to_json()) == json.loads(report.to_json(indent=None)) == report.to_dict()
    assert report.to_dict() is report.to_dict()


def test_the_schema_refuses_other_keys_and_missing_ones() -> None:
    """In every kind of object that a report holds, so that nothing can be added unseen."""
    report = json.loads(SAMPLES["saved_model_written"]().to_json())
    free = {"seconds", "ops", "merged_ops", "before", "after"}  # keyed by pass or by op type
    seen = set()
    for path in places(report):
        if path and path[-1] in free and path[-1] != "ops":
            continue
        seen.add(path[-1] if path else "")
        wider = copy.deepcopy(report)
        at(wider, path)["surprise"] = {}
        assert not VALIDATOR.is_valid(wider), f"{path} takes any key"
        for key in at(report, path):
            if key == "target" or (path and path[-1] == "ops" and key not in ("before", "after")):
                continue
            narrower = copy.deepcopy(report)
            del at(narrower, path)[key]
            assert not VALIDATOR.is_valid(narrower), f"{path} does without {key}"
    assert {"", "tool", "model", "nodes", "ops", "totals"} <= seen


@ALL
def test_totals_are_those_of_the_functions(name: str) -> None:
    report = SAMPLES[name]()
    data = report.to_dict()
    totals, functions = data["totals"], data["functions"]
    regions = [region for function in functions for region in function["regions"]]
    merged: Counter[str] = Counter()
    for region in regions:
        merged.update(region["ops"])
        assert sum(region["ops"].values()) == sum(map(len, region["duplicates"]))
        assert set(region["survivor"]).isdisjoint(node for names in region["duplicates"] for node in names)
    assert totals["merged_ops"] == merged
    assert totals["merged"] == report.merged == sum(merged.values())
    assert totals["functions"] == len(functions)
    for when in ("before", "after"):
        assert totals[f"nodes_{when}"] == sum(function["nodes"][when] for function in functions)
        for function in functions:
            assert function["nodes"][when] == sum(function["ops"][when].values())
    assert totals["multiply_adds"] == sum(region["multiply_adds"] or 0 for region in regions)
    assert totals["missed"] >= len(report.missed)
    assert len({function["name"] for function in functions}) == len(functions)


@ALL
def test_every_remark_is_in_the_catalogue(name: str) -> None:
    data = SAMPLES[name]().to_dict()
    remarks = [*data["remarks"], *(miss for function in data["functions"] for miss in function["missed"])]
    for remark in remarks:
        assert remark["advice"] == CATALOGUE[remark["id"]].advice
        assert remark.get("kind", "missed") == CATALOGUE[remark["id"]].kind


def test_what_each_kind_of_report_says() -> None:
    kinds = {name: make().to_dict()["model"]["kind"] for name, make in SAMPLES.items()}
    assert {kinds[name] for name in kinds if name.startswith("saved_model")} == {"SavedModel"}
    assert kinds["graph_def"] == "GraphDef"
    assert {kinds["function"], kinds["method"], kinds["concrete_function"]} == {"function"}
    written, inspected = (SAMPLES[f"saved_model_{how}"]().to_dict() for how in ("written", "inspected"))
    assert written["model"]["target"].endswith("optimized")
    assert inspected["model"]["target"] is None
    assert inspected["functions"] == written["functions"]
    convolutions = [f["ops"]["before"]["Conv2D"] for f in written["functions"] if "Conv2D" in f["ops"]["before"]]
    assert convolutions == [4]
    assert any(function["label"].startswith("classify") for function in written["functions"])


def test_failures_are_remarks_of_their_own_kind() -> None:
    for name, identity in (
        ("function_whose_pass_fails", "pass-failed"),
        ("function_that_cannot_be_read", "not-optimized"),
        ("saved_model_whose_pass_fails", "pass-failed"),
    ):
        failures = SAMPLES[name]().failures
        assert {failure["id"] for failure in failures} == {identity}
        assert all("ZeroDivisionError: broken" in failure["detail"] for failure in failures)
    assert all(not make().failures for name, make in SAMPLES.items() if "fail" not in name and "cannot" not in name)
    remarks = SAMPLES["saved_model_of_an_unknown_op"]().to_dict()["remarks"]
    assert ["NobodyKnows" in remark["detail"] for remark in remarks if remark["id"] == "unknown-op"] == [True]
