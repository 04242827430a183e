"""The catalogue of remarks, its page, and the code that makes them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import passes
import tfreuse
from tfreuse.errors import PipelineError
from tfreuse.remarks import catalogue
from tfreuse.remarks.catalogue import ANALYSIS, CATALOGUE, FAILURE, MISSED, PASSED, Entry, declare, reference_page
from tfreuse.remarks.remark import Remark, Remarks

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/remarks.md"


def texts_of_the_code() -> set[str]:
    """Every string constant of the package outside of the catalogue."""
    found: set[str] = set()
    for folder in (Path(tfreuse.__file__).parent, Path(passes.__file__).parent):
        for path in folder.rglob("*.py"):
            if path == Path(catalogue.__file__):
                continue
            nodes = ast.walk(ast.parse(path.read_text("utf-8")))
            found |= {node.value for node in nodes if isinstance(node, ast.Constant) and type(node.value) is str}
    return found


def test_the_page_is_the_catalogue() -> None:
    assert PAGE.read_text("utf-8") == reference_page(), "run: make reference"


def test_the_page_lists_every_remark_once() -> None:
    ids = [line.split("`")[1] for line in reference_page().splitlines() if line.startswith("- `")]
    assert sorted(ids) == sorted(CATALOGUE)
    for entry in CATALOGUE.values():
        assert entry.meaning in reference_page()
        assert entry.advice in reference_page()


def test_every_remark_of_the_catalogue_is_made_somewhere() -> None:
    assert CATALOGUE.keys() <= texts_of_the_code()


def test_entries_are_whole() -> None:
    for name, entry in CATALOGUE.items():
        assert entry.id == name
        assert name == name.lower().strip("-")
        assert entry.kind in (PASSED, MISSED, FAILURE, ANALYSIS)
        assert entry.meaning.endswith(".")
        assert entry.advice == "" or entry.advice.endswith(".")


def test_a_remark_has_an_id_of_the_catalogue() -> None:
    with pytest.raises(ValueError, match="no remark 'nonsense' in the catalogue"):
        Remark("nonsense", "main", ())
    remark = Remark("write-between", "main", ("a", "b"), "w runs before only one of them", "state", "dedupe-reads")
    assert remark.to_dict() == {
        "id": "write-between",
        "kind": "missed",
        "function": "main",
        "nodes": ["a", "b"],
        "field": "state",
        "detail": "w runs before only one of them",
        "advice": CATALOGUE["write-between"].advice,
        "pass": "dedupe-reads",
    }


def test_remarks_are_kept_once_and_in_order() -> None:
    remarks = Remarks()
    for nodes in (("b",), ("a",), ("b",)):
        remarks.add(Remark("observable-effect", "", nodes))
    assert [remark.nodes for remark in remarks.items] == [("b",), ("a",)]


def test_other_distributions_may_declare_remarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "CATALOGUE", dict(CATALOGUE))
    entry = Entry("double-negation", MISSED, "A negation of a negation.")
    declare([entry])
    declare([entry])
    assert catalogue.CATALOGUE["double-negation"] is entry
    with pytest.raises(PipelineError, match="'merged' is in the catalogue already"):
        declare([Entry("merged", MISSED, "Something else.")])
