"""The page about the founding documents: its code runs, and the tests that it names exist."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "seeds.md").read_text(encoding="utf-8")
FENCE = re.compile(r"(?P<mark><!-- runs -->\n)?^```python\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = [
    pytest.param(match["code"], id=re.findall(r"^#+ (.*)$", PAGE[: match.start()], re.MULTILINE)[-1])
    for match in FENCE.finditer(PAGE)
    if match["mark"]
]


@pytest.mark.parametrize("code", BLOCKS)
def test_running_form(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "running_form.py"  # a file, since AutoGraph reads the source
    script.write_text(code, encoding="utf-8")
    runpy.run_path(str(script))


def test_each_example_has_a_running_form() -> None:
    examples = re.findall(r"^### .*$", PAGE, re.MULTILINE)
    assert len(examples) == 15
    for section in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        assert "<!-- runs -->" in section.split("\n## ")[0], section.splitlines()[0]


def test_the_tests_named_exist() -> None:
    named = set(re.findall(r"`(test_\w+\.py)::(\w+)`", PAGE))
    assert named
    for file, name in named:
        tree = ast.parse((HERE / file).read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in functions, f"{file}::{name}"
